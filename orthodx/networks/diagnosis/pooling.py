"""From a feature map (B, C, D, H, W) to one vector a view (B, `width`): the published poolings, and the plain mean."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.nn import functional

from orthodx.networks.layers import groups_of
from orthodx.networks.registry import Registry


class Pooling(nn.Module, ABC):
    """Built as `cls(channels)`; `width` is the length of the vector it gives."""

    width: int

    @abstractmethod
    def forward(self, feature: Tensor) -> Tensor:
        """(B, C, D, H, W) -> (B, width)."""


POOLINGS: Registry[Pooling] = Registry("pooling", "orthodx.poolings")


@POOLINGS.register("mean")
class MeanPooling(Pooling):
    """Mean over all positions."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.width = channels

    def forward(self, feature: Tensor) -> Tensor:
        return feature.float().mean((2, 3, 4))


@POOLINGS.register("global_local")
class GlobalLocalPooling(Pooling):
    """The mean, and a mean weighted by a learned attention over the positions."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.width = 2 * channels
        hidden = max(channels // 8, 8)
        self.attn = nn.Sequential(nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, 1))

    def weights(self, feature: Tensor) -> Tensor:
        """Attention (B, D, H, W), which sums to one."""
        score = self.attn(_tokens(feature)).softmax(1)
        return score.view(len(feature), *feature.shape[2:])

    def forward(self, feature: Tensor) -> Tensor:
        tokens = _tokens(feature)
        local = (tokens * self.weights(feature).flatten(1)[..., None]).sum(1)
        return torch.cat([tokens.mean(1), local], 1)


@POOLINGS.register("sap")
class SelfAttentionPooling(Pooling):
    """The mean, and the mean of self-attention over the positions (SAP): 16 heads, or as many as part the channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.width, self.heads = 2 * channels, groups_of(channels, 16)
        self.q_proj, self.k_proj = nn.Linear(channels, channels), nn.Linear(channels, channels)
        self.v_proj, self.out_proj = nn.Linear(channels, channels), nn.Linear(channels, channels)

    def forward(self, feature: Tensor) -> Tensor:
        tokens = _tokens(feature)
        b, _, c = tokens.shape
        q, k, v = (
            project(tokens).view(b, -1, self.heads, c // self.heads).transpose(1, 2)
            for project in (self.q_proj, self.k_proj, self.v_proj)
        )
        attended = functional.scaled_dot_product_attention(q, k, v).mean(2).flatten(1)  # (B, C)
        return torch.cat([tokens.mean(1), self.out_proj(attended)], 1)


def _tokens(feature: Tensor) -> Tensor:
    """(B, C, D, H, W) -> (B, D * H * W, C)."""
    return feature.float().flatten(2).transpose(1, 2)
