"""Soft tissue round a procedural ankle: Achilles and other tendons, muscles, vessels, fat pads, fascia, fat, skin."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy import ndimage
from scipy.interpolate import PchipInterpolator

from orthodx.synth import envelope
from orthodx.synth.ankle.bones import TUBEROSITY
from orthodx.synth.ankle.joint_space import Bones, Masks
from orthodx.synth.ankle.posture import Path, Posture
from orthodx.synth.ankle.tissues import TISSUES
from orthodx.synth.solids import (
    Field,
    box_round,
    coarse,
    fade,
    gradient,
    smooth_noise,
    true_distance,
    tube,
    tube_in_box,
    upsample,
)

BRIDGE_MM = 28.0  # hollows narrower than this are bridged by fascia: less than on a knee, the malleoli stand out
THIN_MM = 1.6  # as much thicker tendons are for the fascia: a coarse grid would miss them
CUT = ((2, 1), (1, 1))  # the leg goes on above, the foot in front
TENDON_SPREAD = 1.6  # how much wider than thick the flat ones are

# Path and radius (mm) of each muscle's belly, of a right ankle; what a mid-sized adult shows.
MUSCLES: dict[str, tuple[Path, tuple[float, ...]]] = {
    "soleus": ((("leg", 2, -22, 130), ("leg", 1, -27, 92), ("leg", 0, -30, 62)), (18, 13, 3)),
    "flexor_hallucis": ((("leg", 6, -15, 130), ("leg", 4, -17, 70), ("leg", -3, -19, 32)), (10, 9, 4)),
    "flexor_digitorum": ((("leg", -14, -14, 130), ("leg", -17, -15, 85), ("leg", -20, -16, 55)), (8, 6, 2.5)),
    "tibialis_posterior": ((("leg", 2, -9, 130), ("leg", -8, -11, 85), ("leg", -15, -12, 58)), (8, 5, 2)),
    "peroneus": ((("leg", 25, -12, 130), ("leg", 24, -15, 70), ("leg", 22, -17, 34)), (10, 8, 3)),
    "extensors": ((("leg", 10, 18, 130), ("leg", 6, 29, 75), ("leg", 4, 33, 44)), (11, 6, 2.5)),
    "extensor_brevis": ((("heel", 17, 18, -1), ("heel", 20, 38, 4), ("heel", 17, 62, 4)), (3, 7, 3)),
    "abductor_hallucis": ((("heel", -17, -12, -32), ("heel", -22, 20, -27), ("heel", -22, 62, -28)), (5, 8, 6)),
    "flexor_brevis": ((("heel", -3, -22, -44), ("heel", -1, 15, -38), ("heel", 4, 70, -36)), (5, 8.5, 6)),
    "abductor_minimi": ((("heel", 7, -22, -44), ("heel", 20, 15, -38), ("heel", 34, 60, -36)), (5, 7, 5)),
    "quadratus": ((("heel", -3, -4, -33), ("heel", 0, 25, -28), ("heel", 3, 52, -28)), (6, 7.5, 4)),
}
# Path, radius (mm) and half width in the direction of the skin for each of the long tendons.
TENDONS: dict[str, tuple[Path, float]] = {
    "tibialis_anterior": (
        (("leg", -12, 30, 110), ("leg", -14, 35, 45), ("foot", -17, 40, 20), ("heel", -22, 50, 5),
         ("heel", -23, 58, -8)),
        2.9,
    ),
    "extensor_hallucis": (
        (("leg", -4, 33, 90), ("leg", -5, 36, 45), ("foot", -6, 42, 21), ("heel", -12, 62, 9), ("heel", -14, 110, -12)),
        1.9,
    ),
    "extensor_digitorum": (
        (("leg", 6, 32, 80), ("leg", 6, 34, 45), ("foot", 6, 39, 20), ("heel", 10, 58, 10), ("heel", 16, 110, -10)),
        2.4,
    ),
    "tibialis_posterior": (
        (("leg", -17, -13, 80), ("leg", -24.5, -12, 32), ("leg", -26.5, -8, 14), ("heel", -24, 14, -2),
         ("heel", -22, 36, -4)),
        2.8,
    ),
    "flexor_digitorum": (
        (("leg", -20, -17, 70), ("leg", -23.5, -18.5, 28), ("foot", -23.5, -13, 4), ("heel", -22, 6, -13),
         ("heel", -10, 45, -26)),
        2.0,
    ),
    "flexor_hallucis": (
        (("leg", -4, -19, 60), ("leg", -8, -19.5, 22), ("foot", -11, -19.5, 4), ("heel", -14, 0, -15),
         ("heel", -16, 60, -28)),
        2.3,
    ),
    "peroneus_longus": (
        (("leg", 23, -18, 70), ("leg", 23.5, -19, 22), ("leg", 25, -16, -2), ("heel", 22, 6, -25),
         ("heel", 24, 34, -33)),
        2.5,
    ),
    "peroneus_brevis": (
        (("leg", 21, -15, 70), ("leg", 21.5, -16, 22), ("leg", 25, -11, -4), ("heel", 24, 10, -18),
         ("heel", 36, 52, -18)),
        2.2,
    ),
}  # fmt: skip
VESSELS: tuple[tuple[Path, float], ...] = (
    ((("leg", -16, -22, 110), ("leg", -19, -22, 30), ("foot", -19, -18, 4), ("heel", -17, 2, -18)), 1.7),
    ((("leg", -15, -24, 110), ("leg", -16, -24, 30), ("foot", -18, -21, 2), ("heel", -19, 0, -20)), 1.4),
    ((("leg", 2, 28, 110), ("leg", 0, 32, 45), ("foot", 0, 36, 20), ("heel", -2, 60, 10)), 1.5),
    ((("leg", -26, 12, 110), ("leg", -28, 22, 30), ("foot", -25, 34, 16)), 1.6),
    ((("leg", 16, -30, 110), ("leg", 17, -27, 35), ("leg", 22, -22, 0)), 1.5),
)


# The fat between tibia and Achilles tendon that the fascia goes round: path in the leg's frame and radius, mm
KAGER = (((0, -24, -4), (0, -22, 30), (1, -20, 130)), (9.0, 13.0, 22.0))


def wrap(
    bones: Bones, joint: Masks, posture: Posture, s: Mapping[str, float], rng: np.random.Generator, mm: float
) -> np.ndarray:
    """Tissues (X, Y, Z) uint8 of all that is not bone or cartilage."""
    p, shape, step = bones.leg_points, bones.talus.shape, envelope.STEP
    pc = coarse(p, step)
    noise = [smooth_noise(rng, pc.shape[1:], mm * step, 22.0) for _ in range(2)]
    lines = {name: np.column_stack([posture.in_leg(path), radii]) for name, (path, radii) in MUSCLES.items()}
    muscles = envelope.bellies(pc, lines, s["muscle"], 0.7 * noise[0], rng)
    achilles = achilles_tendon(p, posture, s, mm)
    tendons = _tendons(p, posture, rng)
    tendon = np.minimum(achilles, tendons)

    core = coarse(np.minimum(bones.any, tendon - THIN_MM), 2 * step)
    core = np.minimum(core, tube(coarse(p, 2 * step), np.array(KAGER[0], float), np.array(KAGER[1])))
    fascia_c = envelope.fascia_round(core, muscles, mm, BRIDGE_MM, CUT)
    heel = coarse(posture.heel(p), 2 * step)
    down = fade(-gradient(fascia_c, 2 * step * mm)[2], 0.2, 0.9)
    pad = s["heel_pad"] * fade(-heel[2], 28, 44) * down * (0.45 + 0.55 * fade(-heel[1], -35, 5))
    fat = s["fat"] * (1 + 0.22 * coarse(noise[1], 2)) + 1.5 + ndimage.gaussian_filter(pad, 6.0 / (2 * step * mm))
    skin, fascia = upsample(fascia_c - fat, shape), upsample(fascia_c, shape)
    muscles = muscles.on(shape)
    # whatever the smoothing did, skin and some fat cover every bone, tendon and muscle
    skin = np.minimum(skin, np.minimum(np.minimum(bones.any - 5.0, tendon - 3.6), muscles.nearest - 3.5))

    tissues = envelope.wrapped(TISSUES, skin, fascia, muscles)
    paths = [(posture.in_leg(path), radius) for path, radius in VESSELS]
    envelope.lay_vessels(tissues, TISSUES, pc, paths, rng)
    capsule = (np.abs(np.minimum(bones.tibia, bones.talus) - 3.2) < 0.4) & (p[2] > 6) & (p[2] < 27)
    tissues[capsule & (np.abs(p[0] + 3) < 15) & (tissues == TISSUES["fat"])] = TISSUES["capsule"]
    tissues[_plantar_fascia(p, posture) < 0] = TISSUES["tendon"]
    tissues[joint["fluid"]] = TISSUES["fluid"]
    tissues[joint["ligament"] & (skin < -2)] = TISSUES["ligament"]
    tissues[(tendons < 0) & (skin < -2)] = TISSUES["tendon"]
    bursa = (achilles > 0) & (achilles < 1.6) & (bones.calcaneus < 1.8) & (bones.calcaneus > 0)
    tissues[bursa & (posture.heel(p)[2] > -16)] = TISSUES["fluid"]
    tissues[(achilles < 0) & (skin < -1.6)] = TISSUES["achilles_tendon"]
    for name in ("cfl", "atfl"):
        tissues[joint[name]] = TISSUES[name]
    return tissues


def achilles_path(posture: Posture, s: Mapping[str, float]) -> np.ndarray:
    """(N, 3) points of the tendon's middle line in the frame of the leg, from above the volume down into the heel."""
    x, y, z = TUBEROSITY
    y -= 2 * s["heel"]  # as far as the bone reaches back
    above: Path = (("leg", 0.0, -35.0, 130.0), ("leg", 0.0, -34.0, 85.0), ("leg", -1.0, -36.0, 45.0))
    below: Path = (("heel", x + 1.5, y - 2.0, z + 15.0), ("heel", x, y - 2.2, z + 2.0), ("heel", x, y - 1.0, z - 6.0))
    points = posture.in_leg((*above, *below))[::-1]
    heights = np.linspace(points[0, 2], points[-1, 2], 26)
    return np.column_stack([PchipInterpolator(points[:, 2], points[:, i])(heights) for i in range(3)])[::-1]


def achilles_tendon(p: np.ndarray, posture: Posture, s: Mapping[str, float], mm: float) -> Field:
    """Distance (X, Y, Z), mm: a band that widens into the muscle above and towards the heel below."""
    path = achilles_path(posture, s)
    from_heel = path[:, 2] - path[-1, 2]
    half = s["achilles_width"] * (1 + 0.35 * np.exp(-from_heel / 9) + 0.5 * fade(from_heel, 70, 120))
    flat = s["achilles_width"] / s["achilles_thickness"]
    out = np.full(p.shape[1:], 30.0, np.float32)
    box = box_round(p, path, 20.0)
    if box is not None:
        out[box] = true_distance(tube(p[:, box[0], box[1], box[2]], path, half, (1.0, flat, 1.0)), mm)[0]
    return out


def _tendons(p: np.ndarray, posture: Posture, rng: np.random.Generator) -> Field:
    """Distance (X, Y, Z), mm, to the nearest of the long tendons; each is computed in a box of its own."""
    out = np.full(p.shape[1:], 30.0, np.float32)
    for path, radius in TENDONS.values():
        points = _rounded(posture.in_leg(path)) + rng.normal(0, 0.5, 3)
        size = radius * rng.normal(1, 0.08)
        box = box_round(p, points, 9.0)
        if box is not None:
            near = tube(p[:, box[0], box[1], box[2]], points, np.full(len(points), size))
            np.minimum(out[box], near, out=out[box])
    return out


def _rounded(path: np.ndarray) -> np.ndarray:
    """(N, 3) corners -> a smooth curve through them."""
    along = np.r_[0, np.cumsum(np.linalg.norm(np.diff(path, axis=0), axis=1))]
    return PchipInterpolator(along, path)(np.linspace(0, along[-1], 3 * len(path)))


def _plantar_fascia(p: np.ndarray, posture: Posture) -> Field:
    """Distance-like field of the band under the sole."""
    path = posture.in_leg(
        (("heel", -5, -24, -47.5), ("heel", -3, 10, -46.5), ("heel", 0, 60, -43), ("heel", 3, 130, -44))
    )
    return tube_in_box(p, path, np.array([6.0, 7.0, 10.0, 12.0]), (1.0, 1.0, 4.5)) / 4.5
