"""Fluid of the shoulder: in the joint, the bursa, the sheath of the long biceps tendon."""

from __future__ import annotations

import numpy as np

from orthodx.synth.lesion_canvas import Canvas, Window
from orthodx.synth.lesion_fluid import FILLABLE
from orthodx.synth.shoulder.landmarks import frame_of
from orthodx.synth.shoulder.lesion_tendon import BICEPS
from orthodx.synth.shoulder.lesions import VALUES, BursalFluid, JointEffusion, SheathFluid
from orthodx.synth.solids import Field

FINDING_ML = {"GHJ": 1.0, "LHBT_effusion": 0.4, "SASD": 0.6}  # less is what anybody may have
Fluid = JointEffusion | SheathFluid | BursalFluid


def _fill(window: Window, order: Field, room: np.ndarray, lesion: Fluid, most: float) -> np.ndarray:
    """Fill the dry room in order until the volume is reached, no further than `most`; returns where fluid lies.

    Traces are painted, but not marked: a reader would not report them.
    """
    dry = room & ~window.of("fluid")
    if not dry.any():
        return dry
    ranked = np.sort(order[dry])
    wanted = int(lesion.volume_ml * 1000 / window.mm**3)
    level = min(float(ranked[min(wanted, len(ranked) - 1)]), most)
    filled = (order < level) & room
    window.tissues[filled] = window.table["fluid"]
    if lesion.volume_ml >= FINDING_ML[lesion.code]:
        window.lesions[filled] = VALUES[lesion.code]
    return filled


def fill_joint(canvas: Canvas, effusion: JointEffusion) -> None:
    """Fill axillary pouch, subscapular and posterior recess and the space round the head."""
    frame = frame_of(canvas)
    if frame is None:
        return
    r = frame.radius
    window = canvas.window(frame.middle - 1.9 * r, frame.middle + 1.9 * r)
    pools = (  # lateral, forward, up from the head's middle in its radii, and semi-axes in mm
        ((-0.52, 0.0, -1.12), (9.0, 12.0, 6.5)),
        ((-0.95, 0.95, 0.15), (7.0, 4.0, 9.0)),
        ((-0.45, -1.08, -0.1), (8.0, 3.5, 10.0)),
        ((-0.35, 0.55, 1.0), (8.0, 4.5, 3.5)),
    )
    x, y, z = frame(window.points)
    balls = []
    for centre, radii in pools:
        d = [(a - np.float32(c * r)) / np.float32(m) for a, c, m in zip((x, y, z), centre, radii, strict=True)]
        balls.append(np.sqrt(d[0] ** 2 + d[1] ** 2 + d[2] ** 2))
    order = np.minimum.reduce(balls)
    order = order * (1 + 0.06 * window.noise(np.random.default_rng(effusion.seed), 10.0)) + 0.35 * window.of("muscle")
    _fill(window, order, window.of(*FILLABLE), effusion, 1.9)


def fill_bursa(canvas: Canvas, bursa: BursalFluid) -> None:
    """Spread fluid along the stripe of fat between cuff and deltoid, most under the acromion's edge."""
    window, frame = canvas.around("bursa", 8.0), frame_of(canvas)
    if window is None or frame is None:
        return
    rng = np.random.default_rng(bursa.seed)
    noise = window.noise(rng, 11.0)
    x, y, z = frame(window.points)
    stripe = window.of("bursa")
    away = window.distance(stripe)
    r = np.sqrt(x * x + y * y + z * z) + 1e-3
    # the bursa is widest lateral of the acromion, and narrow towards its edges
    far = np.arccos(np.clip((0.72 * x - 0.12 * y + 0.68 * z) / r, -1, 1))
    order = away + 3.2 * far**1.5 + 0.8 * noise + 0.6 * window.of("muscle")
    filled = _fill(window, order, window.of(*FILLABLE, "bursa") & (away < 6), bursa, 9.0)
    if bursa.wall_mm > 0 and filled.any():
        wall = (window.distance(filled) < bursa.wall_mm) & window.of("fat", "fat_pad", "muscle", "bursa", "oedema")
        window.paint(wall & window.flakes(rng, np.full(wall.shape, 0.6, np.float32)), "oedema", VALUES["SASD"])


def fill_sheath(canvas: Canvas, sheath: SheathFluid) -> None:
    """Fluid round the tendon in and below its groove."""
    window, frame = canvas.around(BICEPS, 8.0), frame_of(canvas)
    if window is None or frame is None:
        return
    _, _, up = frame(window.points)
    low = window.points[:, 0, 0, 0].copy()
    low[2] = max(float(low[2]), frame.middle[2] - 52)
    window = canvas.window(low, window.points[:, -1, -1, -1])
    _, _, up = frame(window.points)
    noise = window.noise(np.random.default_rng(sheath.seed), 7.0)
    tendon = window.of(BICEPS, f"{BICEPS}_tendinosis", f"{BICEPS}_torn")
    along = np.clip(np.abs(up + 14) / 26, 0, 2)
    order = window.distance(tendon) + 3.0 * along**2 + 0.5 * noise
    room = window.of(*FILLABLE, "bursa") & (up < 8)
    _fill(window, order, room, sheath, 7.5)
