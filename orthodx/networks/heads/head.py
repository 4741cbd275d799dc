"""What every task head is: it asks an encoder for blocks by their geometry, and owns its loss."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar

from torch import Tensor, nn

from orthodx.errors import BundleError, UsageError
from orthodx.joints import Joint
from orthodx.networks.encoders.encoder import ViewEncoder
from orthodx.networks.registry import Registry


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a head is asked for.

    classes: of a mask, background included. labels: of a diagnosis. harmed: class of the structure that each label is
    an injury of, 0 for none. detail: pixels of the head's image along each side of one of the encoder's. pixel_mm: the
    encoder's. block: the one that is read, if not the head's own choice. shape: (D, H, W) of the image that the encoder
    sees, where it is known.
    """

    classes: int = 2
    labels: int = 1
    harmed: tuple[int, ...] = (0,)
    detail: int = 1
    pixel_mm: float = 1.0
    block: str | None = None
    shape: tuple[int, int, int] | None = None

    @classmethod
    def of(
        cls,
        joint: Joint,
        labels: Sequence[str] | None = None,
        *,
        detail: int = 1,
        pixel_mm: float = 1.0,
        shape: tuple[int, int, int] | None = None,
    ) -> Wanted:
        """The structures of a joint, and some of its abnormalities (all without `labels`)."""
        labels = joint.codes if labels is None else labels
        return cls(
            classes=len(joint.values),
            labels=len(labels),
            harmed=joint.harmed(labels),
            detail=detail,
            pixel_mm=pixel_mm,
            shape=shape,
        )


class Head(nn.Module, ABC):
    """A task on top of an encoder's blocks: `task` is "segment" or "diagnose".

    Built as `cls(config)` from its frozen dataclass `Config`, which `config_for` fits to an encoder by its geometry and
    to what is wanted. blocks: those it reads. detail: the image it is given has so many pixels along each side of one
    of the encoder's; details: those it can. parts: prefix of weights -> the part of a fine-tuning from voxel-wise truth
    that a diagnosis by this head can start from. fitted: its parts that are fitted to studies' labels; the rest may be
    kept from other labels. any_block: whether it can read any one block. per_label: tensors whose first axis is
    the labels. added: its parts that a start, of the simpler head it has grown from, may lack.
    """

    Config: ClassVar[type]
    task: ClassVar[str]
    details: ClassVar[tuple[int, ...]] = (1,)
    parts: ClassVar[Mapping[str, str]] = MappingProxyType({})
    fitted: ClassVar[frozenset[str]] = frozenset()
    per_label: ClassVar[tuple[str, ...]] = ()
    added: ClassVar[frozenset[str]] = frozenset()
    any_block: ClassVar[bool] = False
    blocks: tuple[str, ...]
    detail: int = 1

    @classmethod
    @abstractmethod
    def config_for(cls, encoder: ViewEncoder, wanted: Wanted) -> Any:
        """The `Config` that fits encoder and answer; raises `UsageError` where this head cannot read the encoder."""

    @abstractmethod
    def forward(self, features: Mapping[str, Tensor], image: Tensor) -> Tensor:
        """Features of the declared blocks and the image (B, 1, D, H, W) -> logits."""

    @abstractmethod
    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """Scalar loss of this task."""


def refuse_misfit(head: Head, encoder: ViewEncoder) -> None:
    """Raise `BundleError` where a head is not sized for the encoder's blocks: its description was changed."""
    config: Any = getattr(head, "config", None)
    strides = getattr(config, "block_strides", None) or [getattr(config, "stride", None)]
    channels = getattr(config, "block_channels", None)
    channels = channels if isinstance(channels, tuple) else [channels]
    for block, stride, width in zip(head.blocks, strides, channels, strict=False):
        there = (encoder.block_strides.get(block), encoder.block_channels.get(block))
        said = (there[0] if stride is None else tuple(stride), there[1] if width is None else width)
        if None not in there and said != there:
            raise BundleError(
                f"the head reads block '{block}' with stride and channels {said}, its encoder gives {there}",
                hint="get the bundle again",
            )


def refuse_detail(name: str, detail: int) -> None:
    """Raise `UsageError` where a registered head cannot look so closely."""
    able = HEADS.get(name).details
    if detail not in able:
        known = " or ".join(map(str, able))
        raise UsageError(f"the head '{name}' cannot look {detail} times closer", hint=f"give --detail {known}")


def head_config(name: str, encoder: ViewEncoder, wanted: Wanted) -> Any:
    """The `Config` of a registered head; raises `UsageError` where it cannot do what is wanted."""
    cls = HEADS.get(name)
    refuse_detail(name, wanted.detail)
    if wanted.block is not None and not cls.any_block:
        able = ", ".join(known for known in HEADS.names() if HEADS.get(known).any_block)
        raise UsageError(f"the head '{name}' chooses its blocks itself", hint=f"leave --block out, or use {able}")
    if wanted.block is not None and wanted.block not in encoder.block_channels:
        known = ", ".join(encoder.block_channels)
        raise UsageError(f"{type(encoder).__name__} has no block '{wanted.block}'", hint=f"give one of {known}")
    return cls.config_for(encoder, wanted)


HEADS: Registry[Head] = Registry("head", "orthodx.heads")
register_head = HEADS.register
