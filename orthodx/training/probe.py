"""How much anatomy an encoder's frozen features hold: a linear probe, which also picks checkpoints.

Longer diffusion training does not mean better features (Xiang et al. 2023, DDAE), so the weights to keep are
those whose features let a linear classifier name the structures of held-out images best.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import RidgeClassifier
from sklearn.metrics import f1_score
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from orthodx.joints import View

FIRST = 2_000_000_000  # sample numbers that neither training nor validation reaches
SITES = 3000  # voxels looked at in each image
Features = Callable[[Tensor], Mapping[str, Tensor]]


def at_sites(features: Mapping[str, Tensor], shape: Sequence[int], sites: Tensor) -> Tensor:
    """Features of the blocks that lie over image voxels: (N, sum of channels) float32.

    features: {block: (1, C, D', H', W')} of an image of `shape` (D, H, W). sites: (N, 3) voxel indices.
    """
    columns = []
    for block in features.values():
        size = torch.tensor(block.shape[2:])
        d, h, w = ((sites + 0.5) * size / torch.tensor(shape)).long().minimum(size - 1).unbind(1)
        columns.append(block[0, :, d, h, w].T.float())
    return torch.cat(columns, 1).cpu()


@torch.inference_mode()
def probe(features: Features, source: Any, view: View, *, images: int = 8, device: torch.device) -> float:
    """Mean F1 (the Dice of voxels) over the structures seen, of a linear classifier on frozen features.

    features: image (1, 1, D, H, W) -> {block: (1, C, D', H', W')}. source: `source[i, view]` -> image
    (1, D, H, W) and structures (D, H, W). The classifier is fitted on the first half of `images` and scored
    on the second. Half the sites are drawn among the structures, half among all voxels.
    """
    x, y = [], []
    for i in range(images):
        image, truth = source[FIRST + i, view]
        generator = torch.Generator().manual_seed(i)
        inside = truth.flatten().nonzero().flatten()
        pools = [inside, torch.arange(truth.numel())] if len(inside) else [torch.arange(truth.numel())]
        flat = torch.cat([p[torch.randint(len(p), (SITES // len(pools),), generator=generator)] for p in pools])
        sites = torch.stack(torch.unravel_index(flat, truth.shape), 1)
        x.append(at_sites(features(image[None].to(device)), truth.shape, sites).numpy())
        y.append(truth.flatten()[flat].numpy())
    half = images // 2
    scale = StandardScaler().fit(np.concatenate(x[:half]))
    classifier = RidgeClassifier(alpha=10.0, class_weight="balanced")
    classifier.fit(scale.transform(np.concatenate(x[:half])), np.concatenate(y[:half]))
    found, true = classifier.predict(scale.transform(np.concatenate(x[half:]))), np.concatenate(y[half:])
    seen = sorted(set(true.tolist()) - {0})
    return float(f1_score(true, found, labels=seen, average="macro", zero_division=0.0))
