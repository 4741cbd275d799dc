"""Masks as DICOM SEG objects (PS3.3 A.51) that refer to the very images they were drawn on; extra `dicom`.

The object goes back to the archive it came from, so it carries the patient of its source images.
"""

from __future__ import annotations

import warnings
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pydicom

from orthodx.errors import StudyError, UsageError
from orthodx.joints import Joint, Structure
from orthodx.joints.joint import ANATOMY
from orthodx.studies.grouping import Stack
from orthodx.studies.label_tables import rgb
from orthodx.studies.series import Series
from orthodx.studies.verification import place_in
from orthodx.studies.writing import atomic

# of a patient and a study: attributes that may be empty but must be there (type 2), which anonymisers delete
MAY_BE_EMPTY = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyID", "StudyDate", "StudyTime"),
    *("AccessionNumber", "ReferringPhysicianName", "PositionReferenceIndicator"),
)
MUST_BE_THERE = ("StudyInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID")
_PRIVATE_SCHEME = "99ORTHODX"  # for structures SNOMED has no code for here


def require_highdicom() -> None:
    """Raise `UsageError` where the extra is not installed, before any work is done."""
    if find_spec("highdicom") is None:
        raise UsageError("DICOM SEG needs highdicom", hint='pip install "orthodx[dicom]"')


def write_dicom_seg(
    path: Path, labels: np.ndarray, affine: np.ndarray, series: Series, joint: Joint, model: str
) -> None:
    """Write `labels` (I, J, K) uint8, on the grid of the series' volume, as one binary segmentation, atomically.

    affine: voxel index -> RAS mm. Raises `StudyError` for a series that is not
    DICOM, or whose headers lack what the standard wants copied; what may be empty there is written empty.
    """
    import highdicom as hd

    if series.stack is None:
        raise StudyError(f"{series.series_id}: a DICOM SEG needs DICOM images, this is {series.path.name}",
                         hint="give the DICOM folder, or leave out dicom-seg")  # fmt: skip
    structures = sorted(joint.structures, key=lambda s: s.value)
    values = [s.value for s in structures]
    segment_of = np.zeros(256, np.uint8)
    segment_of[values] = np.arange(1, len(values) + 1)
    sources, frames, numbers = _on_sources(segment_of[labels], affine, series.stack, series.series_id)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they quote header values
            made = hd.seg.Segmentation(
                source_images=sources,
                pixel_array=frames,
                segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
                segment_descriptions=[_describe(n, s, model) for n, s in enumerate(structures, start=1)],
                series_instance_uid=hd.UID(),
                series_number=9000 + int(series.stack.facts.get("SeriesNumber", 0)) % 1000,
                sop_instance_uid=hd.UID(),
                instance_number=1,
                manufacturer="orthodx",
                manufacturer_model_name=model,
                software_versions=version("orthodx"),
                device_serial_number="0",
                series_description=f"orthodx {model}: {joint.name} structures"[:64],
                content_label="ORTHODX",
                content_description="Automatic segmentation, not for diagnosis",
            )
            _name_frames(made, numbers)
            with atomic(path) as temporary:
                made.save_as(temporary)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        lacks = f"they lack {error.name}" if isinstance(error, AttributeError) and error.name else type(error).__name__
        raise StudyError(f"{series.series_id}: no DICOM SEG can be made of these headers ({lacks})",
                         hint="the NIfTI mask can") from error  # fmt: skip


def _on_sources(
    labels: np.ndarray, affine: np.ndarray, stack: Stack, name: str
) -> tuple[list[pydicom.Dataset], np.ndarray, list[int]]:
    """The source images without pixels, the labels of each of their frames, (F, rows, columns), and, of an enhanced
    object, the numbers of these frames in it, from 1.
    """
    sources: list[pydicom.Dataset] = []
    planes, numbers = [], list[int]()
    for file in stack.files:
        with warnings.catch_warnings(), file.open() as stream:
            warnings.simplefilter("ignore")
            source = pydicom.dcmread(stream, stop_before_pixels=True, force=True)
        frames = sorted((frame for frame in stack.frames if frame.file == file), key=lambda frame: frame.index)
        of_file = np.stack([place_in(affine, labels.shape, f, stack.kind.matrix, name).of(labels) for f in frames])
        if "PerFrameFunctionalGroupsSequence" in source:
            indices = [max(frame.index, 0) for frame in frames]
            _keep_frames(source, indices)
            numbers += [index + 1 for index in indices]
        if lacking := [keyword for keyword in MUST_BE_THERE if not source.get(keyword)]:
            raise StudyError(
                f"{name}: no DICOM SEG can be made of images without {lacking[0]}", hint="the NIfTI mask can"
            )
        for keyword in MAY_BE_EMPTY:
            if keyword not in source:
                setattr(source, keyword, None)
        sources.append(source)
        planes.append(of_file)
    if len(sources) > 1 and any(len(p) > 1 for p in planes):
        raise StudyError(f"{name}: several enhanced objects make one volume", hint="use the NIfTI mask")
    return sources, np.concatenate(planes), numbers


def _keep_frames(source: pydicom.Dataset, indices: list[int]) -> None:
    """An enhanced object with these frames only (one echo of several), and with the geometry that they have in common
    told once: scanners may tell it with each frame.
    """
    own = [source.PerFrameFunctionalGroupsSequence[index] for index in indices]
    if not source.get("SharedFunctionalGroupsSequence"):
        source.SharedFunctionalGroupsSequence = [pydicom.Dataset()]
    shared = source.SharedFunctionalGroupsSequence[0]
    for keyword in ("PixelMeasuresSequence", "PlaneOrientationSequence"):
        if keyword not in shared and keyword in own[0]:
            setattr(shared, keyword, own[0][keyword].value)  # alike in all frames of a volume
            for frame in own:
                del frame[keyword]
    source.PerFrameFunctionalGroupsSequence = own
    source.NumberOfFrames = len(own)


def _name_frames(made: pydicom.Dataset, numbers: list[int]) -> None:
    """Let the frames of a mask refer to frames of the object as it lies in the archive. numbers: of those kept."""
    told = {
        id(image): image  # frames of several segments share it
        for frame in (made.PerFrameFunctionalGroupsSequence if numbers else ())
        for derivation in frame.get("DerivationImageSequence", ())
        for image in derivation.get("SourceImageSequence", ())
        if "ReferencedFrameNumber" in image
    }
    for image in told.values():
        image.ReferencedFrameNumber = numbers[int(image.ReferencedFrameNumber) - 1]


def _describe(number: int, structure: Structure, model: str) -> Any:
    import highdicom as hd
    from pydicom.sr.codedict import codes

    known, name = structure.snomed, structure.name
    return hd.seg.SegmentDescription(
        segment_number=number,
        segment_label=name.replace("_", " "),
        segmented_property_category=_sct(known.category if known else ANATOMY),
        segmented_property_type=_sct(known.kind) if known else hd.sr.CodedConcept(name[:16], _PRIVATE_SCHEME, name),
        algorithm_type=hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=hd.AlgorithmIdentificationSequence(
            name=f"orthodx {model}", version=version("orthodx"), family=codes.DCM.ArtificialIntelligence
        ),
        anatomic_regions=[_sct(known.region)] if known and known.region else None,
        display_color=hd.color.CIELabColor.from_rgb(*rgb(structure.colour)),
    )


def _sct(code: tuple[str, str]) -> Any:
    from highdicom.sr import CodedConcept

    return CodedConcept(code[0], "SCT", code[1])
