"""The one way an image is read: image -> blocks -> head. Inference, probes, frozen features and training all use it.

Tensors lie channels-last, products run in bf16 where the hardware multiplies it, and nothing behind the last block that
is asked for is computed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

import torch
from torch import Tensor

from orthodx.joints import View
from orthodx.networks.encoders.encoder import ViewEncoder
from orthodx.networks.heads.head import Head, refuse_misfit
from orthodx.networks.layout import channels_last, coarse, image_channels_last
from orthodx.networks.precision import autocast

Blocks = dict[str, Tensor]


def blocks_of(
    encoder: ViewEncoder,
    image: Tensor,
    blocks: Collection[str] | None = None,
    *,
    detail: int = 1,
    timestep: int = 0,
) -> Blocks:
    """Blocks {name: (B, C, D', H', W')} of images (B, 1, D, H, W) in [-1, 1] on the encoder's device.

    blocks: those wanted, all without it. detail: pixels of the image along each side of one that the encoder sees.
    """
    with autocast(image.device):
        return encoder.features(image_channels_last(coarse(image, detail)), timestep, blocks)


def ask(question: Callable[[Mapping[str, Tensor], Tensor], Tensor], blocks: Blocks, image: Tensor) -> Tensor:
    """What a head makes of blocks and image: `question` is the head itself, or its `summary`, `maps` or `heat`."""
    with autocast(image.device):
        return question(blocks, image)


class Reader:
    """A model's encoders on one device, each loaded by `load` when its view first comes; no gradient is kept."""

    def __init__(self, load: Callable[[View], ViewEncoder], device: torch.device) -> None:
        self.load, self.device = load, device
        self._encoders: dict[View, ViewEncoder] = {}

    @torch.inference_mode()
    def blocks(self, view: View, image: Tensor, head: Head, more: Collection[str] = ()) -> Blocks:
        """The blocks that a head reads of images (B, 1, D, H, W) on the reader's device, and `more` of them."""
        encoder = self.encoder(view)
        refuse_misfit(head, encoder)
        return blocks_of(encoder, image, {*head.blocks, *more}, detail=head.detail)

    @torch.inference_mode()
    def __call__(self, view: View, image: Tensor, head: Head) -> Tensor:
        """The head's logits of images (B, 1, D, H, W)."""
        image = image.to(self.device)
        return ask(head, self.blocks(view, image, head), image)

    def encoder(self, view: View) -> ViewEncoder:
        """The encoder of a view, on the device."""
        if view not in self._encoders:
            self._encoders[view] = self.load(view).to(self.device)
            channels_last(self._encoders[view])
        return self._encoders[view]
