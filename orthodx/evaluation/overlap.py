"""Overlap of label maps on one grid."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from nibabel.orientations import io_orientation

from orthodx.errors import StudyError
from orthodx.studies.volume import SAME_PLACE_MM, Volume, apart_mm

ONE_GRID = "score masks on the image they were made from, or resample one onto the other"


def same_grid(mask: Volume, truth: Volume, name: str) -> None:
    """Raise `StudyError` unless the two lie on one grid: equal shape, all eight corners within `SAME_PLACE_MM`."""
    if not np.array_equal(io_orientation(mask.affine), io_orientation(truth.affine)):
        raise StudyError(
            f"{name}: the mask's array axes run another way than the truth's",
            hint="store both alike, for example by nibabel.as_closest_canonical",
        )
    if mask.shape != truth.shape:
        raise StudyError(f"{name}: the mask's grid {mask.shape} is not the truth's {truth.shape}", hint=ONE_GRID)
    if (gap := apart_mm(mask.affine, truth.affine, truth.shape)) > SAME_PLACE_MM:
        raise StudyError(f"{name}: the mask's grid lies {gap:.2g} mm off the truth's at a corner", hint=ONE_GRID)


def dice_by_structure(found: np.ndarray, truth: np.ndarray, values: Iterable[int]) -> dict[int, float]:
    """Dice of every structure value of two label maps of one shape; NaN where both are empty.

    Dice = 2 |A and B| / (|A| + |B|) (Dice 1945); 0 where only one is empty.
    """
    if found.shape != truth.shape:
        raise ValueError(f"shapes {found.shape} and {truth.shape} differ")
    a, b = np.asarray(found, np.uint8).ravel(), np.asarray(truth, np.uint8).ravel()
    overlap = np.bincount(b[a == b], minlength=256)
    size = np.bincount(a, minlength=256) + np.bincount(b, minlength=256)
    return {v: float(2 * overlap[v] / size[v]) if size[v] else float("nan") for v in values}
