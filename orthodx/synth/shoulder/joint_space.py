"""What lies round the head of a procedural shoulder: cartilage, labrum, rotator cuff, long biceps, bursa, fluid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from orthodx.synth.shoulder.bones import CORACOID, GROOVE, HEAD_AXIS, rim, socket
from orthodx.synth.solids import Field, fade, smooth_noise, tube

Masks = dict[str, np.ndarray]
SPHERE_MM = 25.0  # tendons are laid out on a sphere of about the head's size


@dataclass(frozen=True)
class Bones:
    """Distance fields (X, Y, Z) mm, points (3, X, Y, Z) in the frames of scapula and humerus.

    arm: (3, 3), turns the humerus's own frame into the scapula's.
    """

    points: np.ndarray
    humerus_points: np.ndarray
    arm: np.ndarray
    humerus: Field
    scapula: Field
    acromion: Field
    clavicle: Field

    def crop(self, box: tuple[slice, ...]) -> Bones:
        """The same bones seen in a box of the grid."""
        every = (slice(None), *box)
        fields = (self.humerus[box], self.scapula[box], self.acromion[box], self.clavicle[box])
        return Bones(self.points[every], self.humerus_points[every], self.arm, *fields)

    @property
    def any(self) -> Field:
        """Distance to the nearest bone, mm."""
        return np.minimum(np.minimum(self.humerus, self.scapula), np.minimum(self.acromion, self.clavicle))


@dataclass(frozen=True, kw_only=True)
class Cuff:
    """A tendon of the rotator cuff. Points in mm; the first ones lie in the scapula's frame, the foot in the humerus's.

    belly: where it leaves its muscle, along a line. mid: over the head. foot: its insertion. half: of its width over
    the head and at the foot. thick: parameter with its thickness.
    """

    belly: tuple[tuple[float, float, float], ...]
    mid: tuple[float, float, float]
    foot: tuple[float, float, float]
    half: tuple[float, float]
    thick: str


CUFF: dict[str, Cuff] = {
    "supraspinatus_tendon": Cuff(
        belly=((-46, -1, 17.5), (-30, -2, 22.5), (-13, -2, 26.5)), mid=(4, -2, 27), foot=(22.5, -2.5, 14),
        half=(9.5, 11.5), thick="supraspinatus",
    ),
    "infraspinatus_tendon": Cuff(
        belly=((-44, -27, -2), (-26, -27, 6), (-11, -22.5, 11)), mid=(4, -19.5, 17), foot=(20.5, -14, 8),
        half=(9.0, 10.0), thick="infraspinatus",
    ),
    "subscapularis_tendon": Cuff(
        belly=((-46, 17, -8), (-28, 22, -5), (-11, 24.5, -3)), mid=(4, 25.5, -2), foot=(14.5, 20.5, 0),
        half=(13.0, 11.5), thick="subscapularis",
    ),
    "teres_minor_tendon": Cuff(
        belly=((-18, -25, -22), (-12, -24, -17), (-4, -22.5, -12)), mid=(6, -21, -8), foot=(19, -14.5, -6),
        half=(6.5, 6.0), thick="infraspinatus",
    ),
}  # fmt: skip


def _unit(v: np.ndarray) -> np.ndarray:
    return v / (np.sqrt((v**2).sum(0)) + 1e-4)


def articulate(bones: Bones, normal: np.ndarray, s: Mapping[str, float], rng: np.random.Generator, mm: float) -> Masks:
    """Masks (X, Y, Z) bool of every structure in and round the joint. normal: outward of the scapula."""
    rough = 1 + 0.12 * smooth_noise(rng, bones.humerus.shape, mm, 12.0)
    q, p, h = bones.points, bones.humerus_points, bones.humerus
    radial = np.sqrt((p**2).sum(0)) + 1e-4
    axis = HEAD_AXIS / np.linalg.norm(HEAD_AXIS)
    covered = fade(sum(p[i] * np.float32(axis[i]) for i in range(3)) / radial, 0.12, 0.3) * (radial < 30)
    thick_h = s["humeral_cartilage"] * rough * covered
    humeral = (h >= 0) & (h < thick_h) & (thick_h > 0.4)

    pear = _inside_rim(q, s)
    facing = (pear < 0.97) & (normal[0] > 0.5) & (q[0] > -32) & (q[0] < -12)
    thick_g = s["glenoid_cartilage"] * rough * facing * (0.75 + 0.45 * pear)
    glenoid = (bones.scapula >= 0) & (bones.scapula < thick_g) & (thick_g > 0.5) & (h > 0) & ~humeral
    out: Masks = {"glenohumeral_cartilage": _whole(humeral) | _whole(glenoid)}
    free = ~out["glenohumeral_cartilage"] & (bones.any > 0)

    middle, radius = socket(s)
    edge = rim(s)
    ring = np.column_stack([middle[0] - np.sqrt(radius**2 - ((edge - middle[1:]) ** 2).sum(1)), edge])
    clear = h - np.maximum(thick_h, 0.2)
    off_head = radial - (s["head_radius"] + s["humeral_cartilage"] + 0.3)
    labrum = tube(q, ring + np.array([0.5, 0, 0]), s["labrum"] * (1 + 0.15 * np.cos(np.linspace(0, 2 * np.pi, 41))))
    out["labrum"] = (labrum < 0) & free & (off_head > 0) & (clear > 0.2)
    free &= ~out["labrum"]

    biceps = long_biceps(bones, s)
    out["biceps_long_head"] = (biceps < 0) & free & (clear > 0.3)
    tendons = cuff(bones, clear, s, rough)
    nearest = np.minimum.reduce([side for _, side in tendons.values()])
    for name, (mask, side) in tendons.items():
        out[name] = mask & (side <= nearest) & free & ~out["biceps_long_head"]
    taken = np.logical_or.reduce([out[n] for n in (*tendons, "biceps_long_head")])
    free &= ~taken

    u = _unit(q)
    film = s["fluid_film"] * np.clip(rough, 0.4, 1.8)
    near = (clear < film) & (covered > 0.3) & (off_head < 2)
    sheath = (biceps < 0.9) & (rough > 1.12 - 0.1 * s["fluid_film"]) & (p[2] < 6) & (p[2] > -24)
    pouch = tube(q, np.array([(-17, -9, -20), (-13, 0, -26), (-15, 10, -19)]), np.array([1.0, 1.5, 1.0]) * s["recess"])
    out["fluid"] = (near | sheath | ((pouch < 0) & (clear > 0.2))) & free
    below = (u[2] < 0.25) & (q[0] > -26) & (q[0] < 8) & (radial < 40)
    lined = (np.abs(clear - 3.0) < 0.5) & below & (p[2] > -26)
    out["capsule"] = (lined | ((np.abs(pouch - 0.4) < 0.45) & (clear > 0))) & free & ~out["fluid"]

    for name in ("labrum", "biceps_long_head", *tendons):
        out[name] = _whole(out[name])
    outer = s["supraspinatus"] + 0.9
    dome = (u[0] * 0.62 - u[1] * 0.1 + u[2] * 0.78 > 0.45) & (q[0] > -22) & (q[2] > -14)
    out["bursa"] = dome & (np.abs(clear - outer - 0.6) < s["bursa_fat"] / 2) & free & (bones.acromion > 0.4)
    return out


def _whole(mask: np.ndarray) -> np.ndarray:
    """The largest piece of it: thin layers leave crumbs at their edges."""
    pieces, n = ndimage.label(mask)
    if n < 2:
        return mask
    return pieces == 1 + int(np.argmax(np.bincount(pieces.ravel())[1:]))


def _inside_rim(q: np.ndarray, s: Mapping[str, float]) -> Field:
    """0 in the middle of the glenoid's face .. 1 on its rim, seen from lateral."""
    edge = rim(s)[:-1]
    low, high = edge.min(0), edge.max(0)
    centre = (low + high) / 2
    angle = np.arctan2(q[1] - np.float32(centre[0]), q[2] - np.float32(centre[1]))
    around = np.arctan2(edge[:, 0] - centre[0], edge[:, 1] - centre[1])
    order = np.argsort(around)
    reach = np.hypot(*(edge - centre).T)[order]
    wide = np.interp(angle, around[order], reach, period=2 * np.pi).astype(np.float32)
    return np.hypot(q[1] - np.float32(centre[0]), q[2] - np.float32(centre[1])) / wide


def _on_sphere(points: np.ndarray, radius: float = SPHERE_MM) -> np.ndarray:
    return points / np.linalg.norm(points, axis=1, keepdims=True) * radius


def _arc(*points: np.ndarray) -> np.ndarray:
    """(9, 3) points on the sphere through some of it."""
    t = np.linspace(0, len(points) - 1, 9)
    stack = np.array(points, float)
    return _on_sphere(np.stack([np.interp(t, np.arange(len(points)), stack[:, i]) for i in range(3)], 1))


def feet(arm: np.ndarray) -> dict[str, np.ndarray]:
    """Where each tendon of the cuff inserts, in the scapula's frame, for an arm turned so."""
    return {name: arm @ np.array(tendon.foot) for name, tendon in CUFF.items()}


def cuff(
    bones: Bones, clear: Field, s: Mapping[str, float], rough: np.ndarray
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Mask of each tendon, and how far to its side each voxel lies: -1 in its middle, 0 at its edge.

    clear: distance from the head and its cartilage. Over the head a tendon is a layer on it; where it leaves the head
    medially it runs straight into its muscle.
    """
    q = bones.points
    on = _unit(q) * np.float32(SPHERE_MM)
    out = {}
    for name, tendon in CUFF.items():
        medial, foot = np.array(tendon.belly[-1]), bones.arm @ np.array(tendon.foot)
        # a turned arm takes the tendon's middle half way with it
        mid = (np.array(tendon.mid) + bones.arm @ np.array(tendon.mid)) / 2
        path = _arc(medial, mid, foot)
        half = np.interp(np.linspace(0, 1, 9), (0, 0.5, 1), (tendon.half[0] * 0.9, *tendon.half))
        side = tube(on, path, half) / np.float32(tendon.half[0])
        end, start = path[-1] - path[-2], path[1] - path[0]
        ahead = sum((on[i] - path[-1][i]) * np.float32(end[i] / np.linalg.norm(end)) for i in range(3))
        behind = sum((on[i] - path[0][i]) * np.float32(start[i] / np.linalg.norm(start)) for i in range(3))
        round_edge = np.sqrt(np.clip(1 - np.clip(1 + side, 0, 1) ** 4, 0.05, 1))
        # the foot is a wedge on the tuberosity
        thick = s[tendon.thick] * (0.8 + 0.2 * rough) * round_edge * np.clip(-ahead / 5.0, 0.0, 1.0) ** 0.6
        low = np.where(ahead > -10, -0.2, 0.25)
        layer = (side < 0) & (ahead < 0) & (behind > -1.5) & (clear > low) & (clear < thick)
        line = np.array(tendon.belly)
        across = np.array((1.0, 3.2, 3.2))
        across[int(np.argmax(np.abs((medial / np.linalg.norm(medial))[1:]))) + 1] = 1.0
        scale = (1.0, *(1.0 if a == 1.0 else 1 / 3.2 for a in across[1:]))
        width = np.array([0.4, 1.5, s[tendon.thick] / 2])
        inside = tube(q, line, width, scale) < 0
        out[name] = (layer | (inside & (q[0] < medial[0] + 3) & (clear > 0.4)), side)
    return out


def biceps_path(arm: np.ndarray, s: Mapping[str, float]) -> np.ndarray:
    """(n, 3) points of the long biceps tendon in the scapula's frame: tubercle, over the head, groove, arm."""
    groove = (arm @ GROOVE.T).T
    top = s["head_radius"] + s["humeral_cartilage"] + 2.6
    start = np.array([-(top - 4.5), 2.5, GLENOID_TOP])
    over = _on_sphere(np.array([(-9, 7, 23.5), (3, 10.5, 22), (12, 11.5, 18)]), top)
    entry = _on_sphere(groove[:1], top + 0.3)
    belly = (arm @ np.array([(23.5, 1, -62), (27, -2, -110)]).T).T
    return np.vstack([start, over, entry, groove[1:], belly])


GLENOID_TOP = 17.5


def long_biceps(bones: Bones, s: Mapping[str, float]) -> Field:
    """Distance (X, Y, Z) from the long biceps tendon's surface, mm."""
    path = biceps_path(bones.arm, s)
    radii = s["biceps"] * np.interp(np.arange(len(path)), (0, 3, 5, len(path) - 1), (1.15, 1.0, 0.95, 1.1))
    return tube(bones.points, path, radii)


def coracoid_tip() -> np.ndarray:
    """Where the short biceps, the coracobrachialis and two ligaments begin."""
    return CORACOID[-1]
