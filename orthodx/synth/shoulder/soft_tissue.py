"""Soft tissue round a procedural shoulder: muscles, chest wall, ligaments, vessels, fat and skin."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from orthodx.synth.envelope import MUSCLE_DEPTH_MM, SKIN_MM, STEP, Bellies, Line, lay_vessels
from orthodx.synth.shoulder.bones import SHAFT
from orthodx.synth.shoulder.joint_space import Bones
from orthodx.synth.shoulder.tissues import TISSUES
from orthodx.synth.solids import Field, coarse, ellipsoid, smooth_noise, smooth_union, tube, upsample

# Belly lines (x, y, z, radius), mm, in the scapula's frame, of a mid-sized adult; the last point of those that move
# the arm follows the humerus.
MUSCLES: dict[str, Line] = {
    "supraspinatus": [
        (-112, 1, 13, 13.5), (-62, 1, 16, 14), (-42, -2, 18, 11.5), (-26, -2, 22.5, 6.5), (-14, -2, 26, 3),
    ],
    "infraspinatus_upper": [
        (-112, -22, -8, 17), (-62, -23, -3, 16), (-36, -25, 1, 12.5), (-18, -25, 8, 6.5), (-8, -22, 12, 3),
    ],
    "infraspinatus_lower": [(-112, -28, -45, 19), (-66, -26, -27, 17), (-36, -26, -10, 11), (-16, -25.5, 4, 4.5)],
    "subscapularis_upper": [
        (-112, 12, -6, 14), (-64, 13, -9, 16), (-40, 18, -7, 12.5), (-22, 23, -3, 7), (-10, 25, -2, 3),
    ],
    "subscapularis_lower": [
        (-112, 6, -50, 16), (-66, 6, -37, 16), (-40, 12, -26, 13), (-18, 22, -14, 7), (2, 24, -12, 2.5),
    ],
    "teres_minor": [
        (-72, -21, -68, 11), (-40, -25, -39, 13.5), (-16, -26, -22, 10), (0, -23.5, -11, 5), (13, -19, -5, 2.5),
    ],
    "teres_major": [(-84, -26, -92, 15), (-46, -20, -68, 12), (-14, -2, -56, 8), (8, 3, -52, 4)],
    "triceps_long": [(-24, -4, -26, 4), (-10, -18, -48, 10), (4, -28, -84, 14), (10, -32, -112, 15)],
    "triceps_lateral": [(12, -20, -34, 4), (16, -28, -62, 10), (20, -32, -112, 13)],
    "biceps_short": [(-13, 37, 8, 4), (-4, 32, -18, 7), (8, 18, -58, 9), (16, 12, -112, 13)],
    "coracobrachialis": [(-14, 35, 6, 3.5), (-8, 24, -24, 6), (8, 4, -78, 8)],
    "pectoralis_minor": [(-16, 36, 10, 4), (-34, 46, -14, 8), (-62, 56, -58, 10)],
    "pectoralis_major": [
        (-80, 88, -20, 14), (-40, 72, -26, 14), (-8, 50, -32, 10), (16, 22, -40, 6), (22, 8, -46, 2.5),
    ],
    "pectoralis_major_low": [(-80, 84, -62, 14), (-40, 68, -52, 13), (-4, 44, -42, 9), (18, 16, -48, 4)],
    "trapezius": [(-30, -6, 40, 2), (-46, -10, 38, 4), (-80, -12, 36, 6), (-112, -10, 38, 9)],
    "brachialis": [(22, -6, -66, 6), (26, -6, -112, 12)],
    "biceps_long": [(23.5, 5, -58, 4), (27, 3, -80, 9), (28, 2, -112, 12)],
}  # fmt: skip
DELTOID: dict[str, float] = {"front": -26.0, "back": -58.0, "foot": -92.0}  # how far it goes medially and down
DELTOID_LIES_ON = ("infraspinatus_upper", "infraspinatus_lower", "teres_minor", "triceps_lateral")
Path = list[tuple[float, float, float]]
VESSELS: list[tuple[Path, float]] = [
    ([(-100, 60, 4), (-58, 46, 2), (-36, 42, -8), (-18, 32, -30), (-4, 14, -66), (2, 8, -112)], 3.4),
    ([(-100, 66, -2), (-58, 51, -5), (-34, 46, -16), (-14, 34, -38), (-2, 18, -70), (4, 14, -112)], 4.2),
]
CHEST = ((-134.0, 50.0, -88.0), (88.0, 92.0, 112.0))  # middle and semi-axes
# what the skin is drawn over besides muscles: acromion, spine, clavicle, the hollows above and below it
FILLED: list[tuple[Path, list[float]]] = [
    ([(-6, 0, 33), (-22, 2, 37), (-34, 10, 38), (-45, 28, 36), (-51, 48, 32), (-50, 90, 26)], [5, 6, 7, 7, 7, 7]),
    ([(-112, -20, 10), (-60, -23, 18), (-32, -26, 25), (-12, -14, 33)], [7, 7, 7, 6]),
    ([(-24, 26, 8), (-52, 40, 8), (-80, 70, 0)], [16, 26, 30]),
    ([(-60, 4, 20), (-112, 10, 14)], [20, 30]),
]
SEPTUM_MM = 0.7
HULL_MM, HULL_REACH_MM = 4.0, 24.0  # grid of the skin's hull; gaps narrower than twice the reach are bridged


def _moved(line: Line, arm: np.ndarray) -> np.ndarray:
    """The line with the points beyond the joint carried along by the arm, those near it partly."""
    points = np.array(line, float)
    at = points[:, :3]
    share = np.clip((at[:, 0] + 14) / 22, 0, 1) * np.clip((40 - np.abs(at[:, 1])) / 12, 0, 1)
    points[:, :3] = at + share[:, None] * (at @ arm.T - at)
    return points


@dataclass(frozen=True)
class Frame:
    """World mm -> the scapula's frame: matrix (3, 3) @ w + shift (3,)."""

    matrix: np.ndarray
    shift: np.ndarray

    def __call__(self, world: np.ndarray) -> np.ndarray:
        """Points (3, X, Y, Z)."""
        turned = np.tensordot(self.matrix.astype(np.float32), world, axes=1)
        return turned + self.shift.astype(np.float32).reshape(3, 1, 1, 1)


@dataclass(frozen=True)
class Deep:
    """Distances (X, Y, Z), mm, on any grid: muscles, deltoid, what the deltoid lies on, and the chest wall."""

    muscles: Bellies
    deltoid: Field
    under: Field
    chest: Field


def _deep(q: np.ndarray, arm: np.ndarray, lines: Mapping[str, np.ndarray], s: Mapping[str, float]) -> Deep:
    """q: (3, X, Y, Z) points in the scapula's frame."""
    shaft = (arm @ SHAFT.T).T
    under = np.minimum(ellipsoid(q, (0, 0, 0), (28.5, 29, 30.5)), tube(q, shaft, np.array([22.5, 18, 15.5, 14, 14.0])))
    first = np.full(q.shape[1:], 1e3, np.float32)
    second = first.copy()
    for name, line in lines.items():
        d = tube(q, line[:, :3], line[:, 3])
        if name in DELTOID_LIES_ON:
            under = smooth_union(under, d - 1.5, 8.0)
        second = np.minimum(second, np.maximum(first, d))
        first = np.minimum(first, d)
    thick = s["muscle"] * np.clip(3.5 + (36 - q[2]) * 0.45, 3.0, 17.0) * np.clip((q[2] - DELTOID["foot"]) / 34, 0.05, 1)
    medial = np.where(q[1] > 0, DELTOID["front"], DELTOID["back"] + 26 - np.clip(-q[1], 0, 26))
    thick = thick * np.clip((q[0] - medial) / 22 + 0.3, 0.1, 1)  # thinner towards its origins
    edge = np.maximum(medial - q[0] - 0.5 * np.clip(np.abs(q[1]) - 22, 0, 40) * (q[1] > 0), q[2] - 37)
    return Deep(Bellies(first, second - first), np.maximum(under - thick, edge), under, ellipsoid(q, *CHEST))


def _lines(arm: np.ndarray, s: Mapping[str, float], rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Each muscle's line, a little displaced and thicker than in the next patient."""
    lines = {}
    for name, line in MUSCLES.items():
        points = _moved(line, arm)
        points[:, :3] += rng.normal(0, 1.2, 3)
        points[:, 3] *= 1.07 * s["muscle"] * rng.normal(1, 0.05)
        lines[name] = points
    return lines


def wrap(
    frame: Frame, bones: Bones, s: Mapping[str, float], rng: np.random.Generator, affine: np.ndarray
) -> np.ndarray:
    """Tissues (X, Y, Z) uint8 of all that is neither bone nor in the joint."""
    shape, mm = bones.humerus.shape, float(affine[0, 0])
    qc = coarse(bones.points, STEP)
    noise = [smooth_noise(rng, qc.shape[1:], mm * STEP, 25.0) for _ in range(2)]
    lines = _lines(bones.arm, s, rng)
    deep = _deep(qc, bones.arm, lines, s)
    streaks = np.abs(smooth_noise(rng, qc.shape[1:], mm * STEP, 16.0)) < 0.10  # fat between bundles
    deltoid = np.maximum(1.2 - deep.under, deep.deltoid - 0.6 * noise[1])
    muscles = Bellies(deep.muscles.nearest + 0.8 * noise[0], deep.muscles.septum).on(shape)

    fat = s["fat"] * (1 + 0.2 * noise[1]) + 2.0
    skin = upsample(_hull(frame, bones, lines, s, affine) - fat, shape)
    skin = np.minimum(skin, np.minimum(bones.any - 6.0, np.minimum(muscles.nearest, upsample(deltoid, shape)) - 4.0))
    tissues = np.zeros(shape, np.uint8)
    tissues[skin < 0] = TISSUES["skin"]
    tissues[skin < -SKIN_MM] = TISSUES["fat"]
    inside = skin < -MUSCLE_DEPTH_MM
    tissues[(muscles.nearest < 0) & (muscles.septum > SEPTUM_MM) & inside] = TISSUES["muscle"]
    shell = upsample(np.where(streaks & (deltoid > -6), 1.0, deltoid), shape)
    tissues[(shell < 0) & inside & (muscles.nearest > 0.8)] = TISSUES["muscle"]
    _chest(tissues, upsample(deep.chest, shape), bones.points, inside, s)
    lay_vessels(tissues, TISSUES, qc, VESSELS, rng)
    for path, radius, flat in ligaments(s):
        tissues[(upsample(tube(qc, path, np.full(len(path), radius), flat), shape) < 0) & inside] = TISSUES["capsule"]
    between = np.maximum(bones.acromion, bones.clavicle)
    tissues[between < s["ac_capsule"] + 2.6] = TISSUES["ac_capsule"]
    tissues[between < s["ac_capsule"] + 0.6] = TISSUES["ac_disc"]
    return tissues


def ligaments(s: Mapping[str, float]) -> list[tuple[np.ndarray, float, tuple[float, float, float]]]:
    """Path, radius (mm) and flatness of the coracoacromial and the two coracoclavicular ligaments."""
    up = s["acromion_height"]
    arch = np.array([(-15, 34, 14), (-11, 22, 25), (-7, 7, 32 + up)])
    conoid, trapezoid = np.array([(-39, 12, 22), (-42, 17, 36 + up)]), np.array([(-30, 26, 23), (-35, 14, 35 + up)])
    return [(arch, 5.0, (1.0, 1.6, 3.2)), (conoid, 2.6, (1, 1, 1)), (trapezoid, 2.8, (1, 1, 1))]


def _chest(tissues: np.ndarray, depth: Field, q: np.ndarray, inside: np.ndarray, s: Mapping[str, float]) -> None:
    """Serratus, ribs in their intercostal muscles, and the lung, which is as dark as air."""
    soft = inside & (depth < 9) & np.isin(tissues, TISSUES.of("fat", "muscle"))
    tissues[soft & (depth > 3.5)] = TISSUES["muscle"]
    tissues[soft & (depth <= 2.5) & (depth > -7)] = TISSUES["muscle"]
    x, y, z = q
    fall = (z + 0.35 * y + 0.2 * x + s["rib_phase"] * 26) % 26 - 13
    rib = np.hypot(fall / 6.2, (depth + 2.5) / 4.2) - 1
    tissues[soft & (rib < 0)] = TISSUES["rib_cortex"]
    tissues[soft & (rib < -0.28)] = TISSUES["rib"]
    tissues[(depth < -8.5) & inside] = TISSUES["air"]


def _hull(
    frame: Frame, bones: Bones, lines: Mapping[str, np.ndarray], s: Mapping[str, float], affine: np.ndarray
) -> Field:
    """Distance (mm) from the smooth hull of all that is deep to the fat, on every second voxel.

    Made on a grid that is wider than the anatomy, so that the hull does not bend at its faces.
    """
    wider = 12
    low = affine[:3, 3] - wider * HULL_MM
    counts = np.ceil(np.array(bones.humerus.shape) * affine[0, 0] / HULL_MM).astype(int) + 2 * wider + 1
    axes = [np.arange(n, dtype=np.float32) * HULL_MM + np.float32(a) for n, a in zip(counts, low, strict=True)]
    q = frame(np.stack(np.meshgrid(*axes, indexing="ij")))
    deep = _deep(q, bones.arm, lines, s)
    up = np.array([0, 0, s["acromion_height"]])
    filled = [tube(q, np.array(path, float) + up, np.array(radii, float)) for path, radii in FILLED]
    solid = np.minimum.reduce([deep.deltoid, deep.under - 2, deep.muscles.nearest, deep.chest - 9, *filled]) < 0
    grown = ndimage.distance_transform_edt(~solid, sampling=HULL_MM) < HULL_REACH_MM
    whole = solid | (ndimage.distance_transform_edt(grown, sampling=HULL_MM) > HULL_REACH_MM)
    outside, inside = (ndimage.distance_transform_edt(part, sampling=HULL_MM) for part in (~whole, whole))
    smooth = ndimage.gaussian_filter((outside - inside).astype(np.float32), 1.2)
    few = tuple(len(range(0, n, STEP)) for n in bones.humerus.shape)
    scale = np.full(3, affine[0, 0] * STEP / HULL_MM)
    hull: Field = ndimage.affine_transform(smooth, scale, np.full(3, float(wider)), few, order=1)
    return hull
