"""`skip_segment`: masks from the encoder's finest block, sharpened by the image itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from orthodx.errors import UsageError
from orthodx.networks.encoders.encoder import Stride, ViewEncoder
from orthodx.networks.heads.head import Head, Wanted, register_head
from orthodx.networks.layers import GroupNorm, PlaneConv, groups_of, mean_where, shuffle, zero
from orthodx.networks.layout import channels_last


@dataclass(frozen=True, kw_only=True)
class SkipSegmentConfig:
    """Classes K (background included), the block read with its channels and stride, width of the refining layers."""

    classes: int = 12
    block: str = "up_0"
    block_channels: int = 32
    stride: Stride = (1, 2, 2)
    width: int = 16

    def __post_init__(self) -> None:
        if self.classes < 2 or self.stride[1] != self.stride[2] or min(self.stride) < 1:
            raise ValueError(f"impossible segmentation head: {self}")


@register_head("skip_segment")
class SkipSegmentHead(Head):
    """Logits (B, K, D, H, W) from the encoder's finest block (B, C, D', H/s, W/s) and the image (B, 1, D, H, W).

    The encoder's up path already joins its skip connections; here its finest block is pixel-shuffled to full
    resolution and corrected by a small residual branch that also sees the image.
    """

    Config = SkipSegmentConfig
    task = "segment"

    def __init__(self, config: SkipSegmentConfig) -> None:
        super().__init__()
        self.config, self.blocks = config, (config.block,)
        k, s = config.classes, config.stride[1]
        self.norm = GroupNorm(groups_of(config.block_channels), config.block_channels)
        self.coarse = PlaneConv(config.block_channels, s * s * k)
        self.refine_1, self.refine_2 = PlaneConv(k + 1, config.width), PlaneConv(config.width, k)
        zero(self.refine_2)
        channels_last(self)

    @classmethod
    def config_for(cls, encoder: ViewEncoder, wanted: Wanted) -> SkipSegmentConfig:
        """The encoder's finest block."""
        block = encoder.finest
        stride = encoder.block_strides[block]
        if stride[1] != stride[2]:
            raise UsageError(
                f"the finest block of {type(encoder).__name__} has pixels of {stride[1]} x {stride[2]}",
                hint="use a head made for this encoder",
            )
        return SkipSegmentConfig(
            classes=wanted.classes, block=block, block_channels=encoder.block_channels[block], stride=stride
        )

    def forward(self, features: Mapping[str, Tensor], image: Tensor) -> Tensor:
        deep, s, _ = self.config.stride
        h = shuffle(self.coarse(functional.silu(self.norm(features[self.config.block]))), s)
        if deep > 1:
            h = h.repeat_interleave(deep, 2)[:, :, : image.shape[2]]
        fine = functional.relu(self.refine_1(torch.cat([h, image.to(h.dtype)], 1)))
        return h + self.refine_2(fine)

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """Soft Dice + cross-entropy; target (B, D, H, W) integer."""
        return dice_and_cross_entropy(logits, target)


def dice_and_cross_entropy(logits: Tensor, target: Tensor, cross_entropy_share: float = 1.0) -> Tensor:
    """Soft Dice over the structures present in the batch + share x cross-entropy.

    logits: (B, K, D, H, W), class 0 the background. target: (B, D, H, W) integer.
    """
    logits, target = logits.float(), target.long()
    cross_entropy = cross_entropy_share * functional.cross_entropy(logits, target)
    p = logits.softmax(1)
    truth = functional.one_hot(target, logits.shape[1]).permute(0, 4, 1, 2, 3).to(p.dtype)
    space = (0, 2, 3, 4)
    overlap, total = (p * truth).sum(space), p.sum(space) + truth.sum(space)
    present = truth.sum(space)[1:] > 0
    dice = ((2 * overlap + 1) / (total + 1))[1:]
    return torch.where(present.any(), 1 - mean_where(present, dice), 0.0) + cross_entropy
