"""Tissue is not even: septa and vessels in fat, fat streaks in muscle, grey striated ligaments, red marrow.

Painted on the image's grid while it is rendered, so that one anatomy looks different every time; the truth stays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from orthodx.synth import artefacts
from orthodx.synth.tissues import KINDS, TissueTable


@dataclass(frozen=True)
class Mottle:
    """Some tissues take on, in lines or patches, the signal of another.

    values: the tissues. towards: what they are mixed with. strength: share of it where the pattern is full.
    grain_px: size of the pattern along slices, rows and columns. line: thin sheets, else patches that cover about
    `cover` of the tissue. seed: of the pattern.
    """

    values: tuple[int, ...]
    towards: int
    strength: float
    grain_px: tuple[float, float, float]
    line: bool
    cover: float
    seed: int

    def pattern(self, shape: tuple[int, int, int], device: torch.device) -> Tensor:
        """(D, H, W) in [0, strength]."""
        generator = torch.Generator(device=device).manual_seed(self.seed)
        counts = [max(2, round(n / g) + 1) for n, g in zip(shape, self.grain_px, strict=True)]
        control = torch.randn(counts, generator=generator, device=device)
        field = artefacts.smooth_field(shape, control)
        field = field / field.std().clamp_min(1e-3)
        if self.line:  # where the field is near 0: sheets whose thickness follows from its slope
            return self.strength * torch.exp(-((field / self.cover) ** 2))
        level = field.flatten()[:: max(1, field.numel() // 4096)].quantile(1 - self.cover)
        return self.strength * torch.sigmoid((field - level) * 6)


@dataclass(frozen=True)
class Habit:
    """How often and how strongly tissues of a kind are mottled, by what; sizes in mm."""

    kind: str
    towards: str
    chance: float
    strength: tuple[float, float]
    grain_mm: tuple[float, float]
    line: bool
    cover: tuple[float, float]


HABITS = (
    Habit("fat_pad", "capsule", 0.7, (0.3, 1.0), (4, 12), True, (0.06, 0.2)),  # septa, a plica
    Habit("fat_pad", "fluid", 0.4, (0.2, 0.8), (3, 10), True, (0.05, 0.15)),  # vessels, clefts
    Habit("fat_pad", "fluid", 0.4, (0.2, 0.9), (6, 16), False, (0.05, 0.3)),  # oedema, recesses
    Habit("fat_pad", "muscle", 0.4, (0.2, 0.8), (8, 30), False, (0.2, 0.7)),  # fibrous, or partly suppressed
    Habit("fat", "capsule", 0.5, (0.2, 0.8), (6, 20), True, (0.04, 0.12)),
    Habit("fat", "fluid", 0.3, (0.2, 0.7), (6, 20), False, (0.02, 0.15)),
    Habit("muscle", "fat", 0.6, (0.2, 0.9), (5, 20), True, (0.04, 0.15)),
    Habit("muscle", "fat", 0.2, (0.2, 0.6), (10, 30), False, (0.1, 0.5)),
    Habit("muscle", "fluid", 0.25, (0.1, 0.5), (8, 30), False, (0.05, 0.3)),
    Habit("inner_ligament", "fluid", 0.3, (0.1, 0.5), (2, 5), True, (0.2, 0.6)),  # mucoid fibres
    Habit("inner_ligament", "fat", 0.4, (0.2, 0.8), (2, 5), True, (0.2, 0.6)),  # fat between the bundles
    Habit("inner_ligament", "muscle", 0.5, (0.2, 1.0), (4, 20), False, (0.3, 1.0)),  # magic angle
    Habit("fibrocartilage", "cartilage", 0.4, (0.1, 0.6), (2, 8), False, (0.1, 0.5)),  # signal inside
    Habit("tendon", "muscle", 0.2, (0.1, 0.5), (3, 12), False, (0.1, 0.6)),
    Habit("marrow", "muscle", 0.35, (0.1, 0.5), (8, 30), False, (0.1, 0.5)),  # red marrow
    Habit("marrow", "cortex", 0.15, (0.3, 1.0), (4, 10), False, (0.01, 0.03)),  # bone islands
    Habit("marrow", "fluid", 0.15, (0.1, 0.4), (8, 25), False, (0.05, 0.2)),
    Habit("cartilage", "fibrocartilage", 0.3, (0.1, 0.5), (4, 15), False, (0.1, 0.5)),  # magic angle, layers
    Habit("cartilage", "fluid", 0.3, (0.1, 0.5), (4, 12), False, (0.05, 0.3)),
)


def random_mottles(
    rng: np.random.Generator, tissues: TissueTable, spacing_mm: Sequence[float], habits: Sequence[Habit] = HABITS
) -> tuple[Mottle, ...]:
    """Draw which tissues are mottled in one acquisition. spacing_mm: (slice, row, column)."""
    first = {kind: group[0] for kind, group in zip(KINDS, tissues.groups, strict=True) if group}
    of = {kind: tuple(group) for kind, group in zip(KINDS, tissues.groups, strict=True)}
    if "fat_pad" in tissues:
        of["fat_pad"] = (tissues["fat_pad"],)
        of["fat"] = tuple(value for value in of["fat"] if value != tissues["fat_pad"])
    first |= {name: tissues[name] for name in ("capsule", "fat") if name in tissues}
    out = []
    for habit in habits:
        drawn, seed = rng.random(7), int(rng.integers(2**31))
        if drawn[0] >= habit.chance or not of.get(habit.kind) or habit.towards not in first:
            continue
        strength, cover = (_between(drawn[i], ends) for i, ends in ((1, habit.strength), (2, habit.cover)))
        grain = [_between(x, habit.grain_mm) / mm for x, mm in zip(drawn[3:6], spacing_mm, strict=True)]
        out.append(
            Mottle(
                of[habit.kind], first[habit.towards], strength, (grain[0], grain[1], grain[2]), habit.line, cover, seed
            )
        )
    return tuple(out)


def _between(x: float, ends: tuple[float, float]) -> float:
    return float(ends[0] + x * (ends[1] - ends[0]))
