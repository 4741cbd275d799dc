"""NIfTI in and out: read with every doubt turned into one line, write masks on exactly the image's grid."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError

from orthodx.errors import StudyError
from orthodx.joints import Joint
from orthodx.studies.label_tables import label_extension
from orthodx.studies.volume import Volume, apart_mm, check_affine, check_shape
from orthodx.studies.writing import atomic

ROUNDED = -1e-5  # a quaternion of float32 may be longer than one by this
MAX_VOXELS = 500_000_000  # 2 GB as float32; a 400 x 512 x 512 scan has 105 million


def is_nifti(path: Path) -> bool:
    """Whether the name says NIfTI."""
    return path.name.lower().endswith((".nii", ".nii.gz"))


def read_volume(path: str | Path) -> Volume:
    """Read one 3D image as float32.

    Raises `StudyError` for files that are truncated, not NIfTI, not 3D, coloured, complex, of impossible
    size or without a trustworthy place in the world. A trailing fourth axis of one is dropped.
    """
    path = Path(path)
    try:
        image: Any = nib.load(path)
        header, shape = image.header, tuple(image.shape)
        if len(shape) > 3 and set(shape[3:]) == {1}:
            shape = shape[:3]
        check_shape(shape, path.name)
        if np.prod(shape, dtype=np.float64) > MAX_VOXELS:
            raise StudyError(f"{path.name}: the header claims {shape} voxels", hint="check the file; it may be damaged")
        dtype = header.get_data_dtype()
        if dtype.fields is not None or dtype.kind == "c":
            kind = "colour" if dtype.fields is not None else "complex"
            raise StudyError(f"{path.name}: the voxels are {kind}", hint="export magnitude grey values")
        affine, codes = _place(image, path.name)
        data = np.asarray(image.dataobj, dtype=np.float32).reshape(shape)
    except FileNotFoundError as error:
        raise StudyError(f"{path}: no such file", hint="check the path") from error
    except (ImageFileError, HeaderDataError, OSError, EOFError, ValueError, zlib.error) as error:
        reason = str(error).replace(str(path), path.name).splitlines()[0] if str(error) else type(error).__name__
        raise StudyError(f"{path.name}: not a whole NIfTI image ({reason})", hint="copy or export it again") from error
    return Volume(data, affine, path.name, codes)


def _place(image: Any, name: str) -> tuple[np.ndarray, tuple[int, int]]:
    """The affine, and the qform and sform codes; refuses none, and two that disagree."""
    header = image.header
    if not hasattr(header, "get_qform"):
        raise StudyError(f"{name}: not NIfTI but {type(image).__name__}", hint="convert it to .nii.gz")
    quaternion = np.array([header[f"quatern_{axis}"] for axis in "bcd"], float)
    if quaternion @ quaternion > 1:  # only then: below, what is left of one is a turn of up to a third of a degree
        header.quaternion_threshold = ROUNDED
    qcode, scode = int(header["qform_code"]), int(header["sform_code"])
    if qcode == 0 and scode == 0:
        raise StudyError(
            f"{name}: the header says nothing of orientation (qform and sform codes are 0)",
            hint="convert again from DICOM; left and right cannot be told",
        )
    if (unit := _unit_of_length(header)) != "mm":
        raise StudyError(f"{name}: its lengths are in {unit}, not mm (xyzt_units)", hint="scale the header to mm")
    raw = np.asarray(header["pixdim"][1:4], float)
    if not np.isfinite(raw).all() or (scode == 0 and (raw <= 0).any()):
        raise StudyError(f"{name}: the voxel size {raw} is impossible", hint="repair the header or export again")
    if scode:
        affine = np.asarray(header.get_sform(), float)
        check_affine(affine, name)
        if qcode and (raw > 0).all():
            gap = apart_mm(affine, header.get_qform(), image.shape)
            if gap > 1.0:
                raise StudyError(
                    f"{name}: sform and qform disagree by {gap:.1f} mm",
                    hint="set both to the right one and try again",
                )
        return affine, (qcode, scode)
    return np.asarray(header.get_qform(), float), (qcode, scode)


def _unit_of_length(header: Any) -> str:
    """ "mm" where the header does not say: nearly nobody else writes anything."""
    code = int(header["xyzt_units"]) & 7
    return {0: "mm", 1: "metres", 2: "mm", 3: "microns"}.get(code, f"an unknown unit ({code})")


def write_mask(path: Path, labels: np.ndarray, reference: Volume, joint: Joint | None = None) -> None:
    """Write `labels` (I, J, K) as uint8 on the reference's very grid, atomically; the joint's names in the header."""
    if labels.shape != reference.shape:
        raise ValueError(f"labels {labels.shape} do not fit {reference.source} {reference.shape}")
    image = nib.Nifti1Image(labels.astype(np.uint8), reference.affine)
    image.header.set_xyzt_units("mm")
    qcode, scode = reference.codes
    image.set_sform(reference.affine, code=scode)
    image.set_qform(reference.affine, code=qcode)
    if joint is not None:
        image.header.extensions.append(label_extension(joint))
    with atomic(path) as temporary:
        nib.save(image, temporary)


def write_image(path: Path, data: np.ndarray, affine: np.ndarray) -> None:
    """Write an image (I, J, K) with scanner coordinates, atomically."""
    image = nib.Nifti1Image(data, affine)
    image.header.set_xyzt_units("mm")
    image.set_sform(affine, code=1)
    image.set_qform(affine, code=1)
    with atomic(path) as temporary:
        nib.save(image, temporary)
