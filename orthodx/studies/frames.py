"""One DICOM file as image frames with their place in the world; classic and enhanced objects look the same.

Only a few facts leave a file: 100,000 files fit into memory, and identifying tags stay where they are.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import cache, partial
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag, Tag
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from orthodx.studies.dicom_files import DicomFile
from orthodx.studies.metadata import FACTS, SLICES_ANNOUNCED
from orthodx.studies.no_image import BARE, CLASSIC, DAMAGED, ENHANCED, no_image, packed_dicom

_GEOMETRY = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing")
_GE_PARTS = {0: "magnitude", 1: "phase", 2: "real", 3: "imaginary"}  # (0043,102F)
_PARTS = {"P": "phase", "PHASE": "phase", "PHASE MAP": "phase", "R": "real", "REAL": "real", "I": "imaginary",
          "IMAGINARY": "imaginary"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class PlainPixels:
    """Where a file's uncompressed little-endian pixels begin, so that it need not be parsed a second time."""

    offset: int
    dtype: str
    stored_bits: int
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Frame:
    """One 2D image. position, orientation: LPS mm and cosines. spacing: mm between rows, between columns."""

    file: DicomFile
    index: int  # of the frame in its file; -1 in a classic object
    position: tuple[float, ...]
    orientation: tuple[float, ...]
    spacing: tuple[float, ...]
    instance: int | None
    slope: float
    intercept: float
    sop: str = ""  # SOPInstanceUID: two files that share it should be copies
    plain: PlainPixels | None = None  # None where a decoder is needed


class Uids(NamedTuple):
    """Whose image it is. Kept in memory only: outputs carry keyed hashes of these."""

    patient: str
    study: str
    series: str


@dataclass(frozen=True, slots=True)
class Kind:
    """What frames of one volume share besides their geometry. echo: number/time in ms. time_point: index/b-value."""

    uids: Uids
    echo: str
    image_type: tuple[str, ...]
    part: str
    matrix: tuple[int, int]
    time_point: str

    @property
    def echo_time_ms(self) -> float | None:
        """None where no tag says it."""
        te = self.echo.partition("/")[2]
        return float(te) if te else None


@dataclass(frozen=True, slots=True)
class Header:
    """What one file told. reason: why it holds no usable image; a fault also condemns the rest of its series."""

    file: DicomFile
    uids: Uids
    modality: str
    reason: str = ""
    fault: bool = False
    frames: tuple[tuple[Kind, Frame], ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)


_LARGEST_VALUE = 64 << 20  # bytes; a longer value in a header is passed over, not read


@cache
def _tag(keyword: str | int) -> BaseTag:
    return Tag(keyword)


def _value(ds: Dataset, keyword: str | int, default: Any = None) -> Any:
    """The value of a tag, as `ds.get`, which takes ten times as long to find that there is none."""
    tag = _tag(keyword)
    return ds[tag].value if tag in ds else default


class _UnfitError(Exception):
    """Internal: the file cannot be part of a volume."""


def read_header(file: DicomFile, known: set[Kind]) -> Header | None:
    """The frames of one file, pixels unread, or None where it is no DICOM (or a DICOMDIR).

    known: kinds whose facts have been told already; told once they are not read again.
    """
    if file.name.upper() == "DICOMDIR":
        return None
    try:
        with file.peek() as stream:
            start = stream.read(132)
            bare = BARE.match(start) is not None and start[128:132] != b"DICM"
            if start[128:132] != b"DICM" and not bare:
                packed = packed_dicom(start + stream.read(4000))
                return Header(file, Uids("", "", ""), "", packed, fault=True) if packed else None
            stream.seek(0)
            ds = pydicom.dcmread(stream, stop_before_pixels=True, force=bare, defer_size=_LARGEST_VALUE)
            uids = Uids(*(str(_value(ds, k, "") or "") for k in ("PatientID", "StudyInstanceUID", "SeriesInstanceUID")))
            sop = str(_value(ds, "SOPClassUID", "") or "")
            plain = _plain_pixels(ds, stream) if sop in CLASSIC or sop in ENHANCED else None
    except Exception:  # a damaged header raises anything at all
        return Header(file, Uids("", "", ""), "", DAMAGED, fault=True)
    if bare and not sop:
        return None
    if not sop:
        return Header(file, uids, "", "a damaged DICOM file without SOPClassUID: copy it again", fault=True)
    modality = CLASSIC.get(sop) or ENHANCED.get(sop) or ""
    try:
        reason = no_image(ds, sop)
        if reason:
            return Header(file, uids, modality, reason)
        expand = _classic if sop in CLASSIC else _enhanced
        frames = tuple((kind, replace(frame, plain=plain)) for kind, frame in expand(ds, file, uids))
    except _UnfitError as error:
        return Header(file, uids, modality, str(error), fault=True)
    except Exception:  # a value no one can parse; its text may identify a person and is not repeated
        return Header(file, uids, modality, "a header with unreadable values: export it again", fault=True)
    kinds = {kind for kind, _ in frames}
    facts = {} if kinds <= known and uids.series else _facts(ds)  # files without a UID may be of many series
    known |= kinds
    return Header(file, uids, modality, frames=frames, facts=facts)


def read_headers(files: Iterable[DicomFile]) -> list[Header | None]:
    """Headers of a batch. pydicom's warnings quote values and are not shown."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        known: set[Kind] = set()
        return [read_header(file, known) for file in files]


def _plain_pixels(ds: Dataset, stream: BinaryIO) -> PlainPixels | None:
    """Read the element that pydicom stopped before; anything unusual about it is left to the decoders."""
    syntax = ds.file_meta.get("TransferSyntaxUID")
    if syntax not in (ImplicitVRLittleEndian, ExplicitVRLittleEndian):
        return None
    head = stream.read(12)
    skip = 4 if syntax == ImplicitVRLittleEndian else 8
    if head[:4] != b"\xe0\x7f\x10\x00" or (skip == 8 and head[4:8] not in (b"OW\0\0", b"OB\0\0")):
        return None
    try:
        bits, stored, high, signed = (
            int(ds[_tag(k)].value) for k in ("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation")
        )
        shape = (int(_value(ds, "NumberOfFrames") or 1), *(int(ds[_tag(k)].value) for k in ("Rows", "Columns")))
    except (KeyError, AttributeError, TypeError, ValueError):
        return None
    wanted = math.prod(shape) * bits // 8
    length = int.from_bytes(head[skip : skip + 4], "little")
    if bits not in (8, 16, 32) or high != stored - 1 or not 0 <= length - wanted <= 1 or wanted == 0:
        return None
    offset = stream.tell() - len(head) + skip + 4
    return PlainPixels(offset, f"<{'i' if signed else 'u'}{bits // 8}", stored, shape)


def _classic(ds: Dataset, file: DicomFile, uids: Uids) -> Iterable[tuple[Kind, Frame]]:
    if int(_value(ds, "NumberOfFrames") or 1) != 1:
        raise _UnfitError("a classic object with several frames: export it as enhanced or single-frame MR")
    yield _one(ds, file, -1, uids, partial(_value, ds), ds)


def _enhanced(ds: Dataset, file: DicomFile, uids: Uids) -> Iterable[tuple[Kind, Frame]]:
    per_frame = ds.get("PerFrameFunctionalGroupsSequence")
    count = int(ds.get("NumberOfFrames") or 1)
    if not per_frame or len(per_frame) != count:
        raise _UnfitError("an enhanced object without a functional group for each frame: export it again")
    shared = (ds.get("SharedFunctionalGroupsSequence") or [Dataset()])[0]
    for index, own in enumerate(per_frame):
        yield _one(ds, file, index, uids, _functional(ds, shared, own), ds)


_WHERE = {
    "ImagePositionPatient": "PlanePositionSequence", "ImageOrientationPatient": "PlaneOrientationSequence",
    "PixelSpacing": "PixelMeasuresSequence", "RescaleSlope": "PixelValueTransformationSequence",
    "RescaleIntercept": "PixelValueTransformationSequence", "EffectiveEchoTime": "MREchoSequence",
    "FrameType": "MRImageFrameTypeSequence", "ComplexImageComponent": "MRImageFrameTypeSequence",
    "TemporalPositionIndex": "FrameContentSequence", "DiffusionBValue": "MRDiffusionSequence",
    "SliceThickness": "PixelMeasuresSequence", "SpacingBetweenSlices": "PixelMeasuresSequence",
    "RepetitionTime": "MRTimingAndRelatedParametersSequence", "FlipAngle": "MRTimingAndRelatedParametersSequence",
    "EchoTrainLength": "MRTimingAndRelatedParametersSequence", "InversionTimes": "MRModifierSequence",
    "FrameLaterality": "FrameAnatomySequence",
}  # fmt: skip


def _functional(ds: Dataset, shared: Dataset, own: Dataset) -> Callable[..., Any]:
    """A getter that looks into the per-frame, then the shared functional groups, then the object itself."""

    def get(keyword: str, default: Any = None) -> Any:
        if keyword in _WHERE:
            for groups in (own, shared):
                items = groups.get(_WHERE[keyword])
                if items and items[0].get(keyword) is not None:
                    return items[0].get(keyword)
        return _value(ds, keyword, default)

    return get


def _one(
    ds: Dataset, file: DicomFile, index: int, uids: Uids, get: Callable[..., Any], top: Dataset
) -> tuple[Kind, Frame]:
    words = tuple(str(v).upper() for v in (get("FrameType") or get("ImageType") or []))
    rows, columns = int(_value(top, "Rows") or 0), int(_value(top, "Columns") or 0)
    if min(rows, columns) < 1:
        raise _UnfitError("no usable Rows or Columns: export it again")
    if str(_value(top, "PhotometricInterpretation") or "") != "MONOCHROME2":
        raise _UnfitError("grey values that are not MONOCHROME2 (inverted or coloured): export it as MONOCHROME2")
    samples, signed = (int(_value(top, k, d) or 0) for k, d in (("SamplesPerPixel", 1), ("PixelRepresentation", 0)))
    if samples != 1 or signed not in (0, 1):
        raise _UnfitError("an impossible SamplesPerPixel or PixelRepresentation: export it again")
    if _value(top, "ModalityLUTSequence"):
        raise _UnfitError("a modality look-up table instead of slope and intercept: export it again")
    position, orientation, spacing = (_numbers(get, k, n) for k, n in zip(_GEOMETRY, (3, 6, 2), strict=True))
    if min(spacing) < 0.01 or max(spacing) > 100:
        raise _UnfitError(f"an impossible PixelSpacing of {min(spacing):g} mm: export it again")
    across, down = np.array(orientation[:3]), np.array(orientation[3:])
    if max(abs(across @ across - 1), abs(down @ down - 1), abs(across @ down)) > 2e-3:
        raise _UnfitError("an ImageOrientationPatient that is no pair of perpendicular unit vectors: export it again")
    slope, intercept = (float(v) if v not in (None, "") else d for v, d in (
        (get("RescaleSlope"), 1.0), (get("RescaleIntercept"), 0.0)))  # fmt: skip
    if not (math.isfinite(slope) and math.isfinite(intercept)) or slope == 0:
        raise _UnfitError("an impossible RescaleSlope or RescaleIntercept: export it again")
    te = get("EffectiveEchoTime") if get("EffectiveEchoTime") is not None else get("EchoTime")
    b_value, moment = get("DiffusionBValue"), get("TemporalPositionIndex") or get("TemporalPositionIdentifier")
    kind = Kind(
        uids,
        echo=f"{get('EchoNumbers') or ''}/{'' if te in (None, '') else round(float(te), 3)}",
        image_type=words,
        part=_part(words, get),
        matrix=(rows, columns),
        time_point=f"{'' if moment is None else moment}/{'' if b_value is None else b_value}",
    )
    number = get("InstanceNumber")
    instance = None if number in (None, "") else int(number)
    sop = str(_value(top, "SOPInstanceUID", "") or "")
    return kind, Frame(file, index, position, orientation, spacing, instance, slope, intercept, sop)


def _part(words: tuple[str, ...], get: Callable[..., Any]) -> str:
    """magnitude, phase, real or imaginary: (0008,9208), GE's (0043,102F), else the third and later image types."""
    component = str(get("ComplexImageComponent") or "").upper()
    if component in ("MAGNITUDE", "PHASE", "REAL", "IMAGINARY"):
        return component.lower()
    ge = get(0x0043102F)
    if ge is not None:
        try:
            return _GE_PARTS.get(int(ge), "magnitude")
        except (TypeError, ValueError):
            pass
    return next((_PARTS[w] for w in words[2:] if w in _PARTS), "magnitude")


def _numbers(get: Callable[..., Any], keyword: str, count: int) -> tuple[float, ...]:
    value = get(keyword)
    try:
        numbers = tuple(float(v) for v in value) if value is not None else ()
    except (TypeError, ValueError):
        numbers = ()
    if len(numbers) != count or not all(map(math.isfinite, numbers)):
        raise _UnfitError(f"no usable {keyword}: export the series again with its geometry")
    return numbers


def _facts(ds: Dataset) -> dict[str, Any]:
    """Plain values of the tags that the manifest and the sidecar are made from."""
    groups = ds.get("PerFrameFunctionalGroupsSequence")
    shared = (ds.get("SharedFunctionalGroupsSequence") or [Dataset()])[0]
    get = _functional(ds, shared, groups[0]) if groups else partial(_value, ds)
    facts: dict[str, Any] = {}
    for keyword in FACTS:
        try:
            value = get(keyword)
        except Exception:  # an unreadable value is an unknown value
            continue
        if value not in (None, ""):
            facts[keyword] = str(value) if isinstance(value, str) else _plain(value)
    for creator, tag in SLICES_ANNOUNCED:
        value = ds.get(tag)
        if ds.get((tag[0], 0x0010)) is not None and creator in str(ds[tag[0], 0x0010].value) and value is not None:
            facts["SlicesAnnounced"] = _plain(value.value)
    if groups and get("EffectiveEchoTime") is not None:
        facts["EchoTime"] = float(get("EffectiveEchoTime"))
    if groups and get("InversionTimes"):
        facts["InversionTime"] = _plain(get("InversionTimes"))
    return facts


def _plain(value: Any) -> Any:
    if isinstance(value, (int, float)):
        return float(value) if isinstance(value, float) else int(value)
    try:
        return [str(v) for v in value]
    except TypeError:
        return str(value)
