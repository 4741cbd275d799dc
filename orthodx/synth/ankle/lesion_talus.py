"""Osteochondral lesions of the talar dome: soft cartilage, oedema, cyst, fragment, crater.

Signs after Hepple et al., Foot Ankle Int 1999;20:789 (stage 1 cartilage only, 2 oedema, 3 a fragment not displaced, 4
displaced, 5 with a cyst below); sites after Raikin et al., Foot Ankle Int 2007;28:154 (medial in two of three).
"""

from __future__ import annotations

import numpy as np

from orthodx.synth.ankle.lesions import VALUES, OsteochondralLesion
from orthodx.synth.lesion_bone import bruise_at
from orthodx.synth.lesion_canvas import SOFT, Canvas, Window

SHOULDER_MM = {"medial": -10.5, "lateral": 8.0}  # outward from the middle of the talus
DOME_BACK_MM = 4.0  # the dome's middle lies behind that of the talus
BONE = ("talus", "talus_cortex", "talus_bruise")
RIM_MM, WALL_MM = 1.3, 0.9  # of the fluid round a loose piece; of the dense bone round a cyst or crater
LOOSE_PLACE = (-2.0, 23.0, 13.0)  # outward, forward, up from the middle of the talus: in front of the joint


def break_dome(canvas: Canvas, lesion: OsteochondralLesion) -> None:
    """Paint one lesion of the dome."""
    talus = canvas.centre("talus_cortex")
    top = None if talus is None else _surface(canvas, talus, lesion)
    if top is None:
        return
    value, rng = VALUES["OLT"], np.random.default_rng(lesion.seed)
    if lesion.oedema_mm > 0:
        reach = lesion.radius_mm + lesion.oedema_mm
        bruise_at(canvas, "talus", top - [0, 0, 0.6 * lesion.depth_mm], reach, lesion.seed, value)
    window = canvas.window(top - 16.0, top + 16.0)
    piece = np.array([lesion.radius_mm, 1.25 * lesion.radius_mm, lesion.depth_mm])
    radius = window.radius(top, piece) + 0.07 * window.noise(rng, 5.0)
    bone = window.of(*BONE)
    over = np.hypot(*((window.points[a] - top[a]) / piece[a] for a in (0, 1))) < 1.05
    above = over & (window.points[2] > top[2] - lesion.depth_mm) & window.of("talar_cartilage")
    soft = window.flakes(rng, np.full(bone.shape, lesion.softened, np.float32))
    window.paint(above & soft, "talar_cartilage_torn", value)
    _piece(window, radius, bone, lesion, rng)
    if lesion.cyst_mm > 0:
        _cyst(window, top - [0, 0, 0.7 * lesion.depth_mm + 0.6 * lesion.cyst_mm], lesion.cyst_mm, rng)
    if lesion.fragment == "displaced":
        window.paint(above, "fluid", value)
        place = talus + np.array([LOOSE_PLACE[0] * canvas.lateral, *LOOSE_PLACE[1:]])
        _loose_body(canvas, place, 0.6 * piece)


def _surface(canvas: Canvas, talus: np.ndarray, lesion: OsteochondralLesion) -> np.ndarray | None:
    """The point (3,) on the dome's bone where the lesion is, mm."""
    x = talus[0] + SHOULDER_MM[lesion.side] * canvas.lateral
    y = talus[1] - DOME_BACK_MM + lesion.forward_mm
    column = canvas.window([x - 1.5, y - 1.5, talus[2]], [x + 1.5, y + 1.5, talus[2] + 30])
    found = column.points[:, column.of(*BONE)]
    if found.shape[1] == 0:
        return None
    return np.array([x, y, found[2].max()])


def _piece(
    window: Window, radius: np.ndarray, bone: np.ndarray, lesion: OsteochondralLesion, rng: np.random.Generator
) -> None:
    """The piece of bone itself: dense, outlined or gone."""
    if lesion.fragment == "none":
        return
    value, inside = VALUES["OLT"], (radius < 1) & bone
    rim = RIM_MM / lesion.depth_mm
    if lesion.fragment == "displaced":
        window.paint((radius < 1 + WALL_MM / lesion.depth_mm) & bone, "talus_sclerosis", value)
        window.paint(inside, "fluid", value)
        return
    dense = window.flakes(rng, np.full(bone.shape, 0.55, np.float32))
    window.paint(inside & dense, "talus_sclerosis", value)
    line = (np.abs(radius - 1) < rim / 2) & bone
    if lesion.fragment == "loose":
        window.paint(line, "fluid", value)
    else:
        window.paint(line & window.flakes(rng, np.full(bone.shape, 0.75, np.float32)), "talus_bruise", value)


def _cyst(window: Window, centre: np.ndarray, radius_mm: float, rng: np.random.Generator) -> None:
    """A ball of fluid with a thin dense wall."""
    apart = window.radius(centre, (radius_mm,) * 3) * radius_mm + 0.5 * window.noise(rng, 4.0)
    bone = window.of(*BONE)
    window.paint((apart < radius_mm + WALL_MM) & bone, "talus_sclerosis", VALUES["OLT"])
    window.paint((apart < radius_mm) & bone, "fluid", VALUES["OLT"])


def _loose_body(canvas: Canvas, centre: np.ndarray, size: np.ndarray) -> None:
    """The piece in the front recess, in a little fluid."""
    window = canvas.window(centre - size - 4, centre + size + 4)
    free = window.of(*SOFT)
    radius = window.radius(centre, size)
    window.paint((window.radius(centre, size + 2.0) < 1) & free, "fluid", VALUES["OLT"])
    window.paint((radius < 1) & free, "talus_cortex", VALUES["OLT"])
    window.paint((radius < 0.6) & free, "talus", VALUES["OLT"])
