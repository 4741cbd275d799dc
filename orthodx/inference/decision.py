"""From class probabilities to the mask that `segment` writes.

Where the planes of a 3D series were averaged, each places thin structures a little differently, so that their mean is
nowhere above one half and the likeliest class is background: soft structures shrink, and cruciates vanish.
The mask that is expected to overlap best with the truth takes every cell above half of the Dice that it can expect
(Lipton 2014), which is less than one half where the looks are unsure. Networks are surer than they should be, so half
of the way there is taken, on the scale of odds: docs/research/experiments.md 11.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from orthodx.grid.canonical import GridImage, from_grid
from orthodx.inference.plausibility import as_anatomy
from orthodx.inference.sided_pairs import settle_pairs
from orthodx.joints import Joint
from orthodx.studies.volume import Volume

WAY = 0.5  # of the way from the likeliest class to the expected overlap, in log-odds
STEPS = 200  # thresholds that are tried
LEAST, MOST = 0.1, 0.5  # of a threshold
HAZE = 0.01  # smaller probabilities are of no structure
LEAST_CELLS = 50  # in which a structure is at least possible


def mask_of(
    probabilities: Tensor, grid: GridImage, volume: Volume, joint: Joint, *, several: bool = False
) -> np.ndarray:
    """Structure values (I, J, K) uint8 on the volume's own grid, as the joint's anatomy allows them.

    probabilities: (K, D, H, W), by class, on `grid`, which was made from the volume. several: they are the mean over
    planes of one series.
    """
    weights = by_expected_overlap(probabilities, joint) if several else None
    labels = np.array(joint.values, np.uint8)[from_grid(probabilities, grid, weights)]
    return as_anatomy(settle_pairs(labels, volume.affine, joint), volume.spacing_mm, joint)


def by_expected_overlap(probabilities: Tensor, joint: Joint) -> Tensor:
    """(K,) by what to multiply probabilities (K, D, H, W) before the likeliest class is taken; 1 of bones.

    A bone that is unsure is so about fat and fluid that look like it, which are not to become bone.
    """
    weights, bones = torch.ones(len(probabilities)), {s.value for s in joint.structures if s.one_piece}
    for k, value in enumerate(joint.values[1:], start=1):
        if value not in bones:
            threshold = best_threshold(probabilities[k])
            weights[k] = ((1 - threshold) / threshold) ** WAY
    return weights


def best_threshold(chance: Tensor) -> float:
    """The threshold between `LEAST` and `MOST` whose mask is expected to have the highest Dice with the truth.

    chance: (D, H, W), of one structure. The mask M of a threshold expects 2 sum_M p / (|M| + sum p).
    """
    counts = torch.histc(chance.float(), STEPS, 0, 1)
    centres = (torch.arange(STEPS) + 0.5) / STEPS
    inside = counts.flip(0).cumsum(0).flip(0)  # of the mask above the lower edge of each step
    promised = (counts * centres).flip(0).cumsum(0).flip(0)
    low, high = round(LEAST * STEPS), round(MOST * STEPS)
    if inside[low] < LEAST_CELLS:
        return MOST
    expected = 2 * promised / (inside + promised[round(HAZE * STEPS)])
    return (low + int(expected[low : high + 1].argmax())) / STEPS
