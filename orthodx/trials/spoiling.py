"""Images as no scanner should give them, so that there are bad masks to tell from good ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

MOST = 2  # ways at once


def spoiled(data: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A volume (I, J, K) with noise, blur, shading, ringing or another contrast, one or two of these, by MONAI."""
    low, high = np.percentile(data, (1, 99))
    scaled = np.clip((data - low) / max(high - low, 1e-6), 0, 1.5)
    image = torch.from_numpy(np.ascontiguousarray(scaled, np.float32))[None]
    ways = _ways(rng)
    for way in rng.choice(len(ways), int(rng.integers(1, MOST + 1)), replace=False):
        image = torch.as_tensor(ways[way](image)).contiguous()
    return np.asarray(image[0].clip(0), np.float32) * np.float32(high - low)


def _ways(rng: np.random.Generator) -> list[Any]:
    from monai import transforms  # slow to import

    strength = float(rng.uniform(0.2, 1))
    seed = int(rng.integers(2**31))
    bias = transforms.RandBiasField(prob=1, coeff_range=(0, 0.5 * strength)).set_random_state(seed)
    noise = transforms.RandRicianNoise(prob=1, std=0.4 * strength, sample_std=False).set_random_state(seed)
    contrast = transforms.RandHistogramShift(prob=1, num_control_points=(4, 8)).set_random_state(seed)
    gamma = float(np.exp(rng.choice([-1, 1]) * 1.2 * strength))
    return [
        bias,
        noise,
        contrast,
        transforms.GaussianSmooth(3 * strength),
        transforms.AdjustContrast(gamma),
        transforms.GibbsNoise(0.7 + 0.25 * strength),
        lambda image: image.max() - image,
    ]
