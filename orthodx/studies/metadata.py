"""Manifest values from DICOM tags, each by its rule; unknown is blank or `unknown`, never a guess."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from orthodx.joints import JOINTS

FACTS = (
    "Modality", "Laterality", "ImageLaterality", "FrameLaterality", "BodyPartExamined", "InstitutionName",
    "StationName", "DeviceSerialNumber", "Manufacturer", "MagneticFieldStrength", "ImagingFrequency",
    "ScanningSequence", "SequenceVariant", "ScanOptions", "SequenceName", "SeriesDescription", "ProtocolName",
    "RepetitionTime", "EchoTime", "InversionTime", "FlipAngle", "EchoTrainLength", "SliceThickness",
    "SpacingBetweenSlices", "PixelBandwidth", "MRAcquisitionType", "SeriesNumber", "ImagesInAcquisition",
    "BurnedInAnnotation", "ImageType", "Rows", "Columns", "InConcatenationTotalNumber",
)  # fmt: skip
# places of slices in a volume, by the scanner: who reserved the group (gggg,0010), and the tag
SLICES_ANNOUNCED = (("GEMS_RELA_01", (0x0021, 0x104F)), ("Philips Imaging DD 001", (0x2001, 0x1018)))

_VENDORS = {"ge": "GE", "siemens": "Siemens", "philips": "Philips", "toshiba": "Canon", "canon": "Canon",
            "hitachi": "Hitachi", "fujifilm": "Fujifilm", "uih": "United Imaging", "united imaging": "United Imaging",
            "hyperfine": "Hyperfine", "esaote": "Esaote", "general electric": "GE"}  # fmt: skip
_FAT_WORDS = r"FS|FSAT|SPAIR|SPIR|STIR|WE|FAT ?(?:SAT|SUP|SUPP|SUPPRESSED|SUPPRESSION|SATURATED|SATURATION)"
_FAT = re.compile(rf"\b(?P<no>(?:NO|NON|NOT|WITHOUT|W O) )?(?:{_FAT_WORDS})\b")
_CODES = {
    "ScanningSequence": {"SE", "IR", "GR", "EP", "RM"},
    "SequenceVariant": {"SK", "MTC", "SS", "TRSS", "SP", "MP", "OSP", "NONE"},
    "MRAcquisitionType": {"1D", "2D", "3D"},
    "Modality": {"MR", "CT"},
}


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


def fat_suppressed(facts: Mapping[str, Any]) -> tuple[str, str]:
    """ "1", "0" or blank from whole words of scan options and sequence, protocol and series names; and the tag.

    "0" is said by scan options that name no suppression, or by a name ("PD non FS"); a silent name says nothing.
    """
    denied = ""
    for tag in ("ScanOptions", "SequenceName", "ProtocolName", "SeriesDescription"):
        words = facts.get(tag, "")
        text = words if isinstance(words, str) else " ".join(map(str, words))
        found = list(_FAT.finditer(re.sub(r"[^A-Z]+", " ", text.upper())))
        if any(one["no"] is None for one in found):
            return "1", tag
        if found or (tag == "ScanOptions" and text.strip()):
            denied = denied or tag
    return ("0", denied) if denied else ("", "")


def center(facts: Mapping[str, Any]) -> str:
    """(0008,0080), unless it is empty or names a software; never guessed from a path or a patient."""
    text = re.sub(r"\s+", " ", str(facts.get("InstitutionName", "") or "")).strip()
    software = re.search(r"\b[a-z]{0,3}\d+\.\d+|\bsyngo\b|\bsoftware\b|\brelease\b|\bversion\b", text, re.IGNORECASE)
    return text if text and not software else "unknown"


def describe(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Manifest columns of one series; free text of the header is read for whole words but never copied."""
    side = str(facts.get("Laterality") or facts.get("ImageLaterality") or facts.get("FrameLaterality") or "").upper()
    strength = field_strength(facts.get("MagneticFieldStrength"), facts.get("ImagingFrequency"))
    raw = str(facts.get("MagneticFieldStrength", "")).strip()
    return {
        "joint": next((name for name in JOINTS if name.upper() in str(facts.get("BodyPartExamined", "")).upper()), ""),
        "laterality": {"R": "right", "L": "left"}.get(side, "unknown"),
        "center": center(facts),
        "field_strength": strength if strength is not None else "",
        "field_strength_raw": raw if re.fullmatch(r"[0-9.eE+-]{1,16}", raw) else "",
        "vendor": vendor(facts.get("Manufacturer")),
        "sequence": "\\".join(code_words(facts, "ScanningSequence")),
        "tr": number(facts, "RepetitionTime"),
        "te": number(facts, "EchoTime"),
        "ti": number(facts, "InversionTime"),
        "etl": number(facts, "EchoTrainLength"),
        "fat_suppressed": fat_suppressed(facts)[0],
        "rows": int(facts.get("Rows", 0)),
        "columns": int(facts.get("Columns", 0)),
    }


def code_words(facts: Mapping[str, Any], keyword: str) -> list[str]:
    """Values of a coded tag that the standard defines (PS3.3 C.8.3.1); anything else is dropped."""
    value = facts.get(keyword, "")
    words = value.split("\\") if isinstance(value, str) else map(str, value)
    return [w.strip().upper() for w in words if w.strip().upper() in _CODES[keyword]]


def number(facts: Mapping[str, Any], keyword: str) -> float | str:
    """A plain, finite number, or blank."""
    value = facts.get(keyword)
    try:
        found = float(value[0] if isinstance(value, list) else value)  # type: ignore[arg-type]
    except (TypeError, ValueError, IndexError):
        return ""
    return found if abs(found) < 1e9 else ""
