"""One stack of DICOM frames becomes one verified volume, or is refused with a named reason.

dicom2nifti (strict) goes first, dcm2niix second where it is installed; both are held to the same proof.
"""

from __future__ import annotations

import logging
import warnings
from importlib.metadata import version
from typing import Any

import numpy as np

from orthodx.errors import StudyError
from orthodx.studies import dcm2niix
from orthodx.studies.completeness import announced_gap
from orthodx.studies.dicom_files import DicomFile
from orthodx.studies.grouping import NAMED, Stack
from orthodx.studies.parts import EVEN_MM, EVEN_SHARE
from orthodx.studies.pixels import decode
from orthodx.studies.verification import Slice, verify
from orthodx.studies.volume import Volume


def convert_stack(stack: Stack, name: str) -> tuple[Volume, str]:
    """The verified volume and the converter with its version; raises `StudyError` with the reason."""
    check_geometry(stack, name)
    slices = _read(stack, name)
    try:
        data, affine = _dicom2nifti(slices, name)
        verify(data, affine, slices, name)
        converter = f"dicom2nifti {version('dicom2nifti')}"
    except StudyError as first:
        if not dcm2niix.available():
            raise
        try:
            data, affine = dcm2niix.convert(stack, name)
            verify(data, affine, slices, name)
            converter = f"dcm2niix {dcm2niix.version()}"
        except StudyError as second:
            raise StudyError(f"{first}; {str(second).removeprefix(f'{name}: ')}", hint=first.hint) from second
    volume = Volume(data, affine, name)
    volume.require_image()
    return volume, converter


def check_geometry(stack: Stack, name: str) -> None:
    """Raise `StudyError` unless the frames lie one behind the other, evenly, each place once."""
    if stack.fault:
        named = [*stack.faulty_files[:NAMED], *["..."] * (len(stack.faulty_files) > NAMED)]
        where = f"{', '.join(named)}: " if named else ""
        raise StudyError(f"{name}: {where}{stack.fault}")
    frames = stack.frames
    if len(frames) < 2:
        raise StudyError(f"{name}: a single slice is no volume", hint="export the whole series")
    positions = np.array([f.position for f in frames])
    along = positions @ stack.normal
    gaps = np.diff(along)
    if gaps.min() < 0.01:
        places = len(np.unique(np.round(along, 2)))
        if len(frames) % places == 0 and len(frames) > places and np.ptp(_counts(along)) == 0:
            raise StudyError(
                f"{name}: 4D or repeated: {len(frames) // places} images at each of {places} positions",
                hint="give a single 3D image",
            )
        i = int(np.argmin(gaps))
        both = " and ".join(f"{f.file.folder.name}/{f.file.name}" for f in frames[i : i + 2])
        raise StudyError(
            f"{name}: two slices lie at the same position, {both}", hint="remove the duplicate or split the series"
        )
    typical = float(np.median(gaps))
    if np.abs(gaps - typical).max() > max(EVEN_MM, EVEN_SHARE * typical):
        i = int(np.argmax(np.abs(gaps - typical)))
        raise StudyError(
            f"{name}: slices are not evenly spaced, {gaps[i]:.2f} mm between {along[i]:.1f} and {along[i + 1]:.1f} mm "
            f"against {typical:.2f} mm elsewhere",
            hint="a slice is missing or misplaced: export the series again",
        )
    drift = positions - positions[0] - np.outer(along - along[0], stack.normal)
    shift = float(np.linalg.norm(drift, axis=1).max())
    if shift > 0.1:
        raise StudyError(
            f"{name}: sheared: its slices are shifted sideways by up to {shift:.1f} mm (gantry tilt?)",
            hint="resample it to a rectangular grid with the scanner's software",
        )
    _check_announced(stack, typical, name)


def _check_announced(stack: Stack, gap: float, name: str) -> None:
    """Every second slice missing leaves even gaps: SpacingBetweenSlices tells, where it is a centre distance."""
    announced = announced_gap(stack.facts)
    if announced and gap / announced > 1.9 and abs(gap / announced - round(gap / announced)) < 0.05:
        raise StudyError(
            f"{name}: slices lie {gap:.2f} mm apart, the header says {announced:.2f} mm",
            hint="slices are missing: export the series again",
        )


def _counts(along: np.ndarray) -> np.ndarray:
    return np.unique(np.round(along, 2), return_counts=True)[1]


def _read(stack: Stack, name: str) -> list[Slice]:
    """Decode every frame; each file is opened once."""
    decoded: dict[DicomFile, np.ndarray] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom's warnings quote values
        for frame in stack.frames:
            if frame.file not in decoded:
                decoded[frame.file] = decode(frame, name)
    slices = []
    for frame in stack.frames:
        pixels = decoded[frame.file]
        image = pixels if frame.index < 0 else pixels.reshape(-1, *pixels.shape[-2:])[frame.index]
        if image.shape != stack.kind.matrix:
            raise StudyError(f"{name}: {frame.file.name} has another size than its header says", hint="export it again")
        slices.append(Slice(frame, image))
    return slices


def _dicom2nifti(slices: list[Slice], name: str) -> tuple[np.ndarray, np.ndarray]:
    from dicom2nifti import convert_generic, settings

    logging.getLogger("dicom2nifti").setLevel(logging.CRITICAL)
    settings.enable_validate_slicecount()
    settings.enable_validate_orientation()
    settings.enable_validate_orthogonal()
    settings.enable_validate_slice_increment()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = convert_generic.dicom_to_nifti([_PlainSlice(s, k) for k, s in enumerate(slices)], None)["NII"]
    except Exception as error:  # its own two exceptions, and whatever numpy and pydicom raise within
        reason = str(error) if str(error).replace("_", "").replace("/", "").isupper() else type(error).__name__
        raise StudyError(f"{name}: dicom2nifti refused the series ({reason})", hint="export it again") from error
    return np.asarray(image.dataobj), np.asarray(image.affine, float)


class _PlainSlice:
    """A frame as dicom2nifti sees a classic object: the few attributes its array conversion asks for.

    A pydicom Dataset here would cost more time than the whole rest of the conversion.
    """

    Modality, PhotometricInterpretation, PixelData, file_meta = "MR", "MONOCHROME2", b"", ()

    def __init__(self, one: Slice, number: int) -> None:
        frame = one.frame
        self.InstanceNumber = number + 1
        self.ImagePositionPatient, self.ImageOrientationPatient = frame.position, frame.orientation
        self.PixelSpacing, self.pixel_array = frame.spacing, one.stored
        self.BitsAllocated = self.BitsStored = one.stored.dtype.itemsize * 8
        self.HighBit, self.PixelRepresentation = self.BitsStored - 1, int(one.stored.dtype.kind == "i")
        if not one.unscaled:
            self.RescaleSlope, self.RescaleIntercept = frame.slope, frame.intercept

    def __contains__(self, keyword: object) -> bool:
        return isinstance(keyword, str) and hasattr(self, keyword)

    def get(self, keyword: str, default: Any = None) -> Any:
        return getattr(self, keyword, default)

    def __deepcopy__(self, memo: dict[int, Any]) -> _PlainSlice:
        return self  # nothing in it is ever written to
