"""Tendinosis and tears of the rotator cuff and of the long biceps tendon.

Signs after Morag et al., RadioGraphics 2006;26:1045 (cuff: grey and thick; fluid through a part or all of it; the
stump drawn back under the acromion) and Zanetti et al., Radiology 1998;209:557 (long biceps tendon).
"""

from __future__ import annotations

import numpy as np

from orthodx.synth.lesion_canvas import SOFT, Canvas, Window
from orthodx.synth.shoulder.landmarks import Frame, course_of, frame_of
from orthodx.synth.shoulder.lesions import VALUES, BicepsInjury, CuffTear, FattyMuscle, MagicAngle
from orthodx.synth.solids import Field

TENDON = {"SSP": "supraspinatus_tendon", "ISP": "infraspinatus_tendon", "SSC": "subscapularis_tendon"}
BICEPS = "biceps_long_head"
AROUND = (*SOFT, "bursa")  # what a swollen tendon pushes away
MARGIN_MM, STUMP_MM = 9.0, 10.0
# where a muscle's belly lies: lateral, forward and up from the head's middle, mm, from and to
BELLY = {"SSP": ((-100, -15, 3), (-22, 14, 34)), "ISP": ((-100, -43, -64), (-12, -9, 16))}


def tear_cuff(canvas: Canvas, tear: CuffTear) -> None:
    """Paint one cuff tendon's degeneration, and its tear where it has one."""
    name, value = TENDON[tear.code], VALUES[tear.code]
    window, frame = canvas.around(name, MARGIN_MM), frame_of(canvas)
    if window is None or frame is None:
        return
    rng = np.random.default_rng(tear.seed)
    fine, coarse = window.noise(rng, 4.0), window.noise(rng, 9.0)
    course = course_of(window, frame, name)
    fibres, along = course.fibres, course.along
    aside = np.abs(course.across - tear.where)
    worn = np.clip(1.25 - along / tear.zone_mm, 0, 1) * np.clip(1.7 - aside / max(tear.width, 0.5), 0, 1)
    worn = worn * np.clip(1.4 - 1.6 * np.abs(course.depth - 0.45), 0, 1)
    window.paint(fibres & window.flakes(rng, 0.95 * worn), f"{name}_tendinosis", value)
    thicker = tear.swelling_mm * np.clip(1.3 - along / tear.zone_mm, 0, 1) * np.clip(1.5 - aside, 0, 1)
    swollen = (window.distance(fibres) < thicker * (1 + 0.25 * coarse)) & window.of(*AROUND) & (thicker > 0.3)
    swollen &= (along > 2) & (np.abs(course.across) < 1)
    window.paint(swollen, f"{name}_tendinosis", value)
    if tear.depth <= 0:
        return
    body = fibres | swollen
    start, end = tear.from_foot_mm, tear.from_foot_mm + tear.length_mm
    bow = end * (1 - 0.3 * np.clip(aside / tear.width, 0, 1) ** 2)  # the edge of a retracted tear is a crescent
    gap = body & (along > start - 0.5) & (along + 0.7 * fine < bow) & (aside + 0.06 * fine < tear.width)
    gap &= _through(course.depth, tear, fine)
    if tear.depth >= 1:  # the stump is drawn together
        left = body & (along > end) & (along < end + STUMP_MM)
        plump = (window.distance(left) < 0.06 * tear.length_mm * (1 + 0.3 * coarse)) & window.of(*AROUND)
        plump &= (along > end) & (along < end + STUMP_MM) & (np.abs(course.across) < 1)
        window.paint(plump, f"{name}_tendinosis", value)
    rind = body & ~gap & (window.distance(gap) < 2.2 + 0.8 * fine)
    window.paint(rind & window.flakes(rng, np.full(rind.shape, 0.75, np.float32)), f"{name}_torn", value)
    window.paint(gap, "fluid", value)


def _through(depth: Field, tear: CuffTear, fine: Field) -> np.ndarray:
    """Which layers of the tendon are torn."""
    if tear.depth >= 1:
        return np.ones(depth.shape, bool)
    if tear.surface == "joint":
        return depth < tear.depth + 0.08 * fine
    if tear.surface == "bursa":
        return depth > 1 - tear.depth + 0.08 * fine
    return np.abs(depth - 0.5) < tear.depth / 2 + 0.05 * fine


def shine(canvas: Canvas, sign: MagicAngle) -> None:
    """Raise the signal of a sound supraspinatus tendon about a centimetre from its foot."""
    name = TENDON["SSP"]
    window, frame = canvas.around(name, 2.0), frame_of(canvas)
    if window is None or frame is None:
        return
    course = course_of(window, frame, name)
    rng = np.random.default_rng(sign.seed)
    near = np.clip(1.2 - np.abs(course.along - 11) / sign.length_mm, 0, 1) * (course.depth > 0.1)
    window.paint(course.fibres & window.flakes(rng, 0.9 * near), f"{name}_magic", VALUES["magic_angle"])


def waste_muscle(canvas: Canvas, wasting: FattyMuscle) -> None:
    """Streaks of fat along a muscle's belly (Goutallier et al., Clin Orthop 1994;304:78)."""
    frame = frame_of(canvas)
    if frame is None:
        return
    low, high = BELLY[wasting.of]
    corners = np.array(
        [frame.at(a, b, c) for a in (low[0], high[0]) for b in (low[1], high[1]) for c in (low[2], high[2])]
    )
    window = canvas.window(corners.min(0), corners.max(0))
    place = frame(window.points)
    belly = window.of("muscle")
    for i in range(3):
        belly &= (place[i] > low[i]) & (place[i] < high[i])
    streaks = window.flakes(np.random.default_rng(wasting.seed), np.full(belly.shape, wasting.share, np.float32))
    window.paint(belly & streaks, "fat", VALUES["fatty_muscle"])


def injure_biceps(canvas: Canvas, injury: BicepsInjury) -> None:
    """Paint the long biceps tendon's injury: out of its groove, then swollen and grey, then parted."""
    value = VALUES["LHBT_injury"]
    window, frame = canvas.around(BICEPS, MARGIN_MM), frame_of(canvas)
    if window is None or frame is None:
        return
    window = _without_arm(canvas, window, frame)
    rng = np.random.default_rng(injury.seed)
    fine = window.noise(rng, 4.0)
    if injury.shift_deg > 0:
        _subluxate(canvas, window, frame, injury.shift_deg)
    fibres = window.of(BICEPS)
    _, _, up = frame(window.points)
    level = 9.0 + 4.0 * rng.standard_normal()
    near = np.exp(-(((up - level) / (6.0 + 22.0 * injury.share)) ** 2))
    window.paint(fibres & window.flakes(rng, near * (0.5 + 0.5 * injury.share)), f"{BICEPS}_tendinosis", value)
    swollen = (window.distance(fibres) < injury.swelling_mm * near * (1 + 0.3 * fine)) & window.of(*AROUND)
    window.paint(swollen, f"{BICEPS}_tendinosis", value)
    if injury.gap_mm <= 0:
        core = fibres & (near > 0.6) & (window.distance(~fibres) > 1.0) & (fine > 0.9 - 1.2 * injury.share)
        window.paint(core, f"{BICEPS}_torn", value)
        return
    body = fibres | swollen
    window.paint(body & (near > 0.45) & window.flakes(rng, near), f"{BICEPS}_torn", value)
    window.paint(body & (np.abs(up - level + 1.5 * fine) < injury.gap_mm / 2), "fluid", value)


def _without_arm(canvas: Canvas, window: Window, frame: Frame) -> Window:
    """The part of the window that holds the joint and the groove, not the belly."""
    low, high = window.points[:, 0, 0, 0].copy(), window.points[:, -1, -1, -1]
    low[2] = max(float(low[2]), frame.middle[2] - 45)
    return canvas.window(low, high)


def _subluxate(canvas: Canvas, window: Window, frame: Frame, degrees: float) -> None:
    """Carry the tendon medially round the head over the lesser tuberosity; wet tissue stays in the groove."""
    value = VALUES["LHBT_injury"]
    x, y, up = frame(window.points)
    old = window.of(BICEPS)
    share = np.clip((12 - up) / 14, 0, 1) * np.clip((up + 42) / 16, 0, 1)
    # the bone's surface lies nearer to the axis in the groove than on the tuberosity
    axis_x, axis_y = (np.zeros_like(x), np.zeros_like(y))
    bone = window.of("humerus", "humerus_cortex", "humerus_physis")
    for k in range(x.shape[2]):
        if bone[:, :, k].any():
            axis_x[:, :, k], axis_y[:, :, k] = x[:, :, k][bone[:, :, k]].mean(), y[:, :, k][bone[:, :, k]].mean()
    angle = np.deg2rad(degrees) * share
    c, s = np.cos(angle), np.sin(angle)
    dx, dy = x - axis_x, y - axis_y
    grow = 1 - 3.5 * share / (np.hypot(dx, dy) + 1e-3)
    back_x, back_y = axis_x + (c * dx + s * dy) * grow, axis_y + (-s * dx + c * dy) * grow
    lateral, front = frame.lateral, frame.front
    world = [back_x * lateral[i] + back_y * front[i] + frame.middle[i] for i in range(2)]
    origin = window.points[:, 0, 0, 0]
    index = [np.rint((world[i] - origin[i]) / window.mm).astype(int) for i in range(2)]
    seen = np.all([(index[i] >= 0) & (index[i] < old.shape[i]) for i in range(2)], axis=0)
    index = [np.clip(index[i], 0, old.shape[i] - 1) for i in range(2)]
    depth = np.broadcast_to(np.arange(old.shape[2]), old.shape)
    new = old[index[0], index[1], depth] & seen & (old | window.of(*AROUND, "subscapularis_tendon"))
    new &= share > 0
    window.paint(old & ~new & (share > 0), "fluid", value)
    window.paint(new & ~old, BICEPS, value)
