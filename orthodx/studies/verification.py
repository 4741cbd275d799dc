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


def place_in(affine: np.ndarray, frame: Frame, matrix: tuple[int, ...], name: str) -> np.ndarray:
    """Voxel index of every pixel of a frame, (rows, columns, 3) int.

    affine: voxel index -> RAS mm. matrix: rows, columns. Raises `StudyError` where a corner lies over 0.1 mm off
    a voxel centre.
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
    step_c, step_r = (c - o) // max(columns - 1, 1), (r - o) // max(rows - 1, 1)
    grid = o + np.arange(rows)[:, None, None] * step_r + np.arange(columns)[None, :, None] * step_c
    if (grid[-1, -1] != far).any() or (grid[0, -1] != c).any() or (grid[-1, 0] != r).any():
        raise StudyError(f"{name}: the voxel size differs from PixelSpacing", hint="export it again")
    return grid


def verify(data: np.ndarray, affine: np.ndarray, slices: Sequence[Slice], name: str) -> None:
    """Raise `StudyError` unless the volume is exactly the slices: all, each once, in place, with their values."""
    if data.ndim != 3:
        raise StudyError(f"{name}: the converted image has {data.ndim} dimensions", hint="export one 3D series")
    used = np.zeros(data.shape, bool)
    for one in slices:
        grid = place_in(affine, one.frame, one.stored.shape, name)
        if grid.min() < 0 or (grid.reshape(-1, 3).max(0) >= data.shape).any():
            raise StudyError(f"{name}: a slice lies outside the converted volume", hint="export it again")
        where = (grid[..., 0], grid[..., 1], grid[..., 2])
        if not _same(data[where], one):
            raise StudyError(f"{name}: converted voxels differ from the stored ones", hint="export it again")
        if used[where].any():
            raise StudyError(f"{name}: two slices became one", hint="split the series")
        used[where] = True
    if not used.all():
        raise StudyError(f"{name}: {len(slices)} slices became another number of slices", hint="split the series")


def _same(found: np.ndarray, one: Slice) -> bool:
    if one.unscaled and found.dtype.kind in "iu":
        return bool(np.array_equal(found, one.stored))
    wanted = one.values
    scale = max(1.0, float(np.abs(wanted).max()))
    return bool(np.abs(found - wanted).max() <= 1e-6 * scale)
