"""What every task head is: it declares the blocks it reads and owns its loss."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

from torch import Tensor, nn

from orthodx.errors import UsageError
from orthodx.networks.encoder import ViewEncoder
from orthodx.networks.registry import Registry


class Head(nn.Module, ABC):
    """A task on top of an encoder's blocks: `task` is "segment" or "diagnose".

    detail: the image it is given has so many pixels along each side of one of the encoder's.
    """

    Config: ClassVar[type]
    task: ClassVar[str]
    blocks: tuple[str, ...]
    detail: int = 1

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


def head_config(cls: type[Head], encoder: ViewEncoder, detail: int) -> Any:
    """The head's `Config` for this encoder and detail; raises `UsageError` where it does not look closer."""
    config = cls.config_for(encoder)
    if detail == 1:
        return config
    if not hasattr(config, "detail"):
        raise UsageError(f"{cls.__name__} reads nothing finer than the encoder", hint="leave --detail out")
    return replace(config, detail=detail)


HEADS: Registry[Head] = Registry("head", "orthodx.heads")
register_head = HEADS.register
