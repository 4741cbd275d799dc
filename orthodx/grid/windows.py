"""Windows over the slices: every slice is read, neighbours share some, and the overlap is blended."""

from __future__ import annotations

import torch
from torch import Tensor


def windows(n: int, size: int, overlap: int) -> list[slice]:
    """Slices of at most `size` that cover 0..n-1, evenly spread, neighbours sharing at least `overlap`.

    >>> windows(24, 16, 6)
    [slice(0, 16, None), slice(8, 24, None)]
    """
    if n <= size:
        return [slice(0, n)]
    count = -(-(n - overlap) // (size - overlap))
    starts = [round(i * (n - size) / (count - 1)) for i in range(count)]
    return [slice(start, start + size) for start in starts]


def blend(size: int) -> Tensor:
    """Weights (size,) of a window's slices: full in the middle, falling towards the cut ends."""
    ramp = torch.arange(1, size + 1, dtype=torch.float32)
    return torch.minimum(ramp, ramp.flip(0)).clamp_max(size / 4) / (size / 4)
