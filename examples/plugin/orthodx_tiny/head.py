"""`tiny_segment`: one transposed convolution from the finest block to structures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional

from orthodx.networks import Head, ViewEncoder, register_head


@dataclass(frozen=True, kw_only=True)
class TinySegmentConfig:
    """Classes K (background included) and channels of the block `up_0`."""

    classes: int = 12
    channels: int = 8


@register_head("tiny_segment")
class TinySegmentHead(Head):
    """Block `up_0` (B, C, D, H/2, W/2) -> logits (B, K, D, H, W)."""

    Config = TinySegmentConfig
    task = "segment"

    def __init__(self, config: TinySegmentConfig) -> None:
        super().__init__()
        self.config, self.blocks = config, ("up_0",)
        self.out = nn.ConvTranspose3d(config.channels, config.classes, (1, 2, 2), stride=(1, 2, 2))

    @classmethod
    def config_for(cls, encoder: ViewEncoder) -> TinySegmentConfig:
        return TinySegmentConfig(channels=encoder.block_channels["up_0"])

    def forward(self, features: Mapping[str, Tensor], image: Tensor) -> Tensor:
        logits: Tensor = self.out(features["up_0"])
        return logits

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """Cross-entropy; target (B, D, H, W) integer."""
        return functional.cross_entropy(logits.float(), target.long())
