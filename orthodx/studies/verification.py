"""Nothing a converter returns is believed before every slice is found where its DICOM tags say it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from orthodx.errors import StudyError
from orthodx.studies.frames import Frame

TOLERANCE_MM = 0.1
_LPS_TO_RAS = np.array([-1.0, -1.0, 1.0])


@dataclass(frozen=True, eq=False)
class Slice:
    """A frame with its stored values (rows, columns), as decoded, not yet scaled."""

    frame: Frame
    stored: np.ndarray

    @property
    def unscaled(self) -> bool:
        """Whether the stored values are the values."""
        return self.frame.slope == 1 and self.frame.intercept == 0

    @property
    def values(self) -> np.ndarray:
        """slope x stored + intercept, float64."""
        return self.stored.astype(np.float64) * self.frame.slope + self.frame.intercept


@dataclass(frozen=True)
class Place:
    """Where a frame lies in a volume: one plane of the array, its axes run forwards or backwards."""

    index: tuple[int | slice, int | slice, int | slice]
    transposed: bool

    def of(self, data: np.ndarray) -> np.ndarray:
        """The frame's pixels, a view, (rows, columns)."""
        plane = data[self.index]
        return plane.T if self.transposed else plane


def place_in(affine: np.ndarray, shape: tuple[int, ...], frame: Frame, matrix: tuple[int, ...], name: str) -> Place:
    """Find a frame in a volume by its tags.

    affine: voxel index -> RAS mm. shape: of the volume. matrix: rows, columns of the frame. Raises `StudyError`
    where a corner lies over 0.1 mm off a voxel centre, outside the volume, or not along the array axes.
    """
    rows, columns = matrix
    to_index = np.linalg.inv(affine)
    across, down = np.array(frame.orientation[:3]), np.array(frame.orientation[3:])
    row_mm, column_mm = frame.spacing
    first = np.array(frame.position)
    right, below = across * column_mm * (columns - 1), down * row_mm * (rows - 1)
    corners = np.array([first, first + right, first + below, first + right + below]) * _LPS_TO_RAS
    index = corners @ to_index[:3, :3].T + to_index[:3, 3]
    whole = np.rint(index)
    off = float(np.linalg.norm((index - whole) @ affine[:3, :3].T, axis=1).max())
    if not off <= TOLERANCE_MM:
        raise StudyError(f"{name}: a slice lies {off:.2f} mm off its tagged position", hint="export it again")
    o, c, r, far = whole.astype(int)
    if (whole < 0).any() or (whole >= shape).any():
        raise StudyError(f"{name}: a slice lies outside the converted volume", hint="export it again")
    along_c, along_r = np.flatnonzero(c - o), np.flatnonzero(r - o)
    if len(along_c) != 1 or len(along_r) != 1 or along_c[0] == along_r[0]:
        raise StudyError(f"{name}: a slice lies across the voxel grid", hint="export it again")
    axis_c, axis_r = int(along_c[0]), int(along_r[0])
    if abs(c - o)[axis_c] != columns - 1 or abs(r - o)[axis_r] != rows - 1 or (far != c + r - o).any():
        raise StudyError(f"{name}: the voxel size differs from PixelSpacing", hint="export it again")
    where: list[int | slice] = [int(i) for i in o]
    for axis, end in ((axis_c, int(c[axis_c])), (axis_r, int(r[axis_r]))):
        start = int(o[axis])
        step = 1 if end > start else -1
        stop = end + step
        where[axis] = slice(start, stop if stop >= 0 else None, step)
    return Place((where[0], where[1], where[2]), transposed=axis_c < axis_r)


def verify(data: np.ndarray, affine: np.ndarray, slices: Sequence[Slice], name: str) -> None:
    """Raise `StudyError` unless the volume is exactly the slices: all, each once, in place, with their values."""
    if data.ndim != 3:
        raise StudyError(f"{name}: the converted image has {data.ndim} dimensions", hint="export one 3D series")
    used = np.zeros(data.shape, bool)
    for one in slices:
        place = place_in(affine, data.shape, one.frame, one.stored.shape, name)
        if not _same(place.of(data), one):
            raise StudyError(f"{name}: converted voxels differ from the stored ones", hint="export it again")
        if place.of(used).any():
            raise StudyError(f"{name}: two slices became one", hint="split the series")
        place.of(used)[...] = True
    if not used.all():
        raise StudyError(f"{name}: {len(slices)} slices became another number of slices", hint="split the series")


def _same(found: np.ndarray, one: Slice) -> bool:
    if one.unscaled and found.dtype.kind in "iu":
        return bool(np.array_equal(found, one.stored))
    wanted = one.values
    scale = max(1.0, float(np.abs(wanted).max()))
    return bool(np.abs(found - wanted).max() <= 1e-6 * scale)
