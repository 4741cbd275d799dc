"""The bones of a procedural right ankle as signed-distance fields (mm; lateral +x, anterior +y, superior +z).

Sizes, places and angles are those of an anatomical atlas (Z-Anatomy): talar dome of 22 mm radius about an axis through
`DOME_AXIS`, plafond 48 x 38 mm, malleoli ending 11 and 30 mm below it, calcaneus 80 mm long, turned 19 degrees
outwards. The foot is given in its own frame, in which it stands at a right angle to the leg.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from orthodx.synth.solids import Field, bezier, ellipsoid, smooth_intersection, smooth_union, subtract, tube

DOME_AXIS = (0.0, 5.0, 1.0)  # a point of the axis along x about which the foot flexes
TUBEROSITY = (-6.0, -45.0, -23.0)  # where the Achilles tendon ends
Shape = Mapping[str, float]


def _union(fields: list[Field], k: float) -> Field:
    out = fields[0]
    for field in fields[1:]:
        out = smooth_union(out, field, k)
    return out


def around_dome(p: np.ndarray) -> Field:
    """Distance (mm) from the axis of the talar dome."""
    return np.hypot(p[1] - np.float32(DOME_AXIS[1]), p[2] - np.float32(DOME_AXIS[2]))


def tibia(p: np.ndarray, s: Shape, gap_mm: float) -> Field:
    """Distal tibia: shaft, flare, plafond that leaves `gap_mm` round the dome, medial malleolus."""
    x, y, z = p
    flare = np.exp(-np.clip(z - 27, 0, None) / s["tibia_flare"])
    r = s["tibia_shaft"]
    a, b = r + (23.5 + s["plafond_width"] - r) * flare, r + (20.0 + s["plafond_depth"] - r) * flare
    xc, yc = -4.0 - 1.0 * flare, 12.5 - 5.5 * flare
    u, v = (x - xc) / a, (y - yc) / b
    crest = 0.16 * (1 - flare) * np.clip(v, 0, 1) * np.abs(u)  # the shaft has an edge in front
    shaft = ((np.abs(u) ** 2.5 + np.abs(v) ** 2.5 + 1e-6) ** (1 / 2.5) - 1 + crest) * np.minimum(a, b)
    ceiling = s["dome_radius"] + gap_mm - around_dome(p)
    body = smooth_intersection(smooth_intersection(shaft, ceiling, 1.5), 13.0 - z, 3.0)
    malleolus = ellipsoid(p, (-25.0, 8.0, 24.0), (7.0, 13.5, 11.5 + s["medial_malleolus"]))
    whole = smooth_union(body, malleolus, 4.0)
    notch = ellipsoid(p, (25.0, -3.5, 38.0), (10.0, 10.5, 40.0))  # the fibula lies in it
    return subtract(whole, notch, 3.0)


def fibula(p: np.ndarray, s: Shape) -> Field:
    """Distal fibula: shaft and lateral malleolus, further back and lower than the medial one."""
    low = s["lateral_malleolus"]
    path = np.array([[18.5, -2, 125], [19.5, -2, 55], [21.5, -2.5, 22]], float)
    shaft = tube(p, path, np.array([6.0, 6.6, 8.0]), (1.0, 0.85, 1.0))
    malleolus = ellipsoid(p, (23.3, -1.5, 11.0 - 0.5 * low), (7.0, 11.5, 17.5 + 0.5 * low))
    tip = ellipsoid(p, (23.5, -4.5, 0.0 - low), (5.5, 7.5, 7.5))
    fossa = ellipsoid(p, (16.5, -11.0, 1.0), (4.5, 4.5, 6.0))
    return subtract(_union([shaft, malleolus, tip], 5.0), fossa, 2.0)


def talus(p: np.ndarray, s: Shape) -> Field:
    """Talus: trochlea wider in front, neck, head, lateral and posterior process; no joint with the calcaneus yet."""
    x, y, z = p
    wide = s["dome_width"] + 0.09 * (y - 5)
    groove = 0.9 * np.exp(-(((x + 3.0) / 7.0) ** 2))
    round_ = around_dome(p) - s["dome_radius"] + groove
    lateral = (x + 3.0) - wide - 0.16 * np.clip(17 - z, 0, None)  # its wall slopes out to the process
    medial = -(x + 3.0) - wide
    trochlea = smooth_intersection(round_, np.maximum(lateral, medial), 3.0)
    trochlea = smooth_intersection(
        trochlea, np.maximum(np.maximum(-14.0 - y, 0.93 * (y + 0.4 * (x + 3.0) - 20.0)), -6.0 - z), 4.0
    )
    parts = [
        trochlea,
        ellipsoid(p, (-3.0, -3.0, 3.0), (17.5, 16.0, 11.0)),
        ellipsoid(p, (-5.5, -16.5, 2.0), (9.0, 6.5, 6.5)),
        ellipsoid(p, (11.0, 0.0, -3.0), (5.5, 8.0, 6.0)),
    ]
    neck = tube(p, np.array([[-2.0, 10, 5], [-5.5, 23, 4.5]]), np.array([12.5, 11.0]), (0.95, 1.0, 1.05))
    head = ellipsoid(p, (-6.5, 26.0, 3.5), (14.0, 12.0, 12.0))
    return smooth_union(_union(parts, 4.0), smooth_union(neck, head, 5.0), 4.0)


def calcaneus(p: np.ndarray, s: Shape) -> Field:
    """Heel bone: tuberosity, body, hump of the posterior facet, sustentaculum, anterior process."""
    long = s["heel"]
    parts = [
        ellipsoid(p, (-6.5, -30.0 - long, -29.0), (15.5, 16.5 + long, 20.5)),
        ellipsoid(p, (-5.0, -24.0, -37.0), (14.0, 17.0, 12.0)),
        tube(p, np.array([[-2.0, -22, -23], [11.0, 14, -19]]), np.array([15.0, 11.0]), (1.1, 1.0, 1.0)),
        ellipsoid(p, (5.0, -9.0, -11.0), (11.5, 14.0, 10.5)),
        ellipsoid(p, (14.5, 16.0, -16.0), (9.5, 9.5, 11.0)),
    ]
    body = _union(parts, 7.0)
    shelf = ellipsoid(p, (-12.5, 3.0, -9.5), (9.5, 10.5, 4.8))
    front = p[1] - 25.0
    return smooth_intersection(smooth_union(body, shelf, 5.0), front, 3.0)


def sinus(p: np.ndarray, s: Shape) -> Field:
    """The tarsal canal, opening outwards into the tarsal sinus between talus and calcaneus."""
    path = bezier((-19.0, -1.0, -7.0), (-4.0, 9.0, -5.0), (17.0, 21.0, 1.0), 7)
    return tube(p, path, np.linspace(1.6, s["sinus"], 7))


def tarsus(p: np.ndarray) -> list[Field]:
    """Navicular, cuboid, three cuneiforms and five metatarsals, in the order in which they make room."""
    inward = (0.85, 1.0, 1.0)
    solids = [
        smooth_intersection(ellipsoid(p, (-6.5, 37.0, 2.0), (18.5, 12.0, 13.0)), p[1] - 47.5, 2.0),
        ellipsoid(p, (21.0, 37.5, -16.5), (12.5, 16.0, 14.0)),
        ellipsoid(p, (-16.5, 57.0, -6.0), (9.5, 13.0, 13.5)),
        ellipsoid(p, (-3.0, 55.5, 1.0), (8.0, 10.5, 9.5)),
        ellipsoid(p, (9.0, 54.0, -3.0), (8.5, 12.0, 10.5)),
    ]
    rays = (
        ([(-16.0, 73, -12), (-13, 135, -30)], 9.5, 7.5),
        ([(-3.0, 71, -3), (3, 135, -24)], 7.5, 5.0),
        ([(9.0, 70, -6), (15, 135, -27)], 7.0, 4.8),
        ([(19.5, 61, -13), (27, 130, -32)], 7.0, 4.8),
        ([(31.0, 57, -21), (38, 125, -36)], 8.0, 4.8),
    )
    for path, base, shaft in rays:
        start, end = (np.array(point, float) for point in path)
        line = np.array([start, start + 0.28 * (end - start), end])
        solids.append(tube(p, line, np.array([base, shaft, shaft]), inward))
    return solids
