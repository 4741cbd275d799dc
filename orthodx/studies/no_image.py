"""Why a file holds no image of a volume: what the object is, or what lies there instead of DICOM."""

from __future__ import annotations

import re
import zlib

import pydicom
from pydicom.dataset import Dataset

from orthodx.studies.dicom_files import DicomFile

CLASSIC = {"1.2.840.10008.5.1.4.1.1.4": "MR", "1.2.840.10008.5.1.4.1.1.2": "CT"}
ENHANCED = {
    "1.2.840.10008.5.1.4.1.1.4.1": "MR",
    "1.2.840.10008.5.1.4.1.1.4.4": "MR",  # legacy converted
    "1.2.840.10008.5.1.4.1.1.2.1": "CT",
    "1.2.840.10008.5.1.4.1.1.2.2": "CT",
}
DAMAGED = "a damaged DICOM file: copy or export it again"
GZIPPED = "DICOM compressed with gzip: unpack it first"
BARE = re.compile(rb"\x08\x00|\x02\x00..(UL|OB|UI|SH|AE)", re.DOTALL)  # how a file begins that lacks the preamble
_MAPS = {"ADC", "FA", "TRACEW", "CBF", "CBV", "MTT"}


def no_image(ds: Dataset, sop: str) -> str:
    """Why a whole object is not for reading as a volume; "" where it may be one."""
    if sop not in CLASSIC and sop not in ENHANCED:
        return _class_name(sop)
    words = {str(v).upper() for v in ds.get("ImageType") or []}
    if "LOCALIZER" in words:
        return "a localizer"
    if words & {"MOSAIC", "VFRAME"}:
        return "a mosaic: many slices in one picture, their places cannot be verified"
    if int(ds.get("SamplesPerPixel", 1) or 0) > 1:
        return "a colour image"
    if words & _MAPS or ("DERIVED" in words and any(map(_is_map, words))):
        return "a derived map: its values are no signal"
    if "PROJECTION IMAGE" in words or "MIP" in words:
        return "a projection"
    if "SCREEN SAVE" in words or "SCREENSAVE" in words:
        return "a secondary capture"
    return ""


def _is_map(word: str) -> bool:
    """A word such as T2 MAP; some scanners write it on plain images too, which are not DERIVED."""
    return re.search(r"(^|[ _])MAP$", word) is not None and not word.startswith("PHASE")


def _class_name(sop: str) -> str:
    if sop.startswith("1.2.840.10008.5.1.4.1.1.88."):
        return "a structured report"
    if sop.startswith("1.2.840.10008.5.1.4.1.1.7"):
        return "a secondary capture"
    name = pydicom.uid.UID(sop).name if sop.startswith("1.2.840.10008.") else ""
    return f"no MR or CT image: {name}" if name and name != sop else "no MR or CT image"


def packed_dicom(start: bytes) -> str:
    """Why a file that begins so cannot be read although it is DICOM: gzip; "" where it is none."""
    if start[:2] != b"\x1f\x8b":
        return ""
    try:
        unpacked = zlib.decompressobj(31).decompress(start, 132)
    except zlib.error:
        return ""
    return GZIPPED if unpacked[128:132] == b"DICM" or BARE.match(unpacked) else ""


def instead_of_a_slice(file: DicomFile) -> str:
    """What a file is that lies among slices, is named as they are, and is no DICOM."""
    try:
        with file.peek() as stream:
            start = stream.read(256)
    except Exception:  # a damaged archive raises anything at all
        return DAMAGED
    if not start:
        return "an empty file among the slices of a series: copy it again"
    if not start.strip(b"\0"):
        return "zeros instead of DICOM, among the slices of a series: copy it again"
    if start.lstrip().startswith(b"<"):
        return "a web page instead of DICOM, among the slices of a series: download it again"
    return DAMAGED
