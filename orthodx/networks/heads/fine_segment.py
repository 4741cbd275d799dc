"""`fine_segment`: `skip_segment`, and a path of its own that reads the image up to twice as fine as the encoder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import torch
from torch import Tensor
from torch.nn import functional

from orthodx.networks.encoders.encoder import ViewEncoder
from orthodx.networks.heads.head import Wanted, register_head
from orthodx.networks.heads.skip_segment import SkipSegmentConfig, SkipSegmentHead
from orthodx.networks.layers import PlaneConv, shuffle, unshuffle, zero
from orthodx.networks.layout import channels_last, coarse


@dataclass(frozen=True, kw_only=True)
class FineSegmentConfig(SkipSegmentConfig):
    """detail: 1, or 2 for an image and masks twice as fine as the encoder's. fine_width: channels of the fine path;
    context: those that it takes from the encoder's block, beside the coarse masks and the image.
    """

    detail: int = 1
    fine_width: int = 32
    context: int = 12

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.detail not in (1, 2) or min(self.fine_width, self.context) < 1:
            raise ValueError(f"impossible segmentation head: {self}")


@register_head("fine_segment")
class FineSegmentHead(SkipSegmentHead):
    """Logits (B, K, D, detail H, detail W) from the encoder's finest block and the image (B, 1, D, detail H, detail W).

    Thin layers are one or two of the encoder's pixels: what `skip_segment` finds there is corrected by three residual
    convolutions on the encoder's pixels, which see the image's finer ones as channels. Starts as `skip_segment`, from
    whose weights it can go on.
    """

    Config = FineSegmentConfig
    details = (1, 2)
    added = frozenset({"context", "fine_1", "fine_2", "fine_3", "fine_out"})

    def __init__(self, config: FineSegmentConfig) -> None:
        super().__init__(config)
        self.config, self.detail = config, config.detail
        k, s, d, w = config.classes, config.stride[1], config.detail, config.fine_width
        self.context = PlaneConv(config.block_channels, s * s * config.context)
        self.fine_1 = PlaneConv(k + config.context + d * d, w)
        self.fine_2, self.fine_3 = PlaneConv(w, w), PlaneConv(w, w)
        self.fine_out = PlaneConv(w, k * d * d)
        zero(self.fine_out)
        channels_last(self)

    @classmethod
    def config_for(cls, encoder: ViewEncoder, wanted: Wanted) -> FineSegmentConfig:
        """The encoder's finest block."""
        return FineSegmentConfig(**asdict(SkipSegmentHead.config_for(encoder, wanted)), detail=wanted.detail)

    def forward(self, features: Mapping[str, Tensor], image: Tensor) -> Tensor:
        (deep, s, _), d = self.config.stride, self.detail
        plain = super().forward(features, coarse(image, d))
        seen = shuffle(self.context(functional.silu(self.norm(features[self.config.block]))), s)
        if deep > 1:
            seen = seen.repeat_interleave(deep, 2)[:, :, : image.shape[2]]
        cells = unshuffle(image, d).to(seen.dtype)
        h = functional.relu(self.fine_1(torch.cat([plain.softmax(1).to(seen.dtype), seen, cells], 1)))
        h = h + functional.relu(self.fine_2(h))
        h = h + functional.relu(self.fine_3(h))
        fine = shuffle(self.fine_out(h), d)
        if d > 1:
            plain = functional.interpolate(plain, scale_factor=(1.0, d, d), mode="nearest")
        return plain + fine
