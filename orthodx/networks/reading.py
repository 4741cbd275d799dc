"""The one way an image is read: image -> blocks -> head. Inference, probes, frozen features and training all use it.

Tensors lie channels-last, products run in bf16 where the hardware multiplies it, and nothing behind the last block that
is asked for is computed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from orthodx.errors import UsageError
from orthodx.joints import View
from orthodx.networks.diffusion import T, cosine_abar, q_sample
from orthodx.networks.encoders.encoder import ViewEncoder
from orthodx.networks.heads.head import Head, refuse_misfit
from orthodx.networks.layout import channels_last, coarse, image_channels_last
from orthodx.networks.precision import autocast

Blocks = dict[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class Noising:
    """How noisy an image is when it is read: x_t = sqrt(abar_t) x_0 + sqrt(1 - abar_t) noise, as published.

    timestep: t, 0 for the image as it is. by_view: t of sagittal, coronal and axial images, where it is not one for
    all. fresh: noise drawn anew at each reading, as published, so that no two readings are alike; else `seed` draws one
    noise for all images of a shape.
    """

    timestep: int = 0
    by_view: tuple[int, ...] = ()
    fresh: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        for t in (self.timestep, *self.by_view):
            if not 0 <= t < T:
                raise UsageError(f"no timestep {t}", hint=f"give 0 to {T - 1}; 0 reads the image as it is")
        if self.by_view and len(self.by_view) != len(View):
            raise ValueError(f"timesteps {self.by_view} are not one a view")
        if not 0 <= self.seed < 2**63:
            raise ValueError(f"a seed of {self.seed} is impossible")

    def of(self, view: View) -> Noising:
        """That of the images of one view."""
        return replace(self, timestep=self.by_view[list(View).index(view)], by_view=()) if self.by_view else self

    def __call__(self, image: Tensor) -> Tensor:
        """x_t of images (B, 1, D, H, W), of one timestep."""
        if not self.timestep:
            return image
        source = None if self.fresh else torch.Generator().manual_seed(self.seed)
        shape = image.shape if self.fresh else (1, *image.shape[1:])
        noise = torch.randn(shape, generator=source).to(image)
        t = torch.full((len(image),), self.timestep, device=image.device)
        return q_sample(image, t, noise, cosine_abar())


CLEAN = Noising()


def blocks_of(
    encoder: ViewEncoder,
    image: Tensor,
    blocks: Collection[str] | None = None,
    *,
    detail: int = 1,
    noising: Noising = CLEAN,
) -> Blocks:
    """Blocks {name: (B, C, D', H', W')} of images (B, 1, D, H, W) in [-1, 1] on the encoder's device.

    blocks: those wanted, all without it. detail: pixels of the image along each side of one that the encoder sees.
    noising: of what the encoder sees.
    """
    with autocast(image.device):
        return encoder.features(image_channels_last(noising(coarse(image, detail))), noising.timestep, blocks)


def ask(question: Callable[[Mapping[str, Tensor], Tensor], Tensor], blocks: Blocks, image: Tensor) -> Tensor:
    """What a head makes of blocks and image: `question` is the head itself, or its `summary`, `maps` or `heat`."""
    with autocast(image.device):
        return question(blocks, image)


class Reader:
    """A model's encoders on one device, each loaded by `load` when its view first comes; no gradient is kept."""

    def __init__(self, load: Callable[[View], ViewEncoder], device: torch.device, noising: Noising = CLEAN) -> None:
        self.load, self.device, self.noising = load, device, noising
        self._encoders: dict[View, ViewEncoder] = {}

    @torch.inference_mode()
    def blocks(self, view: View, image: Tensor, head: Head, more: Collection[str] = ()) -> Blocks:
        """The blocks that a head reads of images (B, 1, D, H, W) on the reader's device, and `more` of them."""
        encoder = self.encoder(view)
        refuse_misfit(head, encoder)
        return blocks_of(encoder, image, {*head.blocks, *more}, detail=head.detail, noising=self.noising.of(view))

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
