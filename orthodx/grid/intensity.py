"""Intensity: every image enters a network in [-1, 1], whatever its scanner's units were."""

from __future__ import annotations

import torch
from torch import Tensor

LOW, HIGH = 0.01, 0.99


def normalise(image: Tensor) -> Tensor:
    """Map the 1st and 99th percentile of each volume to -1 and 1 and clamp.

    image: (..., D, H, W) float, any unit. Percentiles are taken over every second pixel of each plane
    and, in MR images, over what is not exactly zero (padding outside the field of view says nothing of
    contrast). A constant volume becomes -1.
    """
    flat = image.flatten(0, -4) if image.ndim > 3 else image[None]
    out = torch.empty_like(flat, dtype=torch.float32)
    for i, volume in enumerate(flat):
        sample = volume[..., ::2, ::2].flatten().float()
        inside = sample[sample != 0]
        sample = (inside if inside.numel() > 64 else sample).sort().values
        low, high = (sample[round(q * (len(sample) - 1))] for q in (LOW, HIGH))
        out[i] = ((volume.float() - low) / (high - low).clamp_min(1e-12) * 2 - 1).clamp_(-1, 1)
        if high <= low:
            out[i] = -1
    return out.view(image.shape)


def stretch(image: Tensor, among: Tensor) -> Tensor:
    """Map the least and the greatest value of `among` to -1 and 1 and clamp, as published; a constant becomes -1.

    image: (...) float, any unit. among: (...), of the same image.
    """
    low, high = among.min(), among.max()
    if high <= low:
        return torch.full_like(image, -1)
    return ((image - low) / (high - low) * 2 - 1).clamp(-1, 1)
