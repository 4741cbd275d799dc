"""Worn cartilage and torn labrum of the glenohumeral joint."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from orthodx.synth.lesion_bone import CORTEX_MM, bruise_at
from orthodx.synth.lesion_canvas import SOFT, Canvas
from orthodx.synth.shoulder.landmarks import frame_of
from orthodx.synth.shoulder.lesions import VALUES, CartilageLoss, LabralTear

# where the joint wears first: lateral, forward, up from the head's middle in its radii
PLACES = {"humerus": (-0.72, -0.25, 0.55), "scapula": (-1.11, -0.15, -0.1)}


def lose_cartilage(canvas: Canvas, loss: CartilageLoss) -> None:
    """A defect that holds fluid, oedema in the bone beneath it, and a spur below the head."""
    frame, value = frame_of(canvas), VALUES["GHJ"]
    if frame is None:
        return
    rng = np.random.default_rng(loss.seed)
    r = frame.radius
    where = np.array(PLACES[loss.bone]) + rng.normal(0, 0.1, 3)
    if loss.bone == "humerus":
        where *= 1.02 / np.linalg.norm(where)
    at = frame.at(*(where * r))
    window = canvas.window(at - loss.radius_mm - 8, at + loss.radius_mm + 8)
    noise = window.noise(rng, 5.0)
    gone = window.of("glenohumeral_cartilage") & (window.radius(at, (loss.radius_mm,) * 3) < 1 + 0.2 * noise)
    bone = window.distance(window.of(loss.bone, f"{loss.bone}_cortex"))
    other = window.distance(window.of(*(f"{b}_cortex" for b in PLACES if b != loss.bone)))
    gone &= bone < np.where(other > bone, 9.0, -1.0)
    gone &= bone >= (1 - loss.depth) * 1.6
    window.paint(gone, "fluid", value)
    if loss.oedema_mm > 0:
        inward = frame.middle - at if loss.bone == "humerus" else at - frame.middle
        deep = at + inward / np.linalg.norm(inward) * (0.7 * loss.oedema_mm + 1.0)
        bruise_at(canvas, loss.bone, deep, loss.oedema_mm, loss.seed, value)
    if loss.spur_mm > 0 and loss.bone == "humerus":
        _spur(canvas, frame.at(-0.62 * r, 0.0, -0.84 * r), loss.spur_mm, value)


def _spur(canvas: Canvas, at: np.ndarray, size_mm: float, value: int) -> None:
    """An osteophyte at the lower edge of the head's cartilage."""
    window = canvas.window(at - 3 * size_mm, at + 3 * size_mm)
    head = window.of("humerus", "humerus_cortex")
    near = window.radius(at, (1.1 * size_mm, 2.4 * size_mm, 1.1 * size_mm))
    spur = (near < 1) & window.of(*SOFT, "glenohumeral_cartilage") & (window.distance(head) < size_mm)
    window.paint(spur, "humerus_cortex", value)
    window.paint(spur & (window.distance(~(spur | head)) > CORTEX_MM), "humerus", value)


def tear_labrum(canvas: Canvas, tear: LabralTear) -> None:
    """Fluid between labrum and bone over an arc of the rim, the labrum itself grey; a cyst beside it."""
    window, frame, value = canvas.around("labrum", 6.0), frame_of(canvas), VALUES["GHJ"]
    if window is None or frame is None:
        return
    rng = np.random.default_rng(tear.seed)
    labrum = window.of("labrum")
    x, y, z = frame(window.points)
    mid_y, mid_z = float(np.median(y[labrum])), float((z[labrum].min() + z[labrum].max()) / 2)
    turn = np.abs((np.rad2deg(np.arctan2(y - mid_y, z - mid_z)) - tear.where_deg + 180) % 360 - 180)
    arc = labrum & (turn < tear.arc_deg / 2)
    window.paint(arc & window.flakes(rng, np.full(arc.shape, 0.85, np.float32)), "labrum_torn", value)
    wide = ndimage.binary_dilation(labrum & (turn < tear.arc_deg / 2 - 6), iterations=1)
    bone = window.distance(window.of("scapula", "scapula_cortex", "glenohumeral_cartilage"))
    slit = wide & (bone < max(tear.width_mm, window.mm * 1.05)) & window.of("labrum", "labrum_torn", *SOFT)
    window.paint(slit, "fluid", value)
    if tear.cyst_mm > 0:
        angle = np.deg2rad(tear.where_deg)
        out = np.array([-0.35, np.sin(angle), np.cos(angle)])
        high = float(z[labrum].max()) - mid_z
        middle = frame.at(
            float(x[labrum].mean()) - 4.0,
            mid_y + out[1] * (0.7 * high + 0.8 * tear.cyst_mm),
            mid_z + out[2] * (high + 0.8 * tear.cyst_mm),
        )
        box = canvas.window(middle - 2 * tear.cyst_mm, middle + 2 * tear.cyst_mm)
        lobes = box.radius(middle, (tear.cyst_mm,) * 3) * (1 + 0.15 * box.noise(rng, 5.0))
        box.paint((lobes < 1) & box.of(*SOFT), "fluid", value)
