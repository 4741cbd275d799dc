"""The published segmentation decoder: four transposed convolutions from the bottleneck, no skip connections."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional

from orthodx.errors import UsageError
from orthodx.networks.encoder import ViewEncoder
from orthodx.networks.head import Head, register_head
from orthodx.networks.segment_head import dice_and_cross_entropy


@dataclass(frozen=True, kw_only=True)
class PublishedSegmentConfig:
    """classes: background and structures. Cross-entropy counts `cross_entropy_share`, as published 0.2."""

    classes: int = 12
    block: str = "mid_2"
    block_channels: int = 256
    cross_entropy_share: float = 0.2


class _Residual(nn.Module):
    def __init__(self, c: int) -> None:
        super().__init__()
        self.block = nn.Sequential(
            nn.Conv3d(c, c, 3, padding=1), nn.GroupNorm(8, c), nn.ReLU(), nn.Conv3d(c, c, 3, padding=1),
            nn.GroupNorm(8, c),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(x + self.block(x))


@register_head("published_segment")
class PublishedSegmentHead(Head):
    """Reads `mid_2` (B, 256, D/16, H/16, W/16) -> logits (B, classes, D, H, W).

    The map is cut to the image's slices where the encoder padded them.
    """

    task = "segment"
    Config = PublishedSegmentConfig

    def __init__(self, config: PublishedSegmentConfig) -> None:
        super().__init__()
        self.config, self.blocks = config, (config.block,)

        def grow(c_in: int, c_out: int) -> list[nn.Module]:
            return [nn.ConvTranspose3d(c_in, c_out, 4, stride=2, padding=1), nn.ReLU()]

        c = config.block_channels
        self.net = nn.Sequential(
            *grow(c, 128), _Residual(128), *grow(128, 64), _Residual(64), *grow(64, 32), *grow(32, 16),
            nn.Conv3d(16, config.classes, 1),
        )  # fmt: skip

    @classmethod
    def config_for(cls, encoder: ViewEncoder) -> PublishedSegmentConfig:
        """As wide as the encoder's `mid_2`; raises `UsageError` where that is not at stride 16 along every axis."""
        block = PublishedSegmentConfig.block
        if encoder.block_strides.get(block) != (16, 16, 16):
            raise UsageError(f"{type(encoder).__name__} has no block '{block}' at stride 16", hint="use 'published'")
        return PublishedSegmentConfig(block_channels=encoder.block_channels[block])

    def forward(self, features: Mapping[str, Tensor], image: Tensor) -> Tensor:
        return self.net(features[self.config.block])[:, :, : image.shape[2]]

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """Soft Dice + 0.2 x cross-entropy; target (B, D, H, W) integer."""
        return dice_and_cross_entropy(logits, target, self.config.cross_entropy_share)
