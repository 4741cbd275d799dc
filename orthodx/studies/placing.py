"""Where images lie in the world, and whether they show one place."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np


def world_box(affine: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """The box round an image in the world, (2, 3) mm: its least and its greatest coordinates."""
    ends = np.array(list(product(*[(0, n - 1) for n in shape[:3]]))) @ affine[:3, :3].T + affine[:3, 3]
    return np.array([ends.min(0), ends.max(0)])


def meet(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two boxes touch."""
    return bool((np.minimum(one[1], other[1]) >= np.maximum(one[0], other[0])).all())


def places(boxes: Sequence[np.ndarray]) -> list[list[int]]:
    """Indices of boxes that are joined by touching ones, a list a place."""
    found: list[list[int]] = []
    for i, box in enumerate(boxes):
        near = [place for place in found if any(meet(box, boxes[j]) for j in place)]
        found = [place for place in found if place not in near] + [[*(j for place in near for j in place), i]]
    return found
