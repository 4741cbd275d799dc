"""Torn menisci: a line of fluid signal that reaches a surface, or a handle displaced into the notch.

Signs after De Smet et al., AJR 1993;161:101 (signal to the surface on two slices) and Wright et al., Radiology
1995;196:581 (bucket handle: fragment in the notch, too small a body).
"""

from __future__ import annotations

import numpy as np

from orthodx.synth.knee.lesions import VALUES, MeniscusTear
from orthodx.synth.lesion_canvas import SOFT, Canvas, Window
from orthodx.synth.solids import Field, bezier, tube

NAMES = {"MM": "medial_meniscus", "LM": "lateral_meniscus"}
SECTORS = 24


def tear_meniscus(canvas: Canvas, tear: MeniscusTear) -> None:
    """Paint one meniscus's tear."""
    name = NAMES[tear.code]
    window = canvas.around(name, 3.0)
    if window is None:
        return
    body = window.of(name)
    outward = canvas.lateral if tear.code == "LM" else -canvas.lateral
    rho, height, angle, radius = _polar(window, body, outward)
    rng = np.random.default_rng(tear.seed)
    noise = window.noise(rng, 6.0)
    turn = np.abs((angle - tear.where_deg + 180) % 360 - 180)
    arc = body & (turn < tear.arc_deg / 2)
    half = max(tear.width_mm, window.mm) / 2
    value = VALUES[tear.code]
    if tear.pattern == "oblique":  # from the free edge's middle down to the lower surface near the rim
        line = np.abs(height - 0.6 + 0.62 * rho + 0.05 * noise) < half / 5.0
        window.paint(arc & line, f"{name}_torn", value)
    elif tear.pattern == "vertical":
        window.paint(arc & (np.abs(rho - 0.66 + 0.04 * noise) < half / 9.0), f"{name}_torn", value)
    elif tear.pattern == "radial":
        line = np.deg2rad(turn) * radius < half * 1.5
        window.paint(body & line & (rho < 0.75), f"{name}_torn", value)
    elif tear.pattern == "degeneration":
        deep = ~_surface(body)
        blob = ((rho - 0.6) / 0.22) ** 2 + ((height - 0.5) / 0.22) ** 2 < 1 + 0.4 * noise
        grey = window.flakes(rng, np.full(body.shape, 0.6, np.float32))
        window.paint(arc & deep & blob & grey, f"{name}_torn", VALUES["meniscal_degeneration"])
    else:
        _bucket_handle(canvas, window, tear, name, arc & (rho < 0.5 + 0.05 * noise))


def _polar(window: Window, body: np.ndarray, outward: float) -> tuple[Field, Field, Field, Field]:
    """Of each voxel: depth 0 (free edge) .. 1 (rim), height 0 (below) .. 1, angle (deg) and radius (mm) on the arc."""
    x, y, z = window.points
    low, high = window.points[:, body].min(1), window.points[:, body].max(1)
    inner = low[0] if outward > 0 else high[0]
    middle = (inner + outward * 0.25 * (high[0] - low[0]), (low[1] + high[1]) / 2)
    dx, dy = (x - middle[0]) * outward, y - middle[1]
    radius, angle = np.hypot(dx, dy), np.rad2deg(np.arctan2(dy, dx))
    sector = np.clip(((angle + 180) / 360 * SECTORS).astype(int), 0, SECTORS - 1)
    rho, height = np.ones_like(x), np.full_like(x, 0.5)
    for s in np.unique(sector[body]):
        here = sector == s
        edge, rim = np.percentile(radius[here & body], (2, 98))
        rho[here] = (radius[here] - edge) / max(rim - edge, window.mm)
        bottom, top = np.percentile(z[here & body], (2, 98))
        height[here] = (z[here] - bottom) / max(top - bottom, window.mm)
    return rho, height, angle, radius


def _surface(body: np.ndarray) -> np.ndarray:
    """Voxels of a mask that touch its outside."""
    core = body.copy()
    for axis in range(3):
        core &= np.roll(body, 1, axis) & np.roll(body, -1, axis)
    return body & ~core


def _bucket_handle(canvas: Canvas, window: Window, tear: MeniscusTear, name: str, handle: np.ndarray) -> None:
    """Take the inner rim out and lay it into the notch, from the front root to the back root."""
    if not handle.any():
        return
    value = VALUES[tear.code]
    points = window.points[:, handle]
    front, back = (points[:, points[1] == edge].mean(1) for edge in (points[1].max(), points[1].min()))
    volume = float(handle.sum()) * window.mm**3
    window.paint(handle, "fluid", value)
    spine = canvas.centre("acl")
    top = points[2].mean() + 5.0
    midline = spine[0] if spine is not None else 0.0
    control = np.array([2 * midline - (front[0] + back[0]) / 2, (front[1] + back[1]) / 2, 2 * top - points[2].mean()])
    path = bezier(front, control, back)
    length = float(np.linalg.norm(np.diff(path, axis=0), axis=1).sum())
    thick = float(np.clip(np.sqrt(volume / length / np.pi), 1.4, 3.0))
    notch = canvas.window(path.min(0) - 5, path.max(0) + 5)
    inside = tube(notch.points, path, np.full(len(path), thick)) < 0
    notch.paint(inside & notch.of(*SOFT), name, value)
