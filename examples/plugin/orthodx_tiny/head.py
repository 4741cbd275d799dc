"""`tiny_segment`: one transposed convolution from an encoder's finest block to structures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional

from orthodx.networks import Head, ViewEncoder, Wanted, register_head


@dataclass(frozen=True, kw_only=True)
class TinySegmentConfig:
    """Classes K (background included); the block read, its channels and its stride."""

    classes: int = 2
    block: str = "up_0"
    channels: int = 8
    stride: tuple[int, int, int] = (1, 2, 2)


@register_head("tiny_segment")
class TinySegmentHead(Head):
    """The finest block (B, C, D', H', W') of any encoder -> logits (B, K, D, H, W)."""

    Config = TinySegmentConfig
    task = "segment"

    def __init__(self, config: TinySegmentConfig) -> None:
        super().__init__()
        self.config, self.blocks = config, (config.block,)
        self.out = nn.ConvTranspose3d(config.channels, config.classes, config.stride, stride=config.stride)

    @classmethod
    def config_for(cls, encoder: ViewEncoder, wanted: Wanted) -> TinySegmentConfig:
        block = encoder.finest
        return TinySegmentConfig(
            classes=wanted.classes,
            block=block,
            channels=encoder.block_channels[block],
            stride=encoder.block_strides[block],
        )

    def forward(self, features: Mapping[str, Tensor], image: Tensor) -> Tensor:
        logits: Tensor = self.out(features[self.config.block])
        return logits[:, :, : image.shape[2]]

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """Cross-entropy; target (B, D, H, W) integer."""
        return functional.cross_entropy(logits.float(), target.long())
