"""The JSON beside each converted series: acquisition facts in BIDS-style keys, each with the tag it came from."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from orthodx.studies.metadata import code_words, fat_suppressed, field_strength, number, vendor

_SECONDS = {"RepetitionTime": "0018,0080", "EchoTime": "0018,0081", "InversionTime": "0018,0082"}  # ms in DICOM
_NUMBERS = {
    "FlipAngle": "0018,1314", "EchoTrainLength": "0018,0091", "SliceThickness": "0018,0050",
    "SpacingBetweenSlices": "0018,0088", "PixelBandwidth": "0018,0095", "ImagingFrequency": "0018,0084",
}  # fmt: skip
_CODED = {"ScanningSequence": "0018,0020", "SequenceVariant": "0018,0021", "MRAcquisitionType": "0018,0023"}


def sidecar(facts: Mapping[str, Any], part: str, converter: str) -> dict[str, Any]:
    """Numbers and coded values only: no names, dates, UIDs or free text. Times in seconds, as BIDS has them."""
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for keyword, tag in {**_SECONDS, **_NUMBERS}.items():
        value = number(facts, keyword)
        if value != "":
            values[keyword] = round(float(value) / 1000, 9) if keyword in _SECONDS else value
            sources[keyword] = tag
    for keyword, tag in _CODED.items():
        words = code_words(facts, keyword)
        if words:
            values[keyword], sources[keyword] = "_".join(words), tag
    strength = field_strength(facts.get("MagneticFieldStrength"), facts.get("ImagingFrequency"))
    if strength is not None:
        values["MagneticFieldStrength"], sources["MagneticFieldStrength"] = strength, "0018,0087"
    fat, source = fat_suppressed(facts)
    if fat:
        values["FatSuppressed"], sources["FatSuppressed"] = fat == "1", source
    return {
        "Modality": (code_words(facts, "Modality") or ["MR"])[0],
        "Manufacturer": vendor(facts.get("Manufacturer")),
        **values,
        "ComplexImageComponent": part.upper(),
        "ConversionSoftware": f"orthodx {version('orthodx')}, {converter}",
        "FieldSources": sources,
    }
