"""Joint effusion: a given volume of fluid, laid where a joint holds it first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from orthodx.synth.lesion_canvas import Window
from orthodx.synth.solids import Field, Point

FILLABLE = ("fat", "fat_pad", "capsule", "fluid", "oedema", "muscle")
FULLEST = 2.2  # no place is wetted that lies further out than so many radii of a pool


@dataclass(frozen=True, kw_only=True)
class Effusion:
    """Fluid added to a joint. code: the abnormality, or the sign without a label."""

    volume_ml: float
    seed: int
    code: str = "EFFU"


def pools(window: Window, ellipsoids: Sequence[tuple[Point, Point]]) -> Field:
    """How late each place fills: 1 on the surface of the pools, each a centre and semi-axes, mm."""
    return np.minimum.reduce([window.radius(centre, radii) for centre, radii in ellipsoids])


def fill_pools(window: Window, order: Field, effusion: Effusion, value: int) -> None:
    """Turn `volume_ml` of soft tissue into fluid, by the `order` of `pools`; muscle last."""
    noise = window.noise(np.random.default_rng(effusion.seed), 12.0)
    order = order * (1 + 0.06 * noise) + 0.5 * window.of("muscle")
    dry = window.of(*(name for name in FILLABLE if name != "fluid"))
    wanted = int(effusion.volume_ml * 1000 / window.mm**3)
    ranked = np.sort(order[dry])
    level = min(float(ranked[min(wanted, len(ranked) - 1)]), FULLEST)
    window.paint((order < level) & window.of(*FILLABLE), "fluid", value)


def mark_fluid(window: Window, order: Field, value: int, least_ml: float) -> None:
    """Mark the joint's own fluid in the pools too; where all of it is less than `least_ml`, unmark everything.

    A healthy joint may have a wide recess: what counts is how much fluid there is, not where it came from.
    """
    marked = window.lesions == value
    marked |= window.of("fluid") & (order < 1.15) & (window.lesions == 0)
    enough = marked.sum() * window.mm**3 / 1000 >= least_ml
    window.lesions[marked] = value if enough else 0
