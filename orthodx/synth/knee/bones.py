"""The bones of a procedural right knee as signed-distance fields (mm; lateral +x, anterior +y, superior +z).

Sizes follow adult morphometry: bicondylar width 72-88 mm, tibial plateau 66-80 x 44-54 mm,
patella about 44 x 42 x 21 mm (Yoshioka 1987, Mensch & Amstutz 1975).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from orthodx.synth.solids import Field, ellipsoid, smooth_intersection, smooth_union, subtract, tube


def _union(fields: list[Field], k: float) -> Field:
    out = fields[0]
    for field in fields[1:]:
        out = smooth_union(out, field, k)
    return out


def femur(p: np.ndarray, s: Mapping[str, float]) -> Field:
    """Distal femur: two condyles, trochlea with groove, epicondyles, metaphysis, shaft, notch."""
    x, y, z = p
    m, lat = s["medial_condyle"], s["lateral_condyle"]
    w = s["condyle_gap"]
    parts = [
        ellipsoid(p, (-w, -16 - m, 19.5), (12.5 + m, 19.5 + m, 18.5 + m)),
        ellipsoid(p, (-w + 0.5, 2, 24), (14 + m, 29 + m, 22.5)),
        ellipsoid(p, (w, -14 - lat, 19), (12.5 + lat, 18.5 + lat, 18 + lat)),
        ellipsoid(p, (w - 0.5, 6, 24), (14.5 + lat, 29 + lat, 22.5)),
        ellipsoid(p, (15, 17 + s["trochlea_lateral"], 33), (13, 17, 22)),
        ellipsoid(p, (-14, 15, 32), (12, 16, 20)),
        ellipsoid(p, (0, 5, 38), (30, 23, 21)),
        ellipsoid(p, (-33, -5, 28), (8, 12, 13)),
        ellipsoid(p, (32, -4, 27), (8, 12, 12)),
    ]
    bulb = _union(parts, 6.0)
    r = s["femur_shaft"]
    flare = np.exp(-np.clip(z - 34, 0, None) / s["femur_flare"])
    a, b = r + 21 * flare, r + 8 * flare
    bow = 4.0 + 0.03 * (z - 40)
    section = (np.sqrt((x / a) ** 2 + ((y - bow) / b) ** 2) - 1) * np.minimum(a, b)
    shaft = smooth_intersection(section, 30 - z, 4.0)
    bone = smooth_union(bulb, shaft, 8.0)
    notch = ellipsoid(p, (0, -22, 9), (s["notch_width"], 27, 20))
    groove = ellipsoid(p, (0, 41, 26), (11, 14 + s["groove_depth"], 34))
    return subtract(subtract(bone, notch, 3.0), groove, 4.0)


def plateau_top(x: np.ndarray, y: np.ndarray, s: Mapping[str, float]) -> np.ndarray:
    """Height (mm) of the bony tibial plateau, posterior slope and intercondylar eminence included."""
    slope = np.tan(np.deg2rad(s["tibial_slope"])) * (y + 4)
    medial = -s["medial_dish"] * np.exp(-(((x + 20) / 12) ** 2 + ((y + 4) / 15) ** 2))
    lateral = s["lateral_dome"] * np.exp(-(((x - 20) / 12) ** 2 + ((y + 6) / 14) ** 2))
    spines = s["spine"] * (
        np.exp(-(((x + 6) / 4.0) ** 2) - ((y + 4) / 8) ** 2)
        + 0.85 * np.exp(-(((x - 6) / 4.0) ** 2) - ((y + 8) / 8) ** 2)
    )
    return -3.0 + slope + medial + lateral + spines


def tibia(p: np.ndarray, s: Mapping[str, float]) -> Field:
    """Proximal tibia: plateaus, eminence, tuberosity, triangular shaft."""
    x, y, z = p
    depth = np.clip(-(z + 8), 0, None)
    flare = np.exp(-depth / s["tibia_flare"])
    r = s["tibia_shaft"]
    a, b = r + (37.5 + s["plateau_width"] - r) * flare, r + 1 + (24.5 + s["plateau_depth"] - r) * flare
    yc = -4.0 - 2.0 * (1 - flare)
    # the posterior notch between the plateaus and the sharp anterior crest of the shaft
    crest = (1 - flare) * np.clip((y - yc) / b, 0, 1) * 0.35 * np.abs(x) / a
    dent = 0.14 * flare * np.exp(-((x / 9) ** 2)) * (y < yc)
    section = ((np.abs(x / a) ** 2.4 + np.abs((y - yc) / b) ** 2.4) ** (1 / 2.4) - 1 + crest + dent) * r
    bone = smooth_intersection(section, z - plateau_top(x, y, s), 3.0)
    tuberosity = ellipsoid(p, (3, 14, -34), (9, 11 + s["tuberosity"], 15))
    return smooth_union(bone, tuberosity, 9.0)


def fibula(p: np.ndarray, s: Mapping[str, float]) -> Field:
    """Fibular head and shaft, lateral and posterior."""
    x0, y0, z0 = 33 + s["plateau_width"], -19.0, -19.0 + s["fibula_height"]
    head = ellipsoid(p, (x0, y0, z0), (9.5, 10.5, 11.0))
    path = np.array([[x0, y0, z0 - 6], [x0 - 1, y0 + 1, z0 - 40], [x0 - 3, y0 + 3, z0 - 130]])
    return smooth_union(head, tube(p, path, np.array([7.5, 5.6, 6.5])), 5.0)


def patella(p: np.ndarray, centre: np.ndarray, s: Mapping[str, float]) -> Field:
    """Patella: rounded front, two facets meeting in a ridge behind, apex below."""
    q = p - np.asarray(centre, np.float32).reshape(3, 1, 1, 1)
    x, y, z = q
    width, height, depth = s["patella_width"], s["patella_height"], s["patella_depth"]
    taper = 1 - 0.38 * np.clip(-z / height, 0, 1) ** 1.5
    body = (
        (np.abs(x / (width * taper)) ** 2.3 + np.abs(y / depth) ** 2.3 + np.abs(z / height) ** 2.3) ** (1 / 2.3) - 1
    ) * depth
    ridge = -(y + depth * 0.95) + s["facet"] * np.abs(x - 1.5)
    return smooth_intersection(body, ridge, 3.0)
