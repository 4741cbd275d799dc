"""`evidence`: a map of every abnormality's evidence, and the study's answer from its strongest places."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from orthodx.errors import UsageError
from orthodx.networks.encoders.encoder import Stride, ViewEncoder
from orthodx.networks.heads.head import Wanted, register_head
from orthodx.networks.heads.pooled import DiagnoseHead
from orthodx.networks.layers import GroupNorm, PlaneConv, VolumeConv, groups_of, mean_where, unshuffle, zero
from orthodx.networks.layout import channels_last

STRIDE = 4  # in-plane pixels a cell of the map
STRONGEST = (1, 8, 64)  # cells averaged
NOWHERE = -12.0  # evidence beyond the image
RARE = -4.0  # evidence a map starts from: most of a joint is healthy


@dataclass(frozen=True, kw_only=True)
class EvidenceConfig:
    """labels: abnormalities. blocks: read, the finest first, with their channels and strides. width, depth: of the
    map's network.

    detail: 1, or 2 for an image twice as fine as the encoder's, which a path of its own (`DetailPath`) reads.
    """

    labels: int = 8
    detail: int = 1
    blocks: tuple[str, ...] = ("up_0", "up_1", "up_2", "mid")
    block_channels: tuple[int, ...] = (32, 64, 112, 160)
    block_strides: tuple[Stride, ...] = ((1, 2, 2), (1, 4, 4), (1, 8, 8), (2, 16, 16))
    width: int = 64
    depth: int = 2

    def __post_init__(self) -> None:
        if not self.blocks or not len(self.blocks) == len(self.block_channels) == len(self.block_strides):
            raise ValueError("each block needs its channels and its stride")
        if self.labels < 1 or self.detail not in (1, 2) or self.width % 8 or self.depth < 0:
            raise ValueError(f"impossible evidence head: {self}")


class _Block(nn.Module):
    """In-plane, then volumetric convolution, residual."""

    def __init__(self, c: int) -> None:
        super().__init__()
        self.norm_1, self.conv_1 = GroupNorm(8, c), PlaneConv(c, c)
        self.norm_2, self.conv_2 = GroupNorm(8, c), VolumeConv(c, c)
        zero(self.conv_2)

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv_1(functional.silu(self.norm_1(x)))
        return x + self.conv_2(functional.silu(self.norm_2(h)))


class DetailPath(nn.Module):
    """The image (B, 1, D, 2H, 2W) beside the encoder's finest block -> (B, width, D, H/4, W/4).

    A tear is narrower than the encoder's pixel; what is read of it at twice the resolution meets, at half of the
    encoder's, what the encoder knows of where it lies.
    """

    def __init__(self, block_channels: int, stride: Stride, width: int) -> None:
        super().__init__()
        self.stride = stride
        self.enter = PlaneConv(4, 32)
        self.norm_1, self.conv_1 = GroupNorm(8, 32), PlaneConv(32, 32)
        self.norm_2, self.down = GroupNorm(8, 32), PlaneConv(32, width, stride=2)
        self.place = nn.Conv3d(block_channels, width, 1)
        self.norm_3, self.conv_3 = GroupNorm(8, width), PlaneConv(width, width)
        self.norm_4, self.leave = GroupNorm(8, width), PlaneConv(width, width, stride=2)

    def forward(self, image: Tensor, finest: Tensor) -> Tensor:
        x = self.enter(unshuffle(image, 2).to(finest.dtype))
        x = x + self.conv_1(functional.silu(self.norm_1(x)))
        place = brought_to(self.place(finest), self.stride, 2, image.shape[2])
        x = self.down(functional.silu(self.norm_2(x))) + place
        x = x + self.conv_3(functional.silu(self.norm_3(x)))
        return self.leave(functional.silu(self.norm_4(x)))


@register_head("evidence")
class EvidenceHead(DiagnoseHead):
    """Logits (B, L) from the maps (B, L, D, H/4, W/4) of the encoder's pyramid of blocks and the image itself.

    A label's vector: the mean evidence of its 1, 8 and 64 strongest cells, and the logarithm of the number of
    cells that hold it. The maps can be fitted to lesion masks (`map_loss`), or through the answers alone, as in
    multiple-instance learning (Ilse et al. 2018).
    """

    Config = EvidenceConfig
    heat_is = "evidence (probability)"
    details = (1, 2)
    parts: ClassVar[Mapping[str, str]] = MappingProxyType({"": "evidence"})
    per_label = ("out.weight", "out.bias")

    def __init__(self, config: EvidenceConfig) -> None:
        super().__init__()
        self.config, self.blocks, self.labels, self.detail = config, config.blocks, config.labels, config.detail
        c, strides, w = config.block_channels, config.block_strides, config.width
        # affine weights would crash the backward pass of a frozen, channels-last bf16 block on the CPU (torch 2.13)
        self.norms = nn.ModuleList([GroupNorm(groups_of(n), n, affine=False) for n in c])
        self.read_fine = PlaneConv(c[0], w, stride=2 if strides[0][1] < STRIDE else 1)
        self.read = nn.ModuleList([nn.Conv3d(n, w, 1) for n in c[1:]])
        self.read_image = PlaneConv(STRIDE**2, w) if config.detail == 1 else DetailPath(c[0], strides[0], w)
        self.body = nn.ModuleList([_Block(w) for _ in range(config.depth)])
        self.out_norm, self.out = GroupNorm(8, w), nn.Conv3d(w, config.labels, 1)
        assert self.out.bias is not None
        nn.init.constant_(self.out.bias, RARE)
        self.numbers = len(STRONGEST) + 1  # of a label
        self.width = config.labels * self.numbers
        self.classifier = nn.Linear(self.width, config.labels)
        self._standardised_by(self.width)
        channels_last(self)

    @classmethod
    def config_for(cls, encoder: ViewEncoder, wanted: Wanted) -> EvidenceConfig:
        """The encoder's pyramid; raises `UsageError` where its strides cannot be brought to the map's cells."""
        blocks = encoder.pyramid
        strides = tuple(encoder.block_strides[name] for name in blocks)
        if any(h != w or (h < STRIDE and STRIDE % h) or (h > STRIDE and h % STRIDE) for _, h, w in strides):
            raise UsageError(f"{type(encoder).__name__} has blocks at strides {strides}", hint="use --head sap")
        return EvidenceConfig(
            labels=wanted.labels,
            detail=wanted.detail,
            blocks=blocks,
            block_channels=tuple(encoder.block_channels[name] for name in blocks),
            block_strides=strides,
        )

    def maps(self, features: Mapping[str, Tensor], image: Tensor) -> Tensor:
        """Evidence as logits (B, L, D, H/4, W/4) float32; `NOWHERE` where the image is padding alone (-1).

        H, W: of the encoder's image; `image` is `detail` times larger.
        """
        depth, cells = image.shape[2], unshuffle(image, STRIDE * self.detail)
        fine, *deeper = (norm(features[name]) for norm, name in zip(self.norms, self.blocks, strict=True))
        x = self._read_fine(fine, depth)
        if isinstance(self.read_image, DetailPath):
            x = x + self.read_image(image, fine)
        else:
            x = x + self.read_image(cells.to(fine.dtype))
        for read, block, stride in zip(self.read, deeper, self.config.block_strides[1:], strict=True):
            x = x + brought_to(read(block), stride, STRIDE, depth)
        for block in self.body:
            x = block(x)
        padding = (cells <= -1).all(1, keepdim=True)
        return self.out(functional.silu(self.out_norm(x))).float().masked_fill(padding, NOWHERE)

    def _read_fine(self, fine: Tensor, depth: int) -> Tensor:
        """The finest block at the map's cells, by a convolution that halves it last."""
        deep, s, _ = self.config.block_strides[0]
        half = STRIDE // 2
        x = self.read_fine(brought_to(fine, (1, s, s), half, fine.shape[2]) if s < half else fine)
        return brought_to(x, (deep, max(s, STRIDE), max(s, STRIDE)), STRIDE, depth)

    def summary(self, features: Mapping[str, Tensor], image: Tensor) -> Tensor:
        return strongest(self.maps(features, image))

    def evidence(self) -> list[slice]:
        return [slice(self.numbers * i, self.numbers * (i + 1)) for i in range(self.labels)]

    def vector(self, summary: Tensor) -> Tensor:
        return self.standardised(summary)

    def heat(self, features: Mapping[str, Tensor], image: Tensor) -> Tensor:
        """The evidence as a probability, 0..1."""
        return self.maps(features, image).sigmoid()

    def map_loss(self, maps: Tensor, lesions: Tensor, weight: float = 8.0) -> Tensor:
        """Cross-entropy of every cell, marked ones counting `weight` times, and soft Dice of the labels marked.

        maps: (B, L, D, H/4, W/4). lesions: bool, of the size of the head's image; a cell is marked where any of its
        pixels is.
        """
        target = functional.max_pool3d(lesions.float(), (1, STRIDE * self.detail, STRIDE * self.detail))
        cross = functional.binary_cross_entropy_with_logits(
            maps, target, pos_weight=torch.full((), weight, device=maps.device)
        )
        p, space = maps.sigmoid(), (0, 2, 3, 4)
        overlap, total = (p * target).sum(space), p.sum(space) + target.sum(space)
        marked = target.sum(space) > 0
        dice = 1 - (2 * overlap + 1) / (total + 1)
        return cross + mean_where(marked, dice)


def strongest(maps: Tensor) -> Tensor:
    """(B, L, D, H, W) evidence as logits -> (B, L * 4): the strongest cells' means, and log(1 + cells) / 2."""
    flat = maps.flatten(2)
    top = flat.topk(min(max(STRONGEST), flat.shape[2]), 2).values
    means = [top[..., :k].mean(2) for k in STRONGEST]
    return torch.stack([*means, flat.sigmoid().sum(2).log1p() / 2], 2).flatten(1)


def brought_to(x: Tensor, stride: Stride, target: int, depth: int) -> Tensor:
    """A map at `stride` with every one of `depth` slices, at in-plane stride `target`: its means, or repeated."""
    deep, s, _ = stride
    if s < target:
        x = functional.avg_pool3d(x, (1, target // s, target // s))
    scale = (deep, max(s // target, 1), max(s // target, 1))
    return x if scale == (1, 1, 1) else functional.interpolate(x, scale_factor=scale, mode="nearest")[:, :, :depth]
