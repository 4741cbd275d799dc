"""Where ankles are bruised and grow spurs.

Sites after Sijbrandij et al., Eur J Radiol 2002;42:7 (bruises of sprained ankles: malleoli, medial talus, neck).
"""

from __future__ import annotations

import numpy as np

from orthodx.synth.ankle.lesions import VALUES
from orthodx.synth.lesion_bone import BoneBruise, Osteophyte, bruise_at, spur_at
from orthodx.synth.lesion_canvas import Canvas

# site -> (bone, offset from the middle of the talus in mm: outward, forward, up)
SITES: dict[str, tuple[str, tuple[float, float, float]]] = {
    "medial_talus": ("talus", (-12.0, -6.0, 7.0)),
    "lateral_talus": ("talus", (8.0, -6.0, 3.0)),
    "talar_neck": ("talus", (-4.0, 13.0, 0.0)),
    "medial_malleolus": ("tibia", (-23.0, 0.0, 14.0)),
    "plafond": ("tibia", (0.0, -3.0, 24.0)),
    "lateral_malleolus": ("fibula", (25.0, -11.0, 2.0)),
    "calcaneus": ("calcaneus", (9.0, 4.0, -22.0)),
    "heel": ("calcaneus", (-4.0, -36.0, -38.0)),
    "navicular": ("other_foot_bones", (-4.0, 33.0, -4.0)),
    "cuboid": ("other_foot_bones", (23.0, 29.0, -23.0)),
}
# rim -> (bone, box from the middle of the talus in mm, direction of growth: outward, forward, up)
RIMS: dict[str, tuple[str, tuple[tuple[float, ...], tuple[float, ...]], tuple[float, float, float]]] = {
    "front_of_tibia": ("tibia", ((-10.0, 4.0, 8.0), (8.0, 26.0, 17.0)), (0.0, 1.0, -0.3)),
    "talar_neck": ("talus", ((-10.0, 10.0, 0.0), (4.0, 17.0, 22.0)), (0.0, 0.2, 1.0)),
    "back_of_tibia": ("tibia", ((-10.0, -32.0, 8.0), (8.0, -12.0, 17.0)), (0.0, -1.0, -0.3)),
    "medial_malleolus": ("tibia", ((-32.0, -10.0, 2.0), (-18.0, 14.0, 14.0)), (-0.6, 0.3, -1.0)),
}


def bruise_bone(canvas: Canvas, bruise: BoneBruise) -> None:
    """Paint a bruise where its mechanism leaves it."""
    talus = canvas.centre("talus_cortex")
    if talus is not None:
        bone, (out, forward, up) = SITES[bruise.site]
        at = talus + np.array([out * canvas.lateral, forward, up])
        bruise_at(canvas, bone, at, bruise.radius_mm, bruise.seed, VALUES["bone_bruise"])


def grow_osteophyte(canvas: Canvas, spur: Osteophyte) -> None:
    """Paint a spur where the rim of a joint surface stands out most."""
    talus = canvas.centre("talus_cortex")
    if talus is None:
        return
    bone, ends, growth = RIMS[spur.site]
    mirror = np.array([canvas.lateral, 1.0, 1.0])
    corners = np.array(ends) * mirror + talus
    window = canvas.window(corners.min(0), corners.max(0))
    found = window.points[:, window.of(bone, f"{bone}_cortex")]
    if found.shape[1] == 0:
        return
    out = np.array(growth) * mirror / np.linalg.norm(growth)
    edge = found[:, np.argmax(out @ found)]
    size = spur.size_mm * (0.7 + 0.5 * np.abs(out) + np.array([0.5, 0.0, 0.0]))
    spur_at(canvas, bone, edge + 0.35 * spur.size_mm * out, size, VALUES["osteophyte"], over=("ligament",))
