"""Torn and worn Achilles tendons: thickening, grey strands, a gap between thick wavy ends, oedema in front.

Signs after Weinstabl et al., Skeletal Radiol 1991;20:345 (from inhomogeneous signal to complete rupture) and Schweitzer
and Karasick, AJR 2000;175:613 (thickness above 8 mm, retraction, fat and haematoma in the gap).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from orthodx.synth.ankle.lesions import VALUES, AchillesTear, Tendinosis
from orthodx.synth.lesion_canvas import SOFT, Canvas, Window
from orthodx.synth.solids import Field

TENDON = "achilles_tendon"
MARGIN_MM = 14.0
WAVE_LENGTH_MM = 15.0


@dataclass(frozen=True)
class Course:
    """A tendon level by level: x and y (Z,) mm of its middle, its half thickness (Z,) mm, z (Z,) mm, its mask."""

    middle: np.ndarray
    half: np.ndarray
    z: np.ndarray
    mask: np.ndarray

    def reshaped(self, window: Window, thicker: np.ndarray, sway: np.ndarray) -> np.ndarray:
        """The tendon's mask with its section scaled front to back by `thicker` (Z,) and moved by `sway` (Z,) mm."""
        wider = 1 + 0.3 * (thicker - 1)
        x = self.middle[0] + (window.points[0] - self.middle[0]) / wider
        y = self.middle[1] + (window.points[1] - self.middle[1] - sway) / thicker
        origin = window.points[:, 0, 0, 0]
        i, j = (
            np.clip(np.rint((at - origin[a]) / window.mm).astype(int), 0, self.mask.shape[a] - 1)
            for a, at in enumerate((x, y))
        )
        return self.mask[i, j, np.arange(self.mask.shape[2])]


def rupture(canvas: Canvas, tear: AchillesTear) -> None:
    """Paint a partial or complete tear."""
    found = _course(canvas)
    if found is None:
        return
    window, course, heel_top = found
    value, rng = VALUES["ATR"], np.random.default_rng(tear.seed)
    away = course.z - (heel_top + tear.level_mm)
    from_end = np.maximum(np.abs(away) - tear.gap_mm / 2, 0)
    thicker = 1 + tear.thickening * np.exp(-((from_end / 13) ** 2))
    phase = rng.uniform(0, 2 * np.pi)
    sway = tear.wave_mm * np.sin(2 * np.pi * away / WAVE_LENGTH_MM + phase) * np.exp(-from_end / 22)
    body = course.reshaped(window, thicker, sway) & (course.mask | window.of(*SOFT))
    left = course.mask & ~body
    fine = window.noise(rng, 4.0)
    distance = window.distance(course.mask | body)
    reach = np.maximum(tear.oedema_mm * np.exp(-((from_end / 20) ** 2)), 0.1)
    wet = window.flakes(rng, 1.0 - distance / reach) & window.of(*SOFT)
    window.paint(wet, "oedema", value)
    window.paint(body & ~course.mask, TENDON, value)
    window.paint(left, "oedema" if tear.gap_mm else "fat", value)
    behind = 0.5 - (window.points[1] - course.middle[1] - sway) / (2 * course.half * thicker)  # 0 front .. 1 back
    torn = window.flakes(rng, 0.95 * np.exp(-((from_end / 11) ** 2)) * (behind > 0.9 - tear.share - 0.12 * fine))
    window.paint(body & torn, f"{TENDON}_torn", value)
    if tear.gap_mm:
        gap = np.abs(away + 1.6 * fine) < tear.gap_mm / 2
        bed = body | course.mask | (course.reshaped(window, np.full_like(thicker, 1.25), 0 * sway) & window.of(*SOFT))
        window.paint(bed & gap, "fluid", value)
        blood = window.flakes(rng, np.full(bed.shape, 0.3, np.float32))
        window.paint(bed & gap & blood, "oedema", value)
    else:
        slope = 0.25 * (window.points[0] - course.middle[0])
        cleft = (np.abs(away + slope + 0.8 * fine) < 1.3) & (behind > 1 - tear.share)
        window.paint(body & cleft, "fluid", value)


def thicken(canvas: Canvas, wear: Tendinosis) -> None:
    """Paint a spindle-shaped thickening with some grey, and mark it as what it is: no tear."""
    found = _course(canvas)
    if found is None:
        return
    window, course, heel_top = found
    value, rng = VALUES["tendinosis"], np.random.default_rng(wear.seed)
    near = np.exp(-(((course.z - heel_top - wear.level_mm) / (wear.length_mm / 2)) ** 2))
    body = course.reshaped(window, 1 + wear.thickening * near, 0 * near) & (course.mask | window.of(*SOFT))
    window.paint(body & ~course.mask, TENDON, value)
    core = window.distance(~body) > 1.4
    grey = window.flakes(rng, (wear.grey * near * np.ones(body.shape)).astype(np.float32))
    window.paint(body & core & grey, f"{TENDON}_torn", value)


def _course(canvas: Canvas) -> tuple[Window, Course, float] | None:
    """The tendon's box, its course in it, and the height of the heel bone's top, mm."""
    window, heel = canvas.around(TENDON, MARGIN_MM), canvas.bounds("calcaneus_cortex")
    if window is None or heel is None:
        return None
    mask = window.of(TENDON)
    count = mask.sum((0, 1))
    seen = np.flatnonzero(count)
    levels = np.arange(len(count))
    sums = [(window.points[a] * mask).sum((0, 1))[seen] / count[seen] for a in (0, 1)]
    middle = np.array([np.interp(levels, seen, along) for along in sums])
    deep = mask.any(0).sum(0)[seen] * window.mm / 2
    half = np.interp(levels, seen, deep)
    return window, Course(middle, half, window.points[2, 0, 0], mask), _top_behind(canvas, heel)


def _top_behind(canvas: Canvas, heel: tuple[np.ndarray, np.ndarray]) -> float:
    """Height (mm) of the upper edge of the heel bone where the tendon passes it."""
    low, high = heel
    window = canvas.window(low, [high[0], low[1] + 14.0, high[2]])
    levels: Field = window.points[2][window.of("calcaneus_cortex")]
    return float(levels.max()) if levels.size else float(high[2])
