"""Features of a model's encoders, read once for all heads, as fast as the hardware reads them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

import torch
from torch import Tensor

from orthodx.joints import View
from orthodx.networks import ViewEncoder
from orthodx.networks.layout import channels_last, image_channels_last
from orthodx.networks.precision import autocast


class FeatureReader:
    """Encoders on one device, each loaded by `load` when its view first comes, read at `blocks`.

    blocks: all that the heads declare; one pass serves every head, and nothing behind the last of them is
    computed. No gradient is kept, tensors lie channels-last, products run in bf16 where the hardware multiplies it.
    """

    def __init__(self, load: Callable[[View], ViewEncoder], blocks: Collection[str], device: torch.device) -> None:
        self.load, self.blocks, self.device = load, blocks, device
        self._encoders: dict[View, ViewEncoder] = {}

    @torch.inference_mode()
    def __call__(self, images: Mapping[View, Tensor]) -> dict[View, dict[str, Tensor]]:
        """Images (B, 1, D, H, W) in [-1, 1] of one or several views -> their blocks (B, C, D', H', W') a view."""
        with autocast(self.device):
            return {
                view: self._encoder(view).features(image_channels_last(x.to(self.device)), blocks=self.blocks)
                for view, x in images.items()
            }

    def _encoder(self, view: View) -> ViewEncoder:
        if view not in self._encoders:
            self._encoders[view] = self.load(view).to(self.device)
            channels_last(self._encoders[view])
        return self._encoders[view]
