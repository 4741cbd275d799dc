"""The `published` encoder: the 3D diffusion U-Net of arXiv 2602.20752, parameter for parameter.

Kept so that the released checkpoints can be read and beaten. Its depth is halved at every level: sixteen
slices become one at the bottleneck. Parameter names are those of the released files.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from orthodx.networks.encoders.encoder import ViewEncoder, register_encoder
from orthodx.networks.layers import GroupNorm, VolumeConv, time_embedding, zero

STRIDE = 16  # of the bottleneck, along every axis


@dataclass(frozen=True, kw_only=True)
class PublishedConfig:
    """Base width, its multiple per level, groups of the normalisation."""

    width: int = 64
    multiples: tuple[int, ...] = (1, 1, 2, 2, 4)
    groups: int = 32

    def __post_init__(self) -> None:
        widths = [self.width * m for m in self.multiples]
        if len(widths) != 5 or self.groups < 1 or any(not 1 <= w <= 8192 or w % self.groups for w in widths):
            raise ValueError(f"needs five levels and a width that is a multiple of {self.groups}, not {self}")


class _Residual(nn.Module):
    def __init__(self, c_in: int, c_out: int, time: int, groups: int) -> None:
        super().__init__()
        self.in_layers = nn.Sequential(GroupNorm(groups, c_in), nn.SiLU(inplace=True), VolumeConv(c_in, c_out))
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(time, c_out))
        self.out_layers = nn.Sequential(
            GroupNorm(groups, c_out),
            nn.SiLU(inplace=True),
            nn.Identity(),
            VolumeConv(c_out, c_out),
        )
        zero(self.out_layers[3])
        self.skip_connection = nn.Identity() if c_in == c_out else nn.Conv3d(c_in, c_out, 1)

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        h = self.in_layers(x).add_(self.emb_layers(emb)[:, :, None, None, None])
        return self.out_layers(h).add_(self.skip_connection(x))


class _Attention(nn.Module):
    """One head over all positions."""

    def __init__(self, c: int, groups: int) -> None:
        super().__init__()
        self.norm = GroupNorm(groups, c)
        self.qkv, self.proj_out = nn.Conv1d(c, 3 * c, 1), nn.Conv1d(c, c, 1)
        zero(self.proj_out)

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        q, k, v = self.qkv(self.norm(x).flatten(2)).transpose(1, 2).chunk(3, -1)  # (B, N, C) each
        y = functional.scaled_dot_product_attention(q, k, v)
        return x + self.proj_out(y.transpose(1, 2)).view_as(x)


class _Down(nn.Module):
    def __init__(self, c: int) -> None:
        super().__init__()
        self.op = nn.Conv3d(c, c, 3, stride=2, padding=1)

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        return self.op(x)


class _Up(nn.Module):
    def __init__(self, c: int) -> None:
        super().__init__()
        self.conv = VolumeConv(c, c)

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        return self.conv(functional.interpolate(x, scale_factor=2, mode="trilinear"))


class _Stem(nn.Conv3d):
    def forward(self, x: Tensor, emb: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(x)


class _Stage(nn.Sequential):
    """Layers that all take the time embedding."""

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:  # type: ignore[override]
        for layer in self:
            x = layer(x, emb)
        return x


@register_encoder("published")
class PublishedEncoder(ViewEncoder):
    """U-Net of 34.5 M parameters; blocks `in_0..9`, `mid_0..2`, `out_0..9`.

    Input (B, 1, D, H, W), H and W multiples of 16. D is padded to a multiple of 16 by repeating the last
    slice (the authors drop shorter volumes); a block of depth stride s has ceil(D / s) slices.
    """

    Config = PublishedConfig
    presets = {"published": PublishedConfig()}  # noqa: RUF012

    def __init__(self, config: PublishedConfig) -> None:
        super().__init__()
        self.config, w, g = config, config.width, config.groups
        time, widths, last = 4 * w, [w * m for m in config.multiples], len(config.multiples) - 1
        self.time_embed = nn.Sequential(nn.Linear(w, time), nn.SiLU(), nn.Linear(time, time))
        self.block_channels: dict[str, int] = {}
        self.block_strides: dict[str, tuple[int, int, int]] = {}

        def publish(name: str, channels: int, level: int) -> None:
            self.block_channels[name], self.block_strides[name] = channels, (2**level,) * 3

        stages, skips, c = [_Stage(_Stem(1, w, 3, padding=1))], [w], w
        publish("in_0", c, 0)
        for level, wider in enumerate(widths):
            layers: list[nn.Module] = [_Residual(c, wider, time, g)]
            c = wider
            stages.append(_Stage(*layers, *([_Attention(c, g)] if level == last else [])))
            skips.append(c)
            publish(f"in_{len(stages) - 1}", c, level)
            if level < last:
                stages.append(_Stage(_Down(c)))
                skips.append(c)
                publish(f"in_{len(stages) - 1}", c, level + 1)
        self.input_blocks = nn.ModuleList(stages)
        self.middle_block = nn.ModuleList([_Residual(c, c, time, g), _Attention(c, g), _Residual(c, c, time, g)])
        for i in range(3):
            publish(f"mid_{i}", c, last)
        stages = []
        for level in reversed(range(len(widths))):
            for i in range(2):
                layers = [_Residual(c + skips.pop(), widths[level], time, g)]
                c = widths[level]
                layers += [_Attention(c, g)] if level == last else []
                grows = level > 0 and i == 1
                stages.append(_Stage(*layers, *([_Up(c)] if grows else [])))
                publish(f"out_{len(stages) - 1}", c, level - grows)
        self.output_blocks = nn.ModuleList(stages)
        self.out = nn.Sequential(GroupNorm(g, c), nn.SiLU(), nn.Conv3d(c, 1, 3, padding=1))
        zero(self.out[2])

    @property
    def deepest(self) -> str:
        """As published: behind the middle's second residual block, not the first block of the way up."""
        return "mid_2"

    def walk(self, x: Tensor, t: Tensor) -> Iterator[tuple[str, Tensor]]:
        if x.shape[-1] % STRIDE or x.shape[-2] % STRIDE:
            raise ValueError(f"height and width must be multiples of 16, not {tuple(x.shape[-2:])}: pad first")
        if more := -x.shape[2] % STRIDE:
            x = torch.cat([x, x[:, :, -1:].expand(-1, -1, more, -1, -1)], 2)
        emb = self.time_embed(time_embedding(t, self.config.width).to(x.dtype))
        skips, h = [], x
        for i, stage in enumerate(self.input_blocks):
            h = stage(h, emb)
            skips.append(h)
            yield f"in_{i}", h
        for i, layer in enumerate(self.middle_block):
            h = layer(h, emb)
            yield f"mid_{i}", h
        for i, stage in enumerate(self.output_blocks):
            h = stage(torch.cat([h, skips.pop()], 1), emb)
            yield f"out_{i}", h

    def epsilon(self, last: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
        return self.out(last)
