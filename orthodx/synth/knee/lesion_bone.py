"""Bone bruises and osteophytes: signs of an injury's mechanism or of wear, found in negatives too.

Sites after Sanders et al., RadioGraphics 2000;20:S135 (pivot shift, dashboard, clip, dislocation).
"""

from __future__ import annotations

import numpy as np

from orthodx.synth.knee.lesions import VALUES, BoneBruise, Osteophyte
from orthodx.synth.lesion_canvas import SOFT, Canvas
from orthodx.synth.solids import Point

# site -> (bone, compartment's meniscus, offset from the meniscus's middle in mm: outward, forward, up)
SITES: dict[str, tuple[str, str, tuple[float, float, float]]] = {
    "lateral_condyle": ("femur", "lateral_meniscus", (0.0, 6.0, 12.0)),
    "posterolateral_tibia": ("tibia", "lateral_meniscus", (0.0, -14.0, -9.0)),
    "medial_condyle": ("femur", "medial_meniscus", (0.0, 4.0, 12.0)),
    "medial_tibia": ("tibia", "medial_meniscus", (3.0, 0.0, -10.0)),
    "lateral_tibia": ("tibia", "lateral_meniscus", (4.0, 2.0, -10.0)),
    "anterior_tibia": ("tibia", "lateral_meniscus", (-12.0, 20.0, -12.0)),
    "fibular_head": ("fibula", "lateral_meniscus", (14.0, -14.0, -16.0)),
}
# rim -> (bone, compartment's meniscus, offset up in mm where the rim is looked for)
RIMS: dict[str, tuple[str, str, float]] = {
    "medial_femur": ("femur", "medial_meniscus", 8.0),
    "medial_tibia": ("tibia", "medial_meniscus", -6.0),
    "lateral_femur": ("femur", "lateral_meniscus", 8.0),
    "lateral_tibia": ("tibia", "lateral_meniscus", -6.0),
}
CORTEX_MM = 0.9


def bruise_bone(canvas: Canvas, bruise: BoneBruise) -> None:
    """Paint a bruise where its mechanism leaves it."""
    bone, meniscus, offset = SITES[bruise.site]
    middle = canvas.centre(meniscus)
    if middle is not None:
        outward = canvas.lateral if meniscus.startswith("lateral") else -canvas.lateral
        at = middle + np.array([offset[0] * outward, offset[1], offset[2]])
        bruise_at(canvas, bone, at, bruise.radius_mm, bruise.seed, VALUES["bone_bruise"])


def bruise_at(canvas: Canvas, bone: str, centre: Point, radius_mm: float, seed: int, value: int) -> None:
    """A cloud of marrow oedema, dense in the middle and fading in flakes."""
    reach = 1.6 * radius_mm
    window = canvas.window(np.array(centre) - reach, np.array(centre) + reach)
    rng = np.random.default_rng(seed)
    cloud = window.radius(centre, (radius_mm,) * 3) * (1 + 0.22 * window.noise(rng, 9.0))
    window.paint(window.of(bone) & window.flakes(rng, 2.6 * (1.1 - cloud)), f"{bone}_bruise", value)


def grow_osteophyte(canvas: Canvas, spur: Osteophyte) -> None:
    """Paint a spur at the widest point of a joint surface's rim, cortex round marrow."""
    bone, meniscus, up = RIMS[spur.site]
    middle = canvas.centre(meniscus)
    if middle is None:
        return
    outward = canvas.lateral if meniscus.startswith("lateral") else -canvas.lateral
    level, reach = middle + np.array([0, 0, up]), np.array([40.0, 12.0, 4.0])
    seen = canvas.window(level - reach, level + reach)
    found = seen.points[:, seen.of(bone, f"{bone}_cortex")]
    if found.shape[1] == 0:
        return
    edge = found[:, np.argmax(found[0] * outward)]
    size = np.array([1.1, 1.5, 0.75]) * spur.size_mm
    middle = edge + np.array([0.4 * outward * spur.size_mm, 0, -0.25 * np.sign(up) * spur.size_mm])
    window = canvas.window(middle - size - 2, middle + size + 2)
    radius = window.radius(middle, size)
    free = window.of(*SOFT, "mcl", "lcl")
    window.paint((radius < 1) & free, f"{bone}_cortex", VALUES["osteophyte"])
    core = (radius < 1 - CORTEX_MM / float(size.min())) & (window.lesions == VALUES["osteophyte"])
    window.paint(core | ((radius < 0.8) & window.of(f"{bone}_cortex")), bone, VALUES["osteophyte"])
