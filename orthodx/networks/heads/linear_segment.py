"""`linear_segment`: masks by one linear layer on the encoder's finest block: nnU-Net's output, or a linear probe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional

from orthodx.networks.encoders.encoder import Stride, ViewEncoder
from orthodx.networks.heads.head import Head, Wanted, register_head
from orthodx.networks.heads.skip_segment import dice_and_cross_entropy


@dataclass(frozen=True, kw_only=True)
class LinearSegmentConfig:
    """Classes K (background included), the block read with its channels and stride."""

    classes: int = 12
    block: str = "up_0"
    block_channels: int = 32
    stride: Stride = (1, 2, 2)

    def __post_init__(self) -> None:
        if self.classes < 2 or self.block_channels < 1 or min(self.stride) < 1:
            raise ValueError(f"impossible segmentation head: {self}")


@register_head("linear_segment")
class LinearSegmentHead(Head):
    """Logits (B, K, D, H, W): a 1 x 1 x 1 convolution of the finest block, interpolated where that is coarser."""

    Config = LinearSegmentConfig
    task = "segment"

    def __init__(self, config: LinearSegmentConfig) -> None:
        super().__init__()
        self.config, self.blocks = config, (config.block,)
        self.out = nn.Conv3d(config.block_channels, config.classes, 1)

    @classmethod
    def config_for(cls, encoder: ViewEncoder, wanted: Wanted) -> LinearSegmentConfig:
        """The encoder's finest block."""
        block = encoder.finest
        channels, stride = encoder.block_channels[block], encoder.block_strides[block]
        return LinearSegmentConfig(classes=wanted.classes, block=block, block_channels=channels, stride=stride)

    def forward(self, features: Mapping[str, Tensor], image: Tensor) -> Tensor:
        logits = self.out(features[self.config.block])
        if self.config.stride == (1, 1, 1):
            return logits
        scale = tuple(float(s) for s in self.config.stride)
        return functional.interpolate(logits, scale_factor=scale, mode="trilinear")[:, :, : image.shape[2]]

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """Soft Dice + cross-entropy; target (B, D, H, W) integer."""
        return dice_and_cross_entropy(logits, target)
