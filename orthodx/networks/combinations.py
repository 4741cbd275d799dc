"""Which series go together where a study has several of one view."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np


def combinations(counts: Sequence[int], most: int) -> np.ndarray:
    """(N, V) which of `counts` (at least 1 each) series each of V views gives: all combinations, or `most` evenly."""
    total = math.prod(counts)
    taken = np.linspace(0, total - 1, min(total, most)).round().astype(int)
    return np.stack(np.unravel_index(taken, counts), 1)
