"""From class probabilities to the mask that `segment` writes."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from orthodx.grid.canonical import GridImage, from_grid
from orthodx.inference.plausibility import as_anatomy
from orthodx.inference.sided_pairs import settle_pairs
from orthodx.joints import Joint
from orthodx.studies.volume import Volume


def mask_of(probabilities: Tensor, grid: GridImage, volume: Volume, joint: Joint) -> np.ndarray:
    """Structure values (I, J, K) uint8 on the volume's own grid, as the joint's anatomy allows them.

    probabilities: (K, D, H, W), by class, on `grid`, which was made from the volume.
    """
    labels = np.array(joint.values, np.uint8)[from_grid(probabilities, grid)]
    return as_anatomy(settle_pairs(labels, volume.affine, joint), volume.spacing_mm, joint)
