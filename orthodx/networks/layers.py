"""Layers that encoders and heads share. Maps are (B, C, D, H, W), channels-last in memory."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional


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


def unshuffle(x: Tensor, s: int) -> Tensor:
    """(B, 1, D, H, W) -> (B, s * s, D, H/s, W/s): the pixels of each cell as channels."""
    b, _, d, h, w = x.shape
    y = x.view(b, d, h // s, s, w // s, s).permute(0, 3, 5, 1, 2, 4).reshape(b, s * s, d, h // s, w // s)
    return y.contiguous(memory_format=torch.channels_last_3d)


def shuffle(x: Tensor, s: int) -> Tensor:
    """(B, s * s * C, D, H, W) -> (B, C, D, s * H, s * W): in-plane pixel-shuffle."""
    b, c, d, h, w = x.shape
    y = x.permute(0, 2, 3, 4, 1).reshape(b, d, h, w, c // (s * s), s, s).permute(0, 1, 2, 5, 3, 6, 4)
    return y.reshape(b, d, s * h, s * w, c // (s * s)).permute(0, 4, 1, 2, 3)
