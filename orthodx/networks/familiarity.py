"""How unlike the images that a model has learned from a series is, by the features that its encoder gives."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from orthodx.joints import View

FEWEST = 8  # places of a block below which all of them count, also those beyond the image
BEYOND = -0.95  # of an image in [-1, 1]: what is padded, or air


@dataclass(frozen=True, kw_only=True)
class FamiliarityConfig:
    """block: whose features are read. channels: of that block."""

    block: str
    channels: int

    def __post_init__(self) -> None:
        if not 1 <= self.channels <= 4096:
            raise ValueError(f"{self.channels} channels are impossible")


class Familiarity(nn.Module):
    """Mahalanobis distance of a series' features from those of a view's known series, as a share of a limit.

    Out-of-distribution detection after Lee et al. (2018), with one covariance for all views. centre: (3, 2C) means of
    sagittal, coronal, axial. whiten: (2C, 2C); the length of a whitened difference is the distance, 1 at the limit.
    """

    centre: Tensor
    whiten: Tensor

    def __init__(self, config: FamiliarityConfig) -> None:
        super().__init__()
        self.config = config
        width = 2 * config.channels
        self.register_buffer("centre", torch.zeros(len(View), width))
        self.register_buffer("whiten", torch.zeros(width, width))

    def strangeness(self, features: Tensor, view: View) -> float:
        """Distance of pooled features (2C,): 0 like the mean known series, above 1 unlike what is known."""
        away = features.to(self.whiten) - self.centre[list(View).index(view)]
        return float((self.whiten @ away).norm())


def pooled(block: Tensor, image: Tensor) -> Tensor:
    """(2C,) float32: mean and standard deviation of each channel of a block (1, C, D', H', W') over the image.

    image: (1, 1, D, H, W) in [-1, 1]; what is padded or air does not count.
    """
    there = functional.adaptive_max_pool3d((image > BEYOND).float(), block.shape[2:])[0, 0] > 0
    if int(there.sum()) < FEWEST:
        there = torch.ones_like(there)
    values = block[0].float()[:, there]
    return torch.cat([values.mean(1), values.std(1)])
