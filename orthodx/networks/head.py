"""What every task head is: it declares the blocks it reads and owns its loss."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor, nn

from orthodx.networks.encoder import ViewEncoder
from orthodx.networks.registry import Registry


class Head(nn.Module, ABC):
    """A task on top of an encoder's blocks: `task` is "segment" (or, later, "diagnose")."""

    Config: ClassVar[type]
    task: ClassVar[str]
    blocks: tuple[str, ...]

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


HEADS: Registry[Head] = Registry("head", "orthodx.heads")
register_head = HEADS.register
