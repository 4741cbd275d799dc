"""What every task head is: it declares the blocks it reads and owns its loss."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, ClassVar

from torch import Tensor, nn

from orthodx.errors import UsageError
from orthodx.networks.encoder import ViewEncoder
from orthodx.networks.registry import Registry


class Head(nn.Module, ABC):
    """A task on top of an encoder's blocks: `task` is "segment" or "diagnose".

    detail: the image it is given has so many pixels along each side of one of the encoder's. parts: prefix of
    weights -> the part of a fine-tuning from voxel-wise truth that a diagnosis by this head can start from.
    """

    Config: ClassVar[type]
    task: ClassVar[str]
    blocks: tuple[str, ...]
    detail: int = 1
    parts: ClassVar[Mapping[str, str]] = MappingProxyType({})

    @classmethod
    def config_for(cls, encoder: ViewEncoder) -> Any:
        """The `Config` that fits this encoder; the defaults unless a head reads the encoder's widths."""
        return cls.Config()

    @abstractmethod
    def forward(self, features: Mapping[str, Tensor], image: Tensor) -> Tensor:
        """Features of the declared blocks and the image (B, 1, D, H, W) -> logits."""

    @abstractmethod
    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """Scalar loss of this task."""


def head_config(cls: type[Head], encoder: ViewEncoder, detail: int, pixel_mm: float | None = None) -> Any:
    """The head's `Config` for this encoder, detail and size of the encoder's pixels.

    Raises `UsageError` where the head does not look closer.
    """
    config = cls.config_for(encoder)
    if pixel_mm is not None and hasattr(config, "pixel_mm"):
        config = replace(config, pixel_mm=pixel_mm)
    if detail == 1:
        return config
    if not hasattr(config, "detail"):
        raise UsageError(f"{cls.__name__} reads nothing finer than the encoder", hint="leave --detail out")
    return replace(config, detail=detail)


HEADS: Registry[Head] = Registry("head", "orthodx.heads")
register_head = HEADS.register
