"""How much anatomy an encoder's frozen features hold: a linear probe, which also picks checkpoints.

Longer diffusion training does not mean better features (Xiang et al. 2023, DDAE), so the weights to keep are
those whose features let a linear classifier name the structures of held-out images best.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from orthodx.joints import View

FIRST = 2_000_000_000  # sample numbers that neither training nor validation reaches
SITES = 3000  # voxels looked at in each image
Features = Callable[[Tensor], Mapping[str, Tensor]]
Known = tuple[np.ndarray, np.ndarray]


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


@dataclass(frozen=True)
class Sites:
    """Some voxels of one image (1, D, H, W): their indices (N, 3) and structures (N,)."""

    image: Tensor
    indices: Tensor
    structures: np.ndarray


def sites_of(source: Any, view: View, number: int) -> Sites:
    """Held-out image `number` of a source, half of its sites drawn among the structures, half among all voxels."""
    image, truth = source[FIRST + number, view]
    generator = torch.Generator().manual_seed(number)
    inside = truth.flatten().nonzero().flatten()
    pools = [inside, torch.arange(truth.numel())] if len(inside) else [torch.arange(truth.numel())]
    flat = torch.cat([p[torch.randint(len(p), (SITES // len(pools),), generator=generator)] for p in pools])
    return Sites(image, torch.stack(torch.unravel_index(flat, truth.shape), 1), truth.flatten()[flat].numpy())


def fit_and_count(fitted: Sequence[Known], scored: Sequence[Known]) -> np.ndarray:
    """Fit a linear classifier on features with their structures; on others count (images, 256, 3).

    Known: features (N, C) and structures (N,) of one image. Counts a structure value: sites rightly named so,
    sites named so, sites that are so.
    """
    x, y = (np.concatenate([one[i] for one in fitted]) for i in (0, 1))
    from sklearn.linear_model import RidgeClassifier  # slow to import, and seldom needed
    from sklearn.preprocessing import StandardScaler

    scale = StandardScaler().fit(x)
    classifier = RidgeClassifier(alpha=10.0, class_weight="balanced").fit(scale.transform(x), y)
    counts = []
    for features, true in scored:
        found = classifier.predict(scale.transform(features))
        each = (true[found == true], found, true)
        counts.append(np.stack([np.bincount(values, minlength=256) for values in each], 1))
    return np.stack(counts)


def mean_f1(counts: np.ndarray) -> float:
    """Mean F1 (the Dice of voxels) over the structures seen, from counts (256, 3); background is left out."""
    right, found, true = counts[1:][counts[1:, 2] > 0].T
    return float((2 * right / (found + true)).mean()) if len(true) else 0.0


@torch.inference_mode()
def probe(features: Features, source: Any, view: View, *, images: int = 8, device: torch.device) -> float:
    """Mean F1 over the structures seen, of a linear classifier on frozen features.

    features: image (1, 1, D, H, W) -> {block: (1, C, D', H', W')}. source: `source[i, view]` -> image
    (1, D, H, W) and structures (D, H, W). The classifier is fitted on the first half of `images` and scored
    on the second.
    """
    known = []
    for number in range(images):
        sites = sites_of(source, view, number)
        found = features(sites.image[None].to(device))
        known.append((at_sites(found, sites.image.shape[1:], sites.indices).numpy(), sites.structures))
    return mean_f1(fit_and_count(known[: images // 2], known[images // 2 :]).sum(0))
