"""Where knees are bruised and grow spurs.

Sites after Sanders et al., RadioGraphics 2000;20:S135 (pivot shift, dashboard, clip, dislocation).
"""

from __future__ import annotations

import numpy as np

from orthodx.synth.knee.lesions import VALUES
from orthodx.synth.lesion_bone import BoneBruise, Osteophyte, bruise_at, spur_at
from orthodx.synth.lesion_canvas import Canvas

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


def bruise_bone(canvas: Canvas, bruise: BoneBruise) -> None:
    """Paint a bruise where its mechanism leaves it."""
    bone, meniscus, offset = SITES[bruise.site]
    middle = canvas.centre(meniscus)
    if middle is not None:
        outward = canvas.lateral if meniscus.startswith("lateral") else -canvas.lateral
        at = middle + np.array([offset[0] * outward, offset[1], offset[2]])
        bruise_at(canvas, bone, at, bruise.radius_mm, bruise.seed, VALUES["bone_bruise"])


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
    spur_at(canvas, bone, middle, size, VALUES["osteophyte"], over=("mcl", "lcl"))
