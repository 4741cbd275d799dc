"""Class probabilities of one image on the model's grid, from windows over its slices."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from orthodx.bundles.bundle import Bundle
from orthodx.grid.canonical import GridImage
from orthodx.grid.spec import left_to_right
from orthodx.grid.windows import blend, windows
from orthodx.inference.quality import Firmness, expected_dice, firmness
from orthodx.joints import View
from orthodx.networks.familiarity import pooled
from orthodx.networks.reading import Reader, ask


class Segmenter:
    """The segmentation head of one bundle and the reader of its encoders, on one device.

    grid: what it reads, and gives probabilities on; finer than the encoders' where the head looks closer.
    """

    def __init__(self, bundle: Bundle, device: torch.device) -> None:
        self.bundle, self.device = bundle, device
        self.head = bundle.head("segment").to(device)
        self.read = Reader(bundle.encoder, device)
        self.familiar = bundle.familiarity("segment")
        own, closer = bundle.info.grid, self.head.detail
        self.grid = replace(own, pixel_mm=own.pixel_mm / closer, multiple=own.multiple * closer)

    @torch.inference_mode()
    def look(self, image: Tensor, view: View, blocks: Collection[str] = ()) -> Look:
        """Every slice of (D, H, W) in [-1, 1], on `grid`, read once; the features of `blocks` are pooled beside it."""
        spec = self.grid
        total: Tensor | None = None
        weight = torch.zeros(image.shape[0])
        seen: list[dict[str, Tensor]] = []
        for part in windows(image.shape[0], spec.slices, spec.overlap):
            x = image[part][None, None].to(self.device)
            found = self.read.blocks(view, x, self.head, blocks)
            p = ask(self.head, found, x)[0].float().softmax(0).cpu()
            seen.append({name: pooled(found[name], x).cpu() for name in blocks})
            w = blend(p.shape[1])
            if total is None:
                total = torch.zeros((p.shape[0], *image.shape), dtype=torch.float16)
            total[:, part] += (p * w[:, None, None]).half()
            weight[part] += w
        assert total is not None
        features = {name: torch.stack([one[name] for one in seen]).mean(0) for name in blocks}
        return Look(total.div_(weight[:, None, None].half()), features)

    def __call__(self, grid: GridImage, blocks: Collection[str] = (), *, twice: bool = True) -> Prediction:
        """Probabilities of the image and of its mirrored twin, averaged, and how far they can be believed.

        A second look, at the joint of the other side, some pixels away and in another contrast, tells how firm each
        structure is (`quality`), the features of the first how strange the image is (`networks.familiarity`). blocks:
        whose pooled features are told. twice: else there is one look, in half the time, and nothing tells how firm the
        structures are.
        """
        own = () if self.familiar is None else (self.familiar.config.block,)
        first = self.look(grid.image, grid.view, {*blocks, *own})
        strangeness = None
        if self.familiar is not None:
            strangeness = self.familiar.strangeness(first.features[self.familiar.config.block], grid.view)
        if not twice:
            return Prediction(first.probabilities, {}, strangeness, first.features)
        before = self.grid.multiple // 2
        after = self.grid.multiple - before
        twin = torch.sign(grid.image) * grid.image.abs().pow(0.8)
        twin = functional.pad(twin, (before, after, before, after), mode="reflect")
        axis = left_to_right(grid.view)
        second = self.look(twin.flip(axis), grid.view).probabilities.flip(axis + 1)
        second = second[:, :, before:-after, before:-after]
        mean = (first.probabilities + second) / 2
        firm = firmness(first.probabilities, second, mean, self.bundle.info.joint)
        return Prediction(mean, firm, strangeness, first.features)

    def quality(self, prediction: Prediction) -> dict[int, float]:
        """Structure value -> expected Dice, 0..1, of those that a look shows."""
        info = self.bundle.info
        return expected_dice(prediction.firm, prediction.strangeness, info.quality, info.joint)


@dataclass(frozen=True, eq=False)
class Look:
    """probabilities: (K, D, H, W) float16, by class. features: block -> pooled (2C,)."""

    probabilities: Tensor
    features: dict[str, Tensor]


@dataclass(frozen=True, eq=False)
class Prediction:
    """Of one series: probabilities (K, D, H, W) float16, by class; firm: structure value -> how firm it is.

    strangeness: above 1 unlike what the bundle has learned from; None where nobody has calibrated that. features: block
    -> pooled (2C,).
    """

    probabilities: Tensor
    firm: dict[int, Firmness]
    strangeness: float | None
    features: dict[str, Tensor]
