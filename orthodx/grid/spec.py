"""What the model's grid is: per view, which way its axes run in the world, and its sampling."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from orthodx.errors import UsageError
from orthodx.joints import View

# For each view, the world axis (0 = x right, 1 = y anterior, 2 = z superior) and direction of the
# grid's depth, rows and columns: the way a radiologist hangs the image (anterior to the left on a
# sagittal, patient's right to the left on coronal and axial, superior or anterior on top).
AXES: dict[View, tuple[tuple[int, int], tuple[int, int], tuple[int, int]]] = {
    View.SAGITTAL: ((0, 1), (2, -1), (1, -1)),
    View.CORONAL: ((1, 1), (2, -1), (0, -1)),
    View.AXIAL: ((2, 1), (1, -1), (0, -1)),
}


def axis_matrix(view: View) -> np.ndarray:
    """(3, 3): columns are the unit world directions of the grid's (depth, row, column) axes."""
    matrix = np.zeros((3, 3))
    for column, (axis, sign) in enumerate(AXES[view]):
        matrix[axis, column] = sign
    return matrix


def left_to_right(view: View) -> int:
    """The axis of images (D, H, W) of a view that runs left to right, or right to left, in the world."""
    return next(axis for axis, (world, _) in enumerate(AXES[view]) if world == 0)


@dataclass(frozen=True, kw_only=True)
class GridSpec:
    """Sampling of the model's grid.

    pixel_mm: in-plane pixel, mm. slices: slices a window. overlap: slices two windows share.
    min_slice_mm: thinner slices are averaged to about this; thicker ones are kept one to one.
    multiple: rows and columns are padded to a multiple of this.
    """

    pixel_mm: float = 1.0
    slices: int = 16
    overlap: int = 6
    min_slice_mm: float = 1.5
    multiple: int = 16

    def __post_init__(self) -> None:
        sampled = 0.05 <= self.pixel_mm <= 20 and 0.05 <= self.min_slice_mm <= 50
        if not sampled or not 0 <= self.overlap < self.slices <= 512 or not 1 <= self.multiple <= 256:
            raise ValueError(f"impossible grid: {self}")

    def require_readable(self, what: str, size: tuple[int, int, int]) -> None:
        """Raise `UsageError` for slices, rows and columns that no encoder on this grid can read."""
        if min(size) < 1 or max(size) > 4096 or any(n % self.multiple for n in size[1:]):
            shape = " x ".join(map(str, size))
            hint = f"give one slice or more, and rows and columns that are multiples of {self.multiple}"
            raise UsageError(f"a {what} of {shape} cannot be read", hint=hint)
