"""Manifest values from DICOM tags, each by its rule; unknown is blank or `unknown`, never a guess."""

from __future__ import annotations

import re
from typing import Any

from pydicom.dataset import Dataset

_VENDORS = {"ge": "GE", "siemens": "Siemens", "philips": "Philips", "toshiba": "Canon", "canon": "Canon",
            "hitachi": "Hitachi", "fujifilm": "Fujifilm", "uih": "United Imaging", "hyperfine": "Hyperfine",
            "esaote": "Esaote"}  # fmt: skip
_FAT_TOKENS = {"FS", "FATSAT", "SPAIR", "SPIR", "STIR", "FATSUP", "WE", "FATSUPPRESSED"}


def field_strength(raw: Any, imaging_frequency: Any = None) -> float | None:
    """Tesla from (0018,0087): 0.01-12 as it is, else a power of ten confirmed by (0018,0084); 1.5 and 3 binned."""
    try:
        value = float(raw)
    except (TypeError, ValueError):
        return None
    if not 0.01 <= value <= 12:
        try:
            frequency = float(imaging_frequency)
        except (TypeError, ValueError):
            return None
        tesla = (frequency / 1e6 if frequency > 1e4 else frequency) / 42.577
        value = next((v for v in (value / 1e3, value / 1e4) if abs(v - tesla) <= 0.05 * tesla), 0.0)
        if not value:
            return None
    for low, high, nominal in ((1.4, 1.6, 1.5), (2.85, 3.15, 3.0)):
        if low <= value <= high:
            return nominal
    return round(value, 3)


def vendor(raw: Any) -> str:
    """A vendor's usual name for its many spellings."""
    text = str(raw or "").lower()
    return next((name for key, name in _VENDORS.items() if re.search(rf"\b{key}\b", text)), "unknown")


def fat_suppressed(header: Dataset) -> str:
    """ "1", "0" or blank: from scan options and whole words of sequence and series names."""
    options = header.get("ScanOptions", "")
    words = [options] if isinstance(options, str) else list(options)
    words += [str(header.get(tag, "")) for tag in ("SequenceName", "SeriesDescription", "ProtocolName")]
    tokens = {token.upper() for word in words for token in re.split(r"[^A-Za-z]+", str(word))}
    return "1" if tokens & _FAT_TOKENS else "0" if any(str(w) for w in words) else ""


def describe(header: Dataset) -> dict[str, Any]:
    """Manifest columns of one series; free text of the header is read for tokens but never copied."""
    laterality = str(header.get("Laterality", "") or header.get("ImageLaterality", "")).upper()
    strength = field_strength(header.get("MagneticFieldStrength"), header.get("ImagingFrequency"))
    return {
        "laterality": {"R": "right", "L": "left"}.get(laterality, "unknown"),
        "center": str(header.get("InstitutionName", "") or "").strip() or "unknown",
        "field_strength": strength if strength is not None else "",
        "field_strength_raw": str(header.get("MagneticFieldStrength", "")),
        "vendor": vendor(header.get("Manufacturer")),
        "sequence": str(header.get("ScanningSequence", "")).replace("['", "").replace("']", ""),
        "tr": _number(header.get("RepetitionTime")),
        "te": _number(header.get("EchoTime")),
        "fat_suppressed": fat_suppressed(header),
        "rows": int(header.Rows),
        "columns": int(header.Columns),
    }


def _number(value: Any) -> float | str:
    try:
        return float(value)
    except (TypeError, ValueError):
        return ""
