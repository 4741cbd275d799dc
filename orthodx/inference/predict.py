"""Class probabilities of one image on the model's grid, from windows over its slices."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from orthodx.bundles.bundle import Bundle
from orthodx.grid.canonical import GridImage
from orthodx.grid.windows import blend, windows
from orthodx.joints import View
from orthodx.networks.reading import Reader


class Segmenter:
    """The segmentation head of one bundle and the reader of its encoders, on one device."""

    def __init__(self, bundle: Bundle, device: torch.device) -> None:
        self.bundle, self.device = bundle, device
        self.head = bundle.head("segment").to(device)
        self.read = Reader(bundle.encoder, device)

    @torch.inference_mode()
    def probabilities(self, image: Tensor, view: View) -> Tensor:
        """(D, H, W) in [-1, 1] -> softmax (K, D, H, W) float16 on the CPU, every slice read."""
        spec = self.bundle.info.grid
        total: Tensor | None = None
        weight = torch.zeros(image.shape[0])
        for part in windows(image.shape[0], spec.slices, spec.overlap):
            logits = self.read(view, image[part][None, None], self.head)
            p = logits[0].float().softmax(0).cpu()
            w = blend(p.shape[1])
            if total is None:
                total = torch.zeros((p.shape[0], *image.shape), dtype=torch.float16)
            total[:, part] += (p * w[:, None, None]).half()
            weight[part] += w
        assert total is not None
        return total.div_(weight[:, None, None].half())

    def __call__(self, grid: GridImage) -> Prediction:
        """Probabilities of the image and of its brightness-shifted twin, averaged, with their agreement.

        A second look at half a slice's and a few pixels' shift and another contrast tells how firm each
        structure is: `agreement` is the Dice between the two looks' labels, by structure value.
        """
        first = self.probabilities(grid.image, grid.view)
        twin = (torch.sign(grid.image) * grid.image.abs().pow(0.8)).roll((8, 8), (1, 2))
        second = self.probabilities(twin, grid.view).roll((-8, -8), (2, 3))
        a, b = first.max(0).indices, second.max(0).indices  # as argmax, in a quarter of its time
        agreement = {}
        for known, value in enumerate(self.bundle.info.joint.values[1:], start=1):
            size = int((a == known).sum() + (b == known).sum())
            if size:
                agreement[value] = 2 * int(((a == known) & (b == known)).sum()) / size
        return Prediction((first + second) / 2, agreement)


@dataclass(frozen=True, eq=False)
class Prediction:
    """probabilities: (K, D, H, W) float16, by class. agreement: structure value -> Dice of two looks, 0..1."""

    probabilities: Tensor
    agreement: dict[int, float]
