"""Soft tissue round a procedural knee: tendons, fat pad, muscles, vessels, fascia, fat and skin."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy import ndimage

from orthodx.synth import envelope
from orthodx.synth.knee.joint_space import Bones, Masks
from orthodx.synth.knee.tissues import TISSUES
from orthodx.synth.solids import Field, bezier, coarse, smooth_noise, tube, upsample

# Belly lines (x, y, z, radius), mm, of a right knee in world axes: what a mid-sized adult shows.
MUSCLES: dict[str, list[tuple[float, float, float, float]]] = {
    "vastus_medialis": [(-24, 32, 115, 25), (-30, 26, 66, 19), (-33, 20, 40, 7)],
    "vastus_lateralis": [(30, 32, 115, 26), (31, 32, 74, 15), (29, 32, 52, 4)],
    "quadriceps": [(0, 36, 115, 17), (0, 31, 76, 7)],
    "biceps_femoris": [(28, -32, 115, 22), (33, -36, 50, 14), (35, -28, 4, 5)],
    "semimembranosus": [(-20, -40, 115, 23), (-25, -42, 50, 16), (-28, -34, 4, 6)],
    "semitendinosus": [(-4, -58, 115, 10), (-20, -58, 40, 4), (-34, -44, -4, 2.5)],
    "sartorius": [(-52, -18, 115, 11), (-50, -22, 40, 9), (-42, -10, -24, 3)],
    "gastrocnemius_medial": [(-20, -34, 24, 5), (-22, -47, -18, 16), (-24, -50, -115, 25)],
    "gastrocnemius_lateral": [(20, -33, 24, 5), (20, -45, -18, 14), (18, -48, -115, 20)],
    "popliteus": [(24, -20, -3, 3), (2, -27, -24, 8), (-12, -22, -50, 8)],
    "soleus": [(16, -32, -30, 5), (8, -35, -70, 16), (4, -36, -115, 22)],
    "tibialis_anterior": [(24, 9, -30, 7), (24, 5, -62, 14), (24, 3, -115, 15)],
    "peroneus": [(41, -12, -36, 6), (39, -14, -115, 12)],
    "tibialis_posterior": [(8, -19, -55, 8), (8, -17, -115, 11)],
}
VESSELS: list[tuple[list[tuple[float, float, float]], float]] = [
    ([(3, -40, 115), (4, -36, 20), (4, -37, -20), (4, -28, -115)], 3.6),
    ([(-3, -44, 115), (9, -41, 20), (-2, -41, -25), (10, -30, -115)], 4.4),
]


def wrap(
    q: np.ndarray, bones: Bones, joint: Masks, s: Mapping[str, float], rng: np.random.Generator, mm: float
) -> np.ndarray:
    """Tissues (X, Y, Z) uint8 of all that is not bone or cartilage.

    q: (3, X, Y, Z) world points of the unscaled knee, mm.
    """
    shape, step = bones.femur.shape, envelope.STEP
    qc = coarse(q, step)
    noise = [smooth_noise(rng, qc.shape[1:], mm * step, 25.0) for _ in range(2)]
    muscles = envelope.bellies(qc, MUSCLES, s["muscle"], noise[0], rng)
    tendons = _tendons(bones, s)
    tendon = np.minimum(*tendons.values())
    core = coarse(np.minimum(np.minimum(bones.any, tendon), joint["mcl"] * -1.0 + 0.5), 2 * step)
    fascia_c = envelope.fascia_round(core, muscles, mm, 42.0)
    qf = coarse(q, 2 * step)
    anterior = np.clip((qf[1] - 5) / 30, 0, 1) * np.clip(1.2 - np.abs(qf[0]) / 45, 0, 1)
    fat = s["fat"] * (1 + 0.22 * coarse(noise[1], 2)) * (1 - 0.65 * anterior) + 2.0
    skin, fascia = upsample(fascia_c - fat, shape), upsample(fascia_c, shape)

    # whatever the smoothing did, skin and some fat cover every bone, tendon and muscle
    from_tendon = ndimage.distance_transform_edt(coarse(tendon, step) > 0, sampling=mm * step).astype(np.float32)
    muscles = muscles.on(shape)
    over = np.minimum(np.minimum(bones.any - 7.0, upsample(from_tendon, shape) - 5.0), muscles.nearest - 4.0)
    skin = np.minimum(skin, over)

    tissues = envelope.wrapped(TISSUES, skin, fascia, muscles)
    envelope.lay_vessels(tissues, TISSUES, qc, VESSELS, rng)

    fx, fy, fz = bones.femur_points
    tx, ty, tz = bones.tibia_points
    # capsule: a dark line round the joint, and retinacula from patella to the epicondyles
    retinaculum = (
        (np.abs(bones.femur - 4.2 - 2.0 * (np.abs(fx) < 30)) < 0.5)
        & (fy > 0)
        & (np.abs(fz - 26) < 22)
        & (np.abs(fx) > 18)
    )
    posterior = (np.abs(np.minimum(bones.femur, bones.tibia) - 4.6) < 0.5) & (fy < -16) & (fz < 30) & (tz > -12)
    tissues[(retinaculum | posterior) & (skin < -2)] = TISSUES["capsule"]
    pad = (
        (ty > 6)
        & (tz > -26)
        & (fz < bones.patella_centre[2] - 4)
        & (np.abs(tx) < 26)
        & (tendons["patellar_tendon"] > 0)
    )
    behind = ty < np.where(tz < -2, 36, 44)
    tissues[pad & behind & (skin < -4) & (bones.any > 0)] = TISSUES["fat_pad"]
    for name, d in tendons.items():
        tissues[(d < 0) & (skin < -1.6)] = TISSUES[name]
    for name in ("fluid", "mcl", "lcl", "medial_meniscus", "lateral_meniscus", "pcl", "acl"):
        tissues[joint[name]] = TISSUES[name]
    return tissues


def _tendons(bones: Bones, s: Mapping[str, float]) -> dict[str, Field]:
    """Distance-like fields (X, Y, Z), mm, of the patellar and the quadriceps tendon."""
    pf = bones.femur_points
    c = bones.patella_centre
    apex = np.array([c[0], c[1] + 2, c[2] - s["patella_height"] + 5])
    base = np.array([c[0], c[1] + 2, c[2] + s["patella_height"] - 5])
    tuberosity = np.array([3.0, 25.5 + s["tuberosity"], -36.0])
    lower = bezier(apex, (apex + tuberosity) / 2 + np.array([0, 2.0, 0]), tuberosity, 6)
    upper = bezier(base, base + np.array([0, -3, 22]), (0, base[1] - 10, 112), 6)
    band = (1.0, 4.6, 1.0)
    return {
        "patellar_tendon": tube(pf, lower, np.linspace(13, 11, 6), band) / band[1],
        "quadriceps_tendon": tube(pf, upper, np.linspace(15, 17, 6), (1.0, 4.2, 1.0)) / 4.2,
    }
