"""What every view encoder is: a 3D denoiser whose inner blocks are read as features."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from orthodx.errors import UsageError
from orthodx.networks.registry import Registry


class ViewEncoder(nn.Module, ABC):
    """A diffusion denoiser for one imaging plane.

    Subclasses are built as `cls(config)` from their frozen dataclass `Config` and publish, for each
    readable block, its channels and its (depth, height, width) stride.
    """

    Config: ClassVar[type]
    presets: ClassVar[dict[str, Any]] = {}
    block_channels: dict[str, int]
    block_strides: dict[str, tuple[int, int, int]]

    @classmethod
    def preset(cls, name: str) -> Any:
        """The `Config` of that name; raises `UsageError` with the known ones otherwise."""
        if name not in cls.presets:
            raise UsageError(f"{cls.__name__} has no preset '{name}'", hint=f"known: {', '.join(cls.presets)}")
        return cls.presets[name]

    @abstractmethod
    def run(self, x: Tensor, t: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """(B, 1, D, H, W) in [-1, 1] and t (B,) -> blocks by name, and the last hidden map."""

    @abstractmethod
    def forward(self, x_t: Tensor, t: Tensor) -> Tensor:
        """Predicted noise epsilon (B, 1, D, H, W) for the noisy x_t and its timestep t (B,) in 0..T-1."""

    def features(self, x: Tensor, timestep: int = 0) -> dict[str, Tensor]:
        """Features {block: (B, C, D', H', W')} of the clean image x (B, 1, D, H, W): no noise is drawn."""
        t = torch.full((x.shape[0],), timestep, device=x.device, dtype=torch.long)
        return self.run(x, t)[0]


ENCODERS: Registry[ViewEncoder] = Registry("encoder", "orthodx.encoders")
register_encoder = ENCODERS.register
