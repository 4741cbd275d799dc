"""`tiny`: two in-plane levels, the smallest encoder that keeps every promise of `ViewEncoder`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional

from orthodx.networks import ViewEncoder, register_encoder


@dataclass(frozen=True, kw_only=True)
class TinyConfig:
    """Channels of every level."""

    channels: int = 8


@register_encoder("tiny")
class TinyEncoder(ViewEncoder):
    """(B, 1, D, H, W) -> blocks `down_0` (B, C, D, H/2, W/2) and `up_0` (the same size); H and W even."""

    Config = TinyConfig
    presets = {"small": TinyConfig(), "base": TinyConfig(channels=32)}  # noqa: RUF012

    def __init__(self, config: TinyConfig) -> None:
        super().__init__()
        self.config, c = config, config.channels
        self.time = nn.Linear(1, c)
        self.down = nn.Conv3d(1, c, (1, 4, 4), stride=(1, 2, 2), padding=(0, 1, 1))
        self.up = nn.Conv3d(c, c, 3, padding=1)
        self.out = nn.ConvTranspose3d(c, 1, (1, 2, 2), stride=(1, 2, 2))
        self.block_channels = {"down_0": c, "up_0": c}
        self.block_strides = {"down_0": (1, 2, 2), "up_0": (1, 2, 2)}

    def walk(self, x: Tensor, t: Tensor) -> Iterator[tuple[str, Tensor]]:
        when = self.time(t.float()[:, None] / 1000)[:, :, None, None, None]  # (B, C, 1, 1, 1)
        down = functional.silu(self.down(x) + when)
        yield "down_0", down
        yield "up_0", functional.silu(self.up(down))

    def epsilon(self, last: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
        epsilon: Tensor = self.out(last)
        return epsilon
