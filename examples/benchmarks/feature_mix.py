"""One map from several blocks and timesteps of an encoder: a learned scalar mix, deterministic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from orthodx.networks.diffusion import cosine_abar, q_sample
from orthodx.networks.encoders.encoder import ViewEncoder


@dataclass(frozen=True, kw_only=True)
class FeatureMixConfig:
    """Blocks, their channels in the same order, the timesteps each is read at, and the channels of the mixed map.

    A timestep above 0 is fed an image noised with `draws` noises that `seed` fixes, the features averaged;
    with no draws it is fed the mean of q(x_t | x), sqrt(abar_t) x.
    """

    blocks: tuple[str, ...]
    block_channels: tuple[int, ...]
    timesteps: tuple[int, ...] = (0,)
    width: int = 64
    draws: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.blocks or not self.timesteps or len(self.blocks) != len(self.block_channels):
            raise ValueError(f"a mix needs a timestep, and blocks with their channels, not {self}")

    @classmethod
    def of(cls, encoder: ViewEncoder, blocks: tuple[str, ...], **more: Any) -> FeatureMixConfig:
        """For some blocks of this encoder."""
        return cls(blocks=blocks, block_channels=tuple(encoder.block_channels[name] for name in blocks), **more)


class FeatureMix(nn.Module):
    """Softmax-weighted sum of maps brought to one scale, one width and the grid of the finest (after ELMo's mix).

    Each channel is standardised over the positions of its image; a block has one 1 x 1 x 1 projection for all its
    timesteps, and each (block, timestep) one weight.
    """

    def __init__(self, config: FeatureMixConfig) -> None:
        super().__init__()
        self.config = config
        self.scores = nn.Parameter(torch.zeros(len(config.blocks), len(config.timesteps)))
        self.scale = nn.Parameter(torch.ones(()))
        self.project = nn.ModuleList([nn.Conv3d(c, config.width, 1) for c in config.block_channels])

    def read(self, encoder: ViewEncoder, x: Tensor) -> dict[tuple[str, int], Tensor]:
        """Image (B, 1, D, H, W) -> standard maps (B, C, D', H', W') by block and timestep; the same at every call."""
        maps: dict[tuple[str, int], Tensor] = {}
        for timestep in self.config.timesteps:
            features = noisy_features(encoder, x, timestep, self.config)
            for name in self.config.blocks:
                maps[name, timestep] = standardised(features[name])
        return maps

    def weights(self) -> Tensor:
        """(blocks, timesteps), which sum to one."""
        return self.scores.flatten().softmax(0).view_as(self.scores)

    def forward(self, maps: Mapping[tuple[str, int], Tensor]) -> Tensor:
        """What `read` gave -> the mixed map (B, width, D', H', W') on the finest grid among them."""
        size = max((m.shape[2:] for m in maps.values()), key=lambda s: s.numel())
        parts = []
        for name, project, row in zip(self.config.blocks, self.project, self.weights(), strict=True):
            together = torch.einsum("t,tbcdhw->bcdhw", row, torch.stack([maps[name, t] for t in self.config.timesteps]))
            parts.append(functional.interpolate(project(together), size=size, mode="nearest"))
        return self.scale * torch.stack(parts).sum(0)


def standardised(block: Tensor) -> Tensor:
    """(B, C, D, H, W) with mean 0 and variance 1 of every channel over the positions of its image."""
    return functional.group_norm(block.float(), block.shape[1])


def noisy_features(encoder: ViewEncoder, x: Tensor, timestep: int, config: FeatureMixConfig) -> dict[str, Tensor]:
    """Blocks of x (B, 1, D, H, W) at one timestep, averaged over the configured noises, equal for every image."""
    if timestep == 0:
        return encoder.features(x, 0, config.blocks)
    abar, t = cosine_abar(), torch.full((len(x),), timestep, device=x.device)
    noises = [
        torch.randn(x.shape[1:], generator=torch.Generator().manual_seed(config.seed * 1_000_003 + i)).to(x)
        for i in range(config.draws)
    ] or [torch.zeros_like(x[0])]
    total: dict[str, Tensor] = {}
    for noise in noises:
        for name, block in encoder.features(q_sample(x, t, noise.expand_as(x), abar), t, config.blocks).items():
            total[name] = total.get(name, 0) + block.float() / len(noises)
    return total
