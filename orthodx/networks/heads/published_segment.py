"""The published segmentation decoder: four transposed convolutions from the bottleneck, no skip connections."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional

from orthodx.errors import UsageError
from orthodx.networks.encoders.encoder import Stride, ViewEncoder
from orthodx.networks.heads.head import Head, Wanted, register_head
from orthodx.networks.heads.skip_segment import dice_and_cross_entropy
from orthodx.networks.layers import GroupNorm, VolumeConv

STEPS = 4  # transposed convolutions
DOUBLINGS = {2**n: n for n in range(STEPS + 1)}  # stride -> steps that double an axis


@dataclass(frozen=True, kw_only=True)
class PublishedSegmentConfig:
    """classes: background and structures. block: read, with its channels and stride. Cross-entropy counts
    `cross_entropy_share`, as published 0.2.
    """

    classes: int = 12
    block: str = "mid_2"
    block_channels: int = 256
    stride: Stride = (16, 16, 16)
    cross_entropy_share: float = 0.2

    def __post_init__(self) -> None:
        if self.classes < 2 or any(s not in DOUBLINGS for s in self.stride):
            raise ValueError(f"impossible published decoder: {self}")


class _Residual(nn.Module):
    def __init__(self, c: int) -> None:
        super().__init__()
        self.block = nn.Sequential(
            VolumeConv(c, c),
            GroupNorm(8, c),
            nn.ReLU(),
            VolumeConv(c, c),
            GroupNorm(8, c),
        )

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(x + self.block(x))


@register_head("published_segment")
class PublishedSegmentHead(Head):
    """Reads the deepest block, (B, 256, D/16, H/16, W/16) of the published encoder -> logits (B, classes, D, H, W).

    Where another encoder keeps an axis finer, fewer of the steps double it. The map is cut to the image's slices where
    the encoder padded them.
    """

    task = "segment"
    Config = PublishedSegmentConfig

    def __init__(self, config: PublishedSegmentConfig) -> None:
        super().__init__()
        self.config, self.blocks = config, (config.block,)
        step = iter(range(STEPS))

        def grow(c_in: int, c_out: int) -> list[nn.Module]:
            n = next(step)
            d, h, w = (int(DOUBLINGS[s] > n) for s in config.stride)  # 1 where this step doubles the axis
            kernel, stride = (3 + d, 3 + h, 3 + w), (1 + d, 1 + h, 1 + w)
            return [nn.ConvTranspose3d(c_in, c_out, kernel, stride=stride, padding=1), nn.ReLU()]

        c = config.block_channels
        self.net = nn.Sequential(
            *grow(c, 128),
            _Residual(128),
            *grow(128, 64),
            _Residual(64),
            *grow(64, 32),
            *grow(32, 16),
            nn.Conv3d(16, config.classes, 1),
        )

    @classmethod
    def config_for(cls, encoder: ViewEncoder, wanted: Wanted) -> PublishedSegmentConfig:
        """The encoder's deepest block; raises `UsageError` where four doublings do not bring it to the image."""
        block = encoder.deepest
        stride = encoder.block_strides[block]
        if any(s not in DOUBLINGS for s in stride):
            raise UsageError(
                f"the deepest block of {type(encoder).__name__} is at stride {stride}", hint="use --head skip_segment"
            )
        return PublishedSegmentConfig(
            classes=wanted.classes, block=block, block_channels=encoder.block_channels[block], stride=stride
        )

    def forward(self, features: Mapping[str, Tensor], image: Tensor) -> Tensor:
        return self.net(features[self.config.block])[:, :, : image.shape[2]]

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """Soft Dice + 0.2 x cross-entropy; target (B, D, H, W) integer."""
        return dice_and_cross_entropy(logits, target, self.config.cross_entropy_share)
