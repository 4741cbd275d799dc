"""Layers that encoders and heads share. Maps are (B, C, D, H, W), channels-last in memory."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from orthodx.networks.precision import full_precision


class PlaneConv(nn.Conv2d):
    """3 x 3 convolution within each slice: (B, C, D, H, W) -> (B, C', D, H/stride, W/stride)."""

    def __init__(self, c_in: int, c_out: int, stride: int = 1) -> None:
        super().__init__(c_in, c_out, 3, stride=stride, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        b, c, d, h, w = x.shape
        y = super().forward(x.transpose(1, 2).reshape(b * d, c, h, w))
        return y.view(b, d, *y.shape[1:]).transpose(1, 2)


class VolumeConv(nn.Conv3d):
    """3 x 3 x 3 convolution: (B, C, D, H, W) -> (B, C', D, H, W)."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__(c_in, c_out, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[2] != 2:
            return super().forward(x)
        # oneDNN's bf16 weight gradient is infinite at a depth of two on AVX512-BF16 (torch 2.13): one more zero slice
        return super().forward(functional.pad(x, (0, 0, 0, 0, 0, 1)))[:, :, :2]


class GroupNorm(nn.GroupNorm):
    """Group normalisation of a map (B, C, D, H, W) that leaves it in its layout and precision on every device.

    But on the CPU torch's own copies a channels-last map to channels-first, and under autocast to float32; each
    convolution behind it would copy it back.
    """

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) if x.device.type == "cpu" else self.by_moments(x)

    def by_moments(self, x: Tensor) -> Tensor:
        """The same up to rounding: x times a scale and plus a shift for each channel, from float32 moments."""
        with full_precision(x.device):
            groups = x.unflatten(1, (self.num_groups, -1))
            across = tuple(range(2, groups.ndim))
            mean = groups.mean(across, dtype=torch.float32)
            norm = torch.linalg.vector_norm(groups, 2, across, dtype=torch.float32)
            variance = (norm.square() / math.prod(groups.shape[2:]) - mean.square()).clamp_min(0)
            scale = (variance + self.eps).rsqrt()[..., None].expand(*groups.shape[:3])  # (B, G, C / G)
            if self.affine:
                scale = scale * self.weight.view(self.num_groups, -1)
            shift = -mean[..., None] * scale
            if self.affine:
                shift = shift + self.bias.view(self.num_groups, -1)
            shape = (*x.shape[:2], *[1] * (x.ndim - 2))
            return torch.addcmul(shift.reshape(shape).to(x.dtype), x, scale.reshape(shape).to(x.dtype))


def zero(module: nn.Module) -> None:
    """Start a residual branch at nothing."""
    for parameter in module.parameters():
        nn.init.zeros_(parameter)


def time_embedding(t: Tensor, channels: int) -> Tensor:
    """Sinusoidal embedding (B, channels) of the timesteps t (B,)."""
    freq = torch.exp(-math.log(1000) * torch.arange(channels // 2, device=t.device) / (channels // 2))
    angle = t.float()[:, None] * freq
    return torch.cat([angle.cos(), angle.sin()], 1)


def groups_of(channels: int, most: int = 8) -> int:
    """Groups of a normalisation: `most`, or as many as the channels allow."""
    return math.gcd(channels, most)


def mean_where(chosen: Tensor, values: Tensor) -> Tensor:
    """Mean of the chosen values, 0 where none is; which ones are is never asked of the device."""
    return torch.where(chosen, values, 0.0).sum() / chosen.sum().clamp(min=1)


def unshuffle(x: Tensor, s: int) -> Tensor:
    """(B, 1, D, H, W) -> (B, s * s, D, H/s, W/s): the pixels of each cell as channels, which lie last in memory."""
    b, _, d, h, w = x.shape
    y = x.view(b, d, h // s, s, w // s, s).permute(0, 1, 2, 4, 3, 5).reshape(b, d, h // s, w // s, s * s)
    return y.permute(0, 4, 1, 2, 3)


def shuffle(x: Tensor, s: int) -> Tensor:
    """(B, s * s * C, D, H, W) -> (B, C, D, s * H, s * W): in-plane pixel-shuffle."""
    b, c, d, h, w = x.shape
    y = x.permute(0, 2, 3, 4, 1).reshape(b, d, h, w, c // (s * s), s, s).permute(0, 1, 2, 5, 3, 6, 4)
    return y.reshape(b, d, s * h, s * w, c // (s * s)).permute(0, 4, 1, 2, 3)
