"""Overlap of label maps on one grid."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from orthodx.errors import StudyError
from orthodx.studies.volume import SAME_PLACE_MM, Volume, apart_mm, turned_like

ONE_GRID = "score masks on the image they were made from, or resample one onto the other"


def on_grid_of(mask: Volume, truth: Volume, name: str) -> Volume:
    """The mask in the array order of the truth, its axes flipped or swapped where a tool stored them so.

    Raises `StudyError` unless the two then lie on one grid: equal shape, all eight corners within `SAME_PLACE_MM`.
    """
    mask = turned_like(mask, truth)
    if mask.shape != truth.shape:
        raise StudyError(f"{name}: the mask's grid {mask.shape} is not the truth's {truth.shape}", hint=ONE_GRID)
    if (gap := apart_mm(mask.affine, truth.affine, truth.shape)) > SAME_PLACE_MM:
        raise StudyError(f"{name}: the mask's grid lies {gap:.1f} mm off the truth's at a corner", hint=ONE_GRID)
    return mask


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
