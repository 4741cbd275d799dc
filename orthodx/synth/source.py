"""An endless source of training batches, rendered on the model's grid from a bank of anatomies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from orthodx.errors import UsageError
from orthodx.grid.intensity import normalise
from orthodx.grid.spec import GridSpec, axis_matrix
from orthodx.joints import View
from orthodx.synth.anatomy_bank import AnatomyBank
from orthodx.synth.deformation import Deformation, random_deformation
from orthodx.synth.focus import Focus
from orthodx.synth.grammar import DEFAULT, SyntheticJoint, synthetic
from orthodx.synth.mottling import random_mottles
from orthodx.synth.scanner import ScanParams, make_plane, on_plane, random_contrast, render, sample_scan
from orthodx.synth.signals import random_sequence_signal
from orthodx.synth.tissues import TissueTable

FOCUS_STREAM, LIFE_STREAM, LIGHT_STREAM = 1, 2, 3  # beside (seed, sample, view) in the generator's key
WATER_EXCITED = 0.35  # share of samples that look like a DESS
PHYSICAL = 0.25  # share of samples with the signals of a sequence: T1 above all, whose fluid is dark
FAR = 0.35  # share of axial samples from anywhere along the limb
THICKEST_MM = 9.0
INVERTED = 0.04  # share of samples in which bright is dark


@dataclass(frozen=True)
class SyntheticSource:
    """Sample i of a view, for any i: image (1, D, H, W) in [-1, 1] and truth (D, H, W) uint8.

    truth: "structures"; of a bank of injured joints also "lesions", or "both" as (2, D, H, W). anatomies: a bank, or
    pairs of tissues and affine of `joint`. crop: (D, H, W) of a sample on the model's grid. fully_random: share of
    samples whose tissues have random signals instead of an MR sequence's. focus: of a bank of injured joints, crops
    taken on purpose; every other number is drawn as without it. `source[i, view]` depends on `seed`, i and view only,
    so that a training resumes exactly; it is a map-style dataset for `torch.utils.data.DataLoader`.
    """

    anatomies: Sequence[tuple[np.ndarray, np.ndarray]] | AnatomyBank
    spec: GridSpec
    crop: tuple[int, int, int] = (16, 112, 112)
    seed: int = 0
    fully_random: float = 0.12
    device: str = "cpu"
    truth: Literal["structures", "lesions", "both"] = "structures"
    focus: Focus | None = None
    joint: str = DEFAULT

    def __post_init__(self) -> None:
        if len(self.anatomies) == 0:
            raise UsageError("the synthetic source has no anatomy", hint="build a bank with 'orthodx synth' first")
        if self.truth != "structures" and not isinstance(self.anatomies, AnatomyBank):
            raise UsageError("lesions come from a bank only", hint="make it with 'orthodx synth --bank --lesions'")
        if self.truth != "structures" and isinstance(self.anatomies, AnatomyBank):
            self.anatomies.lesions(0)

    @cached_property
    def _made(self) -> SyntheticJoint:
        return self.anatomies.synthetic if isinstance(self.anatomies, AnatomyBank) else synthetic(self.joint)

    def _turn(self, view: View, tissues: np.ndarray, shape: Deformation) -> float:
        """Degrees by which a view's planes follow this joint; the deformation may have mirrored it."""
        side, mirrored = self._made.side_of(tissues), np.linalg.det(shape.matrix) < 0
        return self._made.turn_of(view, side) * (-1 if mirrored else 1)

    def __getitem__(self, key: tuple[int, View]) -> tuple[Tensor, Tensor]:
        (i, view), made = key, self._made
        number = [self.seed, i, list(View).index(view)]
        rng = np.random.default_rng(number)
        which = int(rng.integers(len(self.anatomies)))
        aim = self.focus(np.random.default_rng([*number, FOCUS_STREAM])) if self.focus else None
        if aim is not None:
            which = aim[0]
        tissues, affine = self.anatomies[which]
        slice_mm = rng.uniform(2.4, 4.6) if rng.random() < 0.75 else rng.uniform(self.spec.min_slice_mm, THICKEST_MM)
        pixel = self.spec.pixel_mm
        depth = axis_matrix(view)[:, 0]
        centre = rng.normal(made.crops.mean_mm, made.crops.sd_mm)
        life = np.random.default_rng([*number, LIFE_STREAM])
        far = made.crops.limb_mm if abs(depth[2]) > 0.5 and life.random() < FAR else 0.0
        reach = max(max(made.crops.reach_mm, far) - slice_mm * self.crop[0] / 2, 6.0) + 8
        centre = centre * (1 - np.abs(depth)) + depth * rng.uniform(-reach, reach)
        if rng.random() < 0.12:  # somewhere in the limb, where there may be no joint at all
            centre = centre + rng.uniform(-55, 55, 3)
        in_plane = np.abs(depth) * rng.normal(0, 9, 3) + (1 - np.abs(depth)) * rng.normal(0, 5, 3)
        plane = make_plane(
            view, self.crop, (slice_mm, pixel), slice_mm * rng.uniform(0.7, 1.0), centre, tuple(in_plane)
        )
        noise = float(np.exp(rng.uniform(np.log(0.008), np.log(0.09))))
        contrast = random_contrast(rng, made.tissues, self.fully_random, WATER_EXCITED)
        light = np.random.default_rng([*number, LIGHT_STREAM])
        if light.random() < PHYSICAL:
            contrast = random_sequence_signal(light, made.tissues)
        params = _as_in_life(sample_scan(rng, plane, contrast, noise), made.tissues, (slice_mm, pixel, pixel), life)
        params = _in_another_light(params, light)
        volume = torch.from_numpy(np.array(tissues)).to(self.device)
        shape = random_deformation(rng)
        if view in made.turns:
            params = replace(params, plane=params.plane.turned(self._turn(view, tissues, shape)))
        if aim is not None:
            params = replace(params, plane=params.plane.moved_to(shape.inverse(aim[1])))
        image, truth = render(volume, affine, params, shape, made.tissues)
        if self.truth != "structures" and isinstance(self.anatomies, AnatomyBank):
            mask = torch.from_numpy(np.array(self.anatomies.lesions(which))).to(self.device)
            lesions = on_plane(mask, affine, params, shape)
            truth = lesions if self.truth == "lesions" else torch.stack([truth, lesions])
        if light.random() < INVERTED:
            image = (image.max() - image).clamp_min(0)
        image, truth = _truncate(image, truth, rng)
        return normalise(image)[None], truth


def _as_in_life(
    params: ScanParams, tissues: TissueTable, spacing_mm: tuple[float, float, float], rng: np.random.Generator
) -> ScanParams:
    """What real scans show beyond `sample_scan`: chemical shift along either axis, uneven fat, uneven tissue."""
    shift = (0.0, 0.0)
    if rng.random() < 0.7:  # readout along rows as often as along columns; up to 2.5 mm at 3 T and narrow bandwidth
        by = float(rng.uniform(-2.5, 2.5)) / spacing_mm[1]
        shift = (by, 0.0) if rng.random() < 0.5 else (0.0, by)
    uneven = rng.normal(0, rng.uniform(0.1, 0.6), (2, 3, 3)).astype(np.float32) if rng.random() < 0.5 else None
    return replace(
        params,
        fat_shift_px=shift,
        fat_unevenness=uneven,
        mottles=random_mottles(rng, tissues, spacing_mm) if rng.random() < 0.85 else (),
    )


def _in_another_light(params: ScanParams, rng: np.random.Generator) -> ScanParams:
    """A steep display curve, a coarse matrix's blur, a coil that sees one side only: each in some of the samples."""
    drawn, gamma, blur = rng.random(2), float(np.exp(rng.uniform(-0.7, 0.7))), rng.uniform(0.7, 1.4, 2)
    steeper = float(rng.uniform(1, 2.5)) if rng.random() < 0.3 else 1.0
    if drawn[0] < 0.3:
        params = replace(params, gamma=gamma)
    if drawn[1] < 0.15:
        params = replace(params, blur_px=(float(blur[0]), float(blur[1])))
    return replace(params, shading=params.shading * np.float32(steeper))


def _truncate(image: Tensor, truth: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Sometimes the field of view ends inside the crop: zero beyond it, as padding looks at inference."""
    if rng.random() < 0.3:
        for axis in (-2, -1):
            n = image.shape[axis]
            low, high = (int(rng.integers(0, n // 6)) if rng.random() < 0.5 else 0 for _ in range(2))
            for part in (image, truth):
                part.narrow(axis, 0, low).zero_()
                part.narrow(axis, n - high, high).zero_()
    return image, truth
