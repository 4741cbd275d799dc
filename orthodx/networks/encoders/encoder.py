"""What every view encoder is: a 3D denoiser whose inner blocks are read as features."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from orthodx.errors import UsageError
from orthodx.networks.registry import Registry

Stride = tuple[int, int, int]  # depth, height, width


class ViewEncoder(nn.Module, ABC):
    """A diffusion denoiser for one imaging plane.

    Subclasses are built as `cls(config)` from their frozen dataclass `Config`, give `walk` and `epsilon`, and
    publish, for each readable block in the order of `walk`, its channels and its (depth, height, width) stride.
    Heads ask for blocks by that geometry, never by name.
    """

    Config: ClassVar[type]
    presets: ClassVar[dict[str, Any]] = {}
    denoises: ClassVar[bool] = True  # without it, it learns from labels alone, and `epsilon` says so
    block_channels: dict[str, int]
    block_strides: dict[str, Stride]

    @property
    def deepest(self) -> str:
        """The block with the most context: the last one of the greatest stride."""
        return max(reversed(self.block_strides), key=lambda name: math.prod(self.block_strides[name]))

    @property
    def finest(self) -> str:
        """The last block at half the in-plane resolution, (1, 2, 2), or else the last one of the smallest stride."""
        at_half = [name for name, stride in self.block_strides.items() if stride == (1, 2, 2)]
        return (at_half or [min(reversed(self.block_strides), key=lambda n: math.prod(self.block_strides[n]))])[-1]

    @property
    def pyramid(self) -> tuple[str, ...]:
        """The last block at each stride, the finest first, from `finest` down to `deepest`."""
        last = {stride: name for name, stride in self.block_strides.items()}
        for name in (self.finest, self.deepest):
            last[self.block_strides[name]] = name
        ends = [math.prod(self.block_strides[name]) for name in (self.finest, self.deepest)]
        sizes = {name: math.prod(stride) for stride, name in last.items()}
        return tuple(sorted((n for n, size in sizes.items() if ends[0] <= size <= ends[1]), key=sizes.__getitem__))

    @classmethod
    def preset(cls, name: str) -> Any:
        """The `Config` of that name; raises `UsageError` with the known ones otherwise."""
        if name not in cls.presets:
            raise UsageError(f"{cls.__name__} has no preset '{name}'", hint=f"known: {', '.join(cls.presets)}")
        return cls.presets[name]

    @abstractmethod
    def walk(self, x: Tensor, t: Tensor) -> Iterator[tuple[str, Tensor]]:
        """(B, 1, D, H, W) in [-1, 1] and t (B,) -> name and map of each block, yielded once it is computed.

        Whoever has read enough stops asking, and the rest is never computed. A map may be deeper than
        ceil(D / stride) where the encoder pads slices.
        """

    @abstractmethod
    def epsilon(self, last: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
        """Predicted noise (B, 1, D or more, H, W) from the last block of `walk`, for the x_t and t it began with."""

    def run(self, x_t: Tensor, t: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """One pass over x_t (B, 1, D, H, W) at t (B,): all blocks (B, C, D', H', W'), and the predicted noise."""
        last, blocks, depth = x_t, {}, x_t.shape[2]
        for name, last in self.walk(x_t, t):
            blocks[name] = self._cut(name, last, depth)
        return blocks, self.epsilon(last, x_t, t)[:, :, :depth]

    def forward(self, x_t: Tensor, t: Tensor) -> Tensor:
        """Predicted noise epsilon (B, 1, D, H, W) for the noisy x_t and its timestep t (B,) in 0..T-1."""
        return self.run(x_t, t)[1]

    def features(
        self, x: Tensor, timestep: int | Tensor = 0, blocks: Collection[str] | None = None
    ) -> dict[str, Tensor]:
        """Features {block: (B, C, D', H', W')} of the image x (B, 1, D, H, W) as it is: no noise is drawn.

        timestep: one for all images, or (B,). blocks: the blocks wanted (all without it); nothing that lies
        behind the last of them is computed. Raises `UsageError` for a block that is not there.
        """
        wanted = set(self.block_channels if blocks is None else blocks)
        if unknown := sorted(wanted - self.block_channels.keys()):
            raise UsageError(
                f"{type(self).__name__} has no block '{unknown[0]}'", hint=f"known: {', '.join(self.block_channels)}"
            )
        given = timestep if isinstance(timestep, Tensor) else torch.full((), timestep, device=x.device)
        t = given.to(x.device).expand(x.shape[0])
        found: dict[str, Tensor] = {}
        for name, block in self.walk(x, t):
            if name in wanted:
                found[name] = self._cut(name, block, x.shape[2])
                if len(found) == len(wanted):
                    break
        return found

    def _cut(self, name: str, block: Tensor, depth: int) -> Tensor:
        """The block without the slices that padding added."""
        return block[:, :, : -(-depth // self.block_strides[name][0])]


ENCODERS: Registry[ViewEncoder] = Registry("encoder", "orthodx.encoders")
register_encoder = ENCODERS.register
