"""A patella that was dislocated to the side: shift, tilt, torn medial retinaculum, two bruises.

Signs after Elias et al., Radiology 2002;225:736 (bruise of the lower medial patella and of the front of the
lateral condyle, medial retinaculum torn in most).
"""

from __future__ import annotations

import numpy as np

from orthodx.synth.knee.lesions import VALUES, PatellarDislocation
from orthodx.synth.knee.tissues import TISSUES
from orthodx.synth.lesion_bone import bruise_at
from orthodx.synth.lesion_canvas import SOFT, Canvas, Window
from orthodx.synth.solids import bezier, rotation, tube

PATELLA = ("patella", "patella_cortex", "patellar_cartilage", "patella_bruise")
MOVING = (*SOFT, "skin", "air", "vessel", "patellar_tendon", "quadriceps_tendon", *PATELLA)
REACH_MM = 56.0


def dislocate(canvas: Canvas, lesion: PatellarDislocation) -> None:
    """Move the patella and what hangs on it; bruise patella and condyle; open the medial retinaculum."""
    old = canvas.centre("patella_cortex")
    if old is None:
        return
    window = canvas.window(old - REACH_MM, old + REACH_MM)
    new, edge = _move(window, old, lesion, canvas.lateral)
    value = VALUES["PD"]
    bruise_at(canvas, "patella", edge, lesion.patella_bruise_mm, lesion.seed, value)
    femur = window.points[:, window.of("femur", "femur_cortex")]
    if femur.shape[1] == 0:
        return
    front = femur[:, (femur[1] > np.percentile(femur[1], 65)) & (np.abs(femur[2] - new[2] + 6) < 6)]
    if front.shape[1]:
        side = front[:, np.argmax(front[0] * canvas.lateral)] - np.array([5.0 * canvas.lateral, 0, 0])
        bruise_at(canvas, "femur", side, lesion.condyle_bruise_mm, lesion.seed + 1, value)
    _open_retinaculum(canvas, edge, femur, lesion)


def _move(
    window: Window, old: np.ndarray, lesion: PatellarDislocation, lateral: float
) -> tuple[np.ndarray, np.ndarray]:
    """Carry the patella rigidly over the femur and drag the soft tissue; returns its new middle and medial edge."""
    before = window.tissues.copy()
    fixed = ~window.of(*MOVING)
    body = window.of(*PATELLA)
    own = window.points[:, body]
    turn = rotation(2, -lateral * lesion.tilt_deg)
    for forward in np.arange(-4.0, 15.0, 1.0):  # as far back as the condyle lets it lie
        shift = np.array([lateral * lesion.shift_mm, forward, 0.0])
        there = turn @ (own - old[:, None]) + (old + shift)[:, None]
        if _at(fixed, window, there).mean() < 0.03:
            break
    new = old + shift
    apart = np.linalg.norm(window.points - new.reshape(3, 1, 1, 1), axis=0) / (REACH_MM - 2)
    drag = np.clip(1 - apart**2, 0, 1) ** 2
    dragged = _at(before, window, window.points - drag * shift.reshape(3, 1, 1, 1).astype(np.float32))
    hollow = np.isin(dragged, TISSUES.of(*PATELLA)) | ~np.isin(dragged, TISSUES.of(*MOVING))
    dragged[hollow] = TISSUES["fat"]  # an effusion, if there is one, is painted later
    back = np.tensordot(turn.T.astype(np.float32), window.points - new.reshape(3, 1, 1, 1), axes=1)
    rigid = _at(np.where(body, before, 0), window, back + old.reshape(3, 1, 1, 1))
    dragged[rigid > 0] = rigid[rigid > 0]
    window.tissues[...] = np.where(fixed, before, dragged)
    there = turn @ (own - old[:, None]) + new[:, None]
    low = there[:, there[2] < np.percentile(there[2], 50)]
    edge = low[:, np.argmin(low[0] * lateral)] + np.array([4.0 * lateral, 0, 0])
    return new, edge


def _at(grid: np.ndarray, window: Window, points: np.ndarray) -> np.ndarray:
    """Nearest value of a window's grid at world points (3, ...), clamped at its faces."""
    origin = window.points[:, 0, 0, 0]
    index = [np.clip(np.rint((points[a] - origin[a]) / window.mm).astype(int), 0, grid.shape[a] - 1) for a in range(3)]
    return grid[tuple(index)]


def _open_retinaculum(canvas: Canvas, edge: np.ndarray, femur: np.ndarray, lesion: PatellarDislocation) -> None:
    """Oedema and blood along the band from the medial edge of the patella to the medial epicondyle."""
    level = femur[:, np.abs(femur[2] - edge[2]) < 8]
    if level.shape[1] == 0:
        return
    medial = level[:, np.argmin(level[0] * canvas.lateral)]
    start = edge - np.array([6.0 * canvas.lateral, 0, 0])
    out = np.array([-6.0 * canvas.lateral, 6.0, 0])
    path = bezier(start, (start + medial) / 2 + out, medial + out / 3)
    window = canvas.window(path.min(0) - 8, path.max(0) + 8)
    rng = np.random.default_rng(lesion.seed + 2)
    band = tube(window.points, path, np.full(len(path), 2.2), (1.0, 1.0, 0.35)) + 0.9 * window.noise(rng, 6.0)
    window.paint((band < 0) & window.of(*SOFT), "oedema", VALUES["PD"])
