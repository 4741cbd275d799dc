"""DICOM folders: classic single-frame MR stacks, several echoes in one series told apart, geometry verified.

dicom2nifti converts each group; nothing it returns is believed before `verify` has found every slice's
corners and voxels where the DICOM tags say they are.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError

from orthodx.errors import StudyError
from orthodx.studies.identity import pseudonym
from orthodx.studies.metadata import describe
from orthodx.studies.series import Series
from orthodx.studies.view import OBLIQUE_DEGREES, view_of
from orthodx.studies.volume import Volume

TOLERANCE_MM = 0.1
_IMAGE_CLASSES = {"1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.2"}  # MR, CT image storage


@dataclass(frozen=True)
class Slice:
    """One file's place and header (pixels unread)."""

    path: Path
    header: Dataset
    position: np.ndarray
    orientation: np.ndarray


def read_header(path: Path) -> Dataset | None:
    """The header without pixels, or None where the file is no DICOM."""
    try:
        with path.open("rb") as file:
            start = file.read(132)
        if start[128:132] != b"DICM" and not (start[:2] == b"\x08\x00" and path.suffix.lower() in ("", ".dcm", ".ima")):
            return None
        return pydicom.dcmread(path, stop_before_pixels=True, force=start[128:132] != b"DICM")
    except (InvalidDicomError, OSError, EOFError, ValueError):
        return None


def group(paths: Iterable[Path]) -> tuple[dict[tuple[Any, ...], list[Slice]], list[tuple[str, str]], int]:
    """Sort files into stacks; also what was refused (folder, reason) and how many files were no DICOM."""
    groups: dict[tuple[Any, ...], list[Slice]] = defaultdict(list)
    refused: dict[tuple[str, str], None] = {}
    other = 0
    for path in paths:
        header = read_header(path)
        if header is None or path.name.upper() == "DICOMDIR":
            other += 1
            continue
        reason = _unfit(header)
        if reason:
            refused[(str(path.parent), reason)] = None
            continue
        orientation = np.array([float(v) for v in header.ImageOrientationPatient])
        position = np.array([float(v) for v in header.ImagePositionPatient])
        image_type = [str(v) for v in header.get("ImageType", [])]
        key = (
            str(header.get("PatientID", "")),
            str(header.get("StudyInstanceUID", "")),
            str(header.get("SeriesInstanceUID", "")),
            str(header.get("EchoNumbers", header.get("EchoTime", ""))),
            str(header.get("EchoTime", "")),
            tuple(t for t in image_type if t in {"M", "P", "R", "I", "PHASE", "MAGNITUDE"}),
            (int(header.Rows), int(header.Columns)),
            tuple(np.round(np.array(header.PixelSpacing, float), 4)),
            tuple(np.round(orientation, 3)),
            str(header.get("TemporalPositionIdentifier", "")),
        )
        groups[key].append(Slice(path, header, position, orientation))
    return groups, list(refused), other


def _unfit(header: Dataset) -> str | None:
    """Why a file cannot be part of a volume, or None."""
    if str(header.get("SOPClassUID", "")) not in _IMAGE_CLASSES:
        return f"not a classic MR image ({header.get('SOPClassUID', 'no class')!s}): convert it to NIfTI first"
    if "LOCALIZER" in [str(v).upper() for v in header.get("ImageType", [])]:
        return "a localizer"
    if "MOSAIC" in [str(v).upper() for v in header.get("ImageType", [])]:
        return "a mosaic: its slices cannot be verified"
    if int(header.get("SamplesPerPixel", 1)) != 1:
        return "a colour image"
    for tag in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"):
        values = header.get(tag)
        try:
            numbers = np.array([float(v) for v in values]) if values is not None else None
        except (TypeError, ValueError):
            numbers = None
        if numbers is None or not np.isfinite(numbers).all():
            return f"no usable {tag}: export the series again with its geometry"
    return None


def load_stack(slices: list[Slice], name: str) -> Volume:
    """Convert one group and verify the result; raises `StudyError` naming what is wrong and where."""
    normal = np.cross(slices[0].orientation[:3], slices[0].orientation[3:])
    along = np.array([s.position @ normal for s in slices])
    order = np.argsort(along)
    gaps = np.diff(along[order])
    if len(slices) < 2:
        raise StudyError(f"{name}: a single slice is no volume", hint="export the whole series")
    if gaps.min() < 0.01:
        raise StudyError(
            f"{name}: two slices lie at the same position", hint="remove the duplicate or split the series"
        )
    typical = float(np.median(gaps))
    if np.abs(gaps - typical).max() > max(0.05, 0.02 * typical):
        i = int(np.argmax(np.abs(gaps - typical)))
        low, high = along[order][i], along[order][i + 1]
        raise StudyError(
            f"{name}: slices are not evenly spaced, {gaps[i]:.2f} mm between {low:.1f} and {high:.1f} mm "
            f"against {typical:.2f} mm elsewhere",
            hint="a slice is missing: export the series again",
        )
    datasets: list[Dataset] = []
    for i in order:
        try:
            dataset = pydicom.dcmread(slices[i].path)
            _ = dataset.pixel_array
        except Exception as error:  # decoders raise anything at all on damaged pixel data
            raise StudyError(
                f"{name}: {slices[i].path.name} cannot be decoded ({error})", hint="export it again"
            ) from error
        datasets.append(dataset)
    data, affine = _convert(datasets, name)
    verify(data, affine, datasets, name)
    volume = Volume(data, affine, name)
    volume.require_contrast()
    return volume


def _convert(datasets: list[Dataset], name: str) -> tuple[np.ndarray, np.ndarray]:
    from dicom2nifti import convert_generic
    from dicom2nifti.exceptions import ConversionError, ConversionValidationError

    logging.getLogger("dicom2nifti").setLevel(logging.ERROR)
    try:
        image = convert_generic.dicom_to_nifti(datasets, None)["NII"]
    except (
        ConversionError,
        ConversionValidationError,
        KeyError,
        IndexError,
        AttributeError,
        ValueError,
    ) as error:
        raise StudyError(f"{name}: dicom2nifti refused the series ({error})", hint="export it again") from error
    return np.asarray(image.dataobj, dtype=np.float32), np.asarray(image.affine, float)


def verify(data: np.ndarray, affine: np.ndarray, datasets: list[Dataset], name: str) -> None:
    """Raise `StudyError` unless every slice's corners (0.1 mm) and voxel values are in the volume as tagged."""
    to_index = np.linalg.inv(affine)
    lps_to_ras = np.array([-1.0, -1.0, 1.0])
    seen = set()
    for dataset in datasets:
        rows, columns = int(dataset.Rows), int(dataset.Columns)
        across, down = np.split(np.array([float(v) for v in dataset.ImageOrientationPatient]), 2)
        row_mm, column_mm = (float(v) for v in dataset.PixelSpacing)
        first = np.array([float(v) for v in dataset.ImagePositionPatient])
        corners = [first, first + across * column_mm * (columns - 1), first + down * row_mm * (rows - 1)]
        index = [to_index[:3, :3] @ (c * lps_to_ras) + to_index[:3, 3] for c in corners]
        whole = [np.rint(i) for i in index]
        off = max(float(np.abs(affine[:3, :3] @ (i - w)).max()) for i, w in zip(index, whole, strict=True))
        if off > TOLERANCE_MM:
            raise StudyError(
                f"{name}: a slice lies {off:.2f} mm off its tagged position", hint="convert with another tool"
            )
        o, c, r = (w.astype(int) for w in whole)
        if min(map(int, (*o, *c, *r))) < 0 or (np.stack([o, c, r]) >= data.shape).any():
            raise StudyError(f"{name}: a slice lies outside the converted volume", hint="convert with another tool")
        step_c, step_r = (c - o) // max(columns - 1, 1), (r - o) // max(rows - 1, 1)
        grid = o + np.arange(rows)[:, None, None] * step_r + np.arange(columns)[None, :, None] * step_c
        found = data[grid[..., 0], grid[..., 1], grid[..., 2]]
        slope, intercept = (
            float(dataset.get("RescaleSlope", 1) or 1),
            float(dataset.get("RescaleIntercept", 0) or 0),
        )
        wanted = dataset.pixel_array.astype(np.float32) * np.float32(slope) + np.float32(intercept)
        if not np.allclose(found, wanted, rtol=1e-4, atol=1e-3 * max(1.0, abs(slope))):
            raise StudyError(f"{name}: converted voxels differ from the stored ones", hint="convert with another tool")
        seen.add(int(o @ np.abs(np.cross(step_c, step_r))))
    if len(seen) != len(datasets) or len(datasets) != np.prod(data.shape) // (rows * columns):
        raise StudyError(f"{name}: {len(datasets)} files became another number of slices", hint="split the series")


def series_in(paths: Iterable[Path]) -> tuple[list[Series], list[tuple[str, str]], int]:
    """All usable stacks among `paths` as lazily loaded `Series`; ids are keyed hashes, never raw UIDs."""
    groups, refused, other = group(paths)
    found = []
    echoes: dict[str, list[float]] = defaultdict(list)
    for key, slices in groups.items():
        echoes[key[2]].append(float(slices[0].header.get("EchoTime") or 0))
    for key, slices in sorted(groups.items(), key=lambda item: str(item[0])):
        header = slices[0].header
        study = f"study-{pseudonym(key[1])}"
        number = int(header.get("SeriesNumber") or 0)
        series_id = f"{study}_s{number:03d}-{pseudonym(key[2], 4)}"
        te = float(header.get("EchoTime") or 0)
        if len(echoes[key[2]]) > 1:
            series_id += f"_e{sorted(echoes[key[2]]).index(te) + 1}"
        name = f"{slices[0].path.parent.name}: series {number}" + (f" echo TE {te:g} ms" if te else "")
        if len(slices) < 2:
            refused.append((name, "a single slice is no volume"))
            continue
        affine = _tag_affine(slices)
        view, angle = view_of(affine, (int(header.Columns), int(header.Rows), len(slices)))
        found.append(
            Series(
                patient_id=f"patient-{pseudonym(key[0])}",
                study_id=study,
                series_id=series_id,
                path=slices[0].path.parent,
                view=view,
                oblique=angle > OBLIQUE_DEGREES,
                load=lambda slices=slices, name=name: load_stack(slices, name),  # type: ignore[misc]
                row={**describe(header), "slices": len(slices), "converter": "dicom2nifti, verified"},
            )
        )
    return found, refused, other


def _tag_affine(slices: list[Slice]) -> np.ndarray:
    """Approximate affine from the tags alone: enough to tell the view."""
    first = slices[0]
    normal = np.cross(first.orientation[:3], first.orientation[3:])
    along = np.sort([s.position @ normal for s in slices])
    row_mm, column_mm = (float(v) for v in first.header.PixelSpacing)
    affine = np.eye(4)
    affine[:3, 0] = first.orientation[:3] * column_mm
    affine[:3, 1] = first.orientation[3:] * row_mm
    affine[:3, 2] = normal * max(float(np.median(np.diff(along))), 1e-3)
    affine[:2] *= -1
    return affine
