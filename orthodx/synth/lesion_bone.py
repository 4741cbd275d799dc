"""Bone bruises and osteophytes: signs of an injury's mechanism or of wear, found in negatives too."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from orthodx.synth.lesion_canvas import SOFT, Canvas
from orthodx.synth.solids import Point

CORTEX_MM = 0.9


@dataclass(frozen=True, kw_only=True)
class BoneBruise:
    """Marrow oedema. site: one of its joint's."""

    site: str
    radius_mm: float
    seed: int
    code: str = "bone_bruise"


@dataclass(frozen=True, kw_only=True)
class Osteophyte:
    """A bony spur at the rim of a joint surface. site: one of its joint's."""

    site: str
    size_mm: float
    code: str = "osteophyte"


def bruise_at(canvas: Canvas, bone: str, centre: Point, radius_mm: float, seed: int, value: int) -> None:
    """A cloud of marrow oedema, dense in the middle and fading in flakes; marrow becomes `<bone>_bruise`."""
    reach = 1.6 * radius_mm
    window = canvas.window(np.array(centre) - reach, np.array(centre) + reach)
    rng = np.random.default_rng(seed)
    cloud = window.radius(centre, (radius_mm,) * 3) * (1 + 0.22 * window.noise(rng, 9.0))
    window.paint(window.of(bone) & window.flakes(rng, 2.6 * (1.1 - cloud)), f"{bone}_bruise", value)


def spur_at(canvas: Canvas, bone: str, middle: Point, size: Point, value: int, *, over: tuple[str, ...] = ()) -> None:
    """A spur of semi-axes `size` (mm) that replaces soft tissue and `over`: cortex round marrow, grown to the bone."""
    middle, size = np.asarray(middle), np.asarray(size)
    window = canvas.window(middle - size - 2, middle + size + 2)
    radius = window.radius(middle, size)
    free = window.of(*SOFT, *over)
    window.paint((radius < 1) & free, f"{bone}_cortex", value)
    core = (radius < 1 - CORTEX_MM / float(size.min())) & (window.lesions == value)
    window.paint(core | ((radius < 0.8) & window.of(f"{bone}_cortex")), bone, value)
