"""Crops of studies as another patient or scanner might give them: turned, scaled, mirrored, in another light."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from orthodx.grid.spec import left_to_right
from orthodx.joints import View

TURN, SIZE = np.deg2rad(15), 0.2  # at most, in plane
MARGIN = 1.5  # of rows and columns: what a turned and shrunken crop may need


class Augmentation:
    """MONAI's transforms, of the kinds that nnU-Net trains with (Isensee et al. 2021), milder and in plane.

    crop: slices, rows and columns of a sample.
    """

    def __init__(self, crop: tuple[int, int, int]) -> None:
        self.crop = crop

    @property
    def wider(self) -> tuple[int, int, int]:
        """Slices, rows and columns to hand over."""
        return self.crop[0], round(MARGIN * self.crop[1]), round(MARGIN * self.crop[2])

    @cached_property
    def _space(self) -> Any:
        from monai import transforms  # slow to import

        return transforms.RandAffined(
            ("image", "truth"),
            prob=1,
            rotate_range=(TURN, 0, 0),
            scale_range=(0, SIZE, SIZE),
            spatial_size=self.crop,
            mode=("bilinear", "nearest"),
            padding_mode="zeros",
        )

    @cached_property
    def _light(self) -> Any:
        from monai import transforms

        flat = (1e-3, 1e-3)  # slices stay apart
        return transforms.Compose(
            [
                transforms.RandBiasField(prob=0.3, coeff_range=(0, 0.3)),
                transforms.RandHistogramShift(prob=0.3, num_control_points=(5, 10)),
                transforms.RandAdjustContrast(prob=0.5, gamma=(0.7, 1.5)),
                transforms.RandGaussianSmooth(prob=0.2, sigma_x=flat, sigma_y=(0.3, 1), sigma_z=(0.3, 1)),
                transforms.RandRicianNoise(prob=0.5, std=0.06, sample_std=True),
            ]
        )

    def __call__(self, image: Tensor, truth: Tensor, view: View, seed: int) -> tuple[Tensor, Tensor]:
        """Image (D, H, W) in [-1, 1] and structures (D, H, W) uint8, both `wider` -> both as large as `crop`.

        Mirrored left to right in the world half of the time, so that a right joint becomes a left one and medial stays
        medial. Beyond the image stays -1.
        """
        shown = {"image": (image[None] + 1) / 2, "truth": truth[None].float()}
        moved = self._space.set_random_state(seed)(shown)
        grey, structures = (torch.as_tensor(moved[name]).contiguous() for name in ("image", "truth"))
        lit = torch.as_tensor(self._light.set_random_state(seed)(grey)).contiguous()
        out = torch.where(grey > 0, lit.clamp(0, 1), 0.0)[0] * 2 - 1
        found = structures[0].to(torch.uint8)
        if np.random.default_rng(seed).random() < 0.5:
            out, found = (one.flip(left_to_right(view)) for one in (out, found))
        return out, found
