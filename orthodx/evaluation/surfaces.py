"""Distances between the surfaces of two masks, by MONAI, and what they are where a mask is empty."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class SurfaceScores:
    """Of two non-empty masks: normalised surface Dice, 95 % Hausdorff and average symmetric distance in mm."""

    nsd: float
    hd95_mm: float
    assd_mm: float


def surface_scores(found: np.ndarray, truth: np.ndarray, spacing_mm: np.ndarray, tolerance_mm: float) -> SurfaceScores:
    """Scores of two non-empty boolean masks (I, J, K) with voxels of spacing_mm (3,).

    The surface is the voxels that 6-connected erosion takes away; distances run between voxel centres (MONAI
    `get_mask_edges` and `get_surface_distance`). HD95 is the larger of the two directed 95th percentiles, ASSD
    the mean of all distances of both directions (Heimann 2009), NSD the share of both surfaces within
    tolerance_mm of the other (Nikolov 2021). Raises `ValueError` where a mask is empty.
    """
    from monai.metrics.utils import get_mask_edges, get_surface_distance

    if not found.any() or not truth.any():
        raise ValueError("an empty mask has no surface")
    edges = get_mask_edges(found, truth, crop=False)
    there, back = (
        np.asarray(get_surface_distance(a, b, "euclidean", tuple(map(float, spacing_mm))), float)
        for a, b in (edges, edges[::-1])
    )
    both = np.concatenate([there, back])
    return SurfaceScores(
        nsd=float(np.mean(both <= tolerance_mm)),
        hd95_mm=float(max(np.percentile(there, 95), np.percentile(back, 95))),
        assd_mm=float(both.mean()),
    )
