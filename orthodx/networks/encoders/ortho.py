"""The `ortho` encoder: a 3D diffusion U-Net for thick-slice MRI.

Depth is halved once only, at the deepest level, so sixteen 3 mm slices keep their identity; the finest
level works at half the in-plane resolution after a lossless 2 x 2 pixel-unshuffle. Memory format is
channels-last, in which folding slices into the batch for the in-plane convolutions costs nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from orthodx.networks.diffusion import cosine_abar, epsilon_of
from orthodx.networks.encoders.encoder import ViewEncoder, register_encoder
from orthodx.networks.layers import GroupNorm, PlaneConv, VolumeConv, shuffle, time_embedding, unshuffle, zero
from orthodx.networks.layout import channels_last

MOST_CHANNELS = 4096


@dataclass(frozen=True, kw_only=True)
class OrthoConfig:
    """Widths per level (finest first), size of the time embedding, groups of the normalisation."""

    channels: tuple[int, ...] = (32, 64, 112, 160)
    time_channels: int = 128
    groups: int = 8
    heads: int = 4

    def __post_init__(self) -> None:
        if not 1 <= self.groups <= min(self.channels, default=0) or len(self.channels) != 4:
            raise ValueError(f"channels must be four multiples of {self.groups}, not {self.channels}")
        if any(c % self.groups or c > MOST_CHANNELS for c in self.channels):
            raise ValueError(f"channels must be four multiples of {self.groups}, not {self.channels}")
        if self.time_channels % 2 or not 2 <= self.time_channels <= MOST_CHANNELS:
            raise ValueError(f"{self.time_channels} time channels are impossible")
        if self.heads < 1 or self.channels[-1] % self.heads:
            raise ValueError(f"{self.channels[-1]} channels cannot be parted among {self.heads} heads")


class ResBlock(nn.Module):
    """In-plane convolution, time scale-shift, in-plane or volumetric convolution, residual."""

    def __init__(self, c: int, time: int, groups: int, volumetric: bool) -> None:
        super().__init__()
        self.norm_1, self.conv_1 = GroupNorm(groups, c), PlaneConv(c, c)
        self.norm_2 = GroupNorm(groups, c)
        self.time = nn.Linear(time, 2 * c)
        self.conv_2 = VolumeConv(c, c) if volumetric else PlaneConv(c, c)
        zero(self.conv_2)

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        h = self.conv_1(functional.silu(self.norm_1(x)))
        scale, shift = self.time(emb)[:, :, None, None, None].chunk(2, 1)
        h = torch.addcmul(shift.to(h.dtype), self.norm_2(h), (1 + scale).to(h.dtype))
        return x + self.conv_2(functional.silu(h))


class Attention(nn.Module):
    """Self-attention over all D * H * W positions of the deepest level."""

    def __init__(self, c: int, heads: int, groups: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = GroupNorm(groups, c)
        self.qkv, self.out = nn.Linear(c, 3 * c), nn.Linear(c, c)
        zero(self.out)

    def forward(self, x: Tensor) -> Tensor:
        b, c, *space = x.shape
        tokens = self.norm(x).flatten(2).transpose(1, 2)  # (B, N, C)
        q, k, v = self.qkv(tokens).view(b, -1, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        y = functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, -1, c)
        return x + self.out(y).transpose(1, 2).view(b, c, *space)


@register_encoder("ortho")
class OrthoEncoder(ViewEncoder):
    """U-Net with strides (1,4,4)... in-plane and (2,2,2) last; blocks `down_0..2`, `mid`, `up_2..0`.

    Input (B, 1, D, H, W) with H and W multiples of 16; any D >= 1 (an odd D is padded inside). What its last layer
    gives is the velocity (Salimans & Ho 2022): almost pure noise is then its own prediction, and nothing of the network
    is spent on copying it.
    """

    Config = OrthoConfig
    abar: Tensor
    presets = {  # noqa: RUF012
        "small": OrthoConfig(),
        "base": OrthoConfig(channels=(64, 128, 256, 384), time_channels=256, groups=16, heads=6),
    }

    def __init__(self, config: OrthoConfig) -> None:
        super().__init__()
        self.config = config
        c, time, g = config.channels, config.time_channels, config.groups
        self.time_mlp = nn.Sequential(nn.Linear(time, time), nn.SiLU(), nn.Linear(time, time), nn.SiLU())
        self.stem = PlaneConv(4, c[0])
        self.down = nn.ModuleList([ResBlock(c[i], time, g, volumetric=i > 0) for i in range(3)])
        self.shrink = nn.ModuleList([PlaneConv(c[i], c[i + 1], stride=2) for i in range(3)])
        self.mid = nn.ModuleList([ResBlock(c[3], time, g, volumetric=True) for _ in range(2)])
        self.attention = Attention(c[3], config.heads, g)
        self.grow = nn.ModuleList([nn.Conv3d(c[i + 1], c[i], 1) for i in range(3)])
        self.up = nn.ModuleList([ResBlock(c[i], time, g, volumetric=i > 0) for i in range(3)])
        self.out_norm = GroupNorm(g, c[0])
        self.out = PlaneConv(c[0], 4)
        zero(self.out)
        self.register_buffer("abar", cosine_abar().float(), persistent=False)
        names = {"down_0": 0, "down_1": 1, "down_2": 2, "mid": 3, "up_2": 2, "up_1": 1, "up_0": 0}
        self.block_channels = {name: c[level] for name, level in names.items()}
        strides = [(1, 2, 2), (1, 4, 4), (1, 8, 8), (2, 16, 16)]
        self.block_strides = {name: strides[level] for name, level in names.items()}
        channels_last(self)

    def walk(self, x: Tensor, t: Tensor) -> Iterator[tuple[str, Tensor]]:
        if x.shape[-1] % 16 or x.shape[-2] % 16:
            raise ValueError(f"height and width must be multiples of 16, not {tuple(x.shape[-2:])}: pad first")
        depth = x.shape[2]
        emb = self.time_mlp(time_embedding(t, self.config.time_channels))
        h = self.stem(unshuffle(x, 2))
        skips: list[Tensor] = []
        for i in range(3):
            h = self.down[i](h, emb)
            yield f"down_{i}", h
            skips.append(h)
            if i == 2:  # the one place where depth is halved
                if depth % 2:
                    h = torch.cat([h, h[:, :, -1:]], 2)
                h = functional.avg_pool3d(h, (2, 1, 1))
            h = self.shrink[i](h)
        h = self.mid[1](self.attention(self.mid[0](h, emb)), emb)
        yield "mid", h
        for i in (2, 1, 0):
            h = functional.interpolate(self.grow[i](h), scale_factor=(2 if i == 2 else 1, 2, 2), mode="nearest")
            h = self.up[i](h[:, :, :depth] + skips.pop(), emb)
            yield f"up_{i}", h

    def epsilon(self, last: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
        velocity = shuffle(self.out(functional.silu(self.out_norm(last))), 2).float()
        return epsilon_of(velocity, x_t, t, self.abar)
