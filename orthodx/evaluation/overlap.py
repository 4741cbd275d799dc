"""Overlap of label maps on one grid."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from orthodx.errors import StudyError
from orthodx.studies.volume import Volume


def same_grid(mask: Volume, truth: Volume, name: str) -> None:
    """Raise `StudyError` unless the two lie on one grid: equal shape, affines within 0.01 mm."""
    if mask.shape != truth.shape or not np.allclose(mask.affine, truth.affine, atol=1e-2):
        raise StudyError(
            f"{name}: the mask's grid {mask.shape} is not the truth's {truth.shape}, or lies elsewhere",
            hint="score masks on the image they were made from, or resample one onto the other",
        )


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
