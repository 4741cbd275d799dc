"""The bones of a procedural right shoulder as signed-distance fields, mm.

The frame is the scapula's: x lateral along the supraspinatus, y forward across the blade, z up, the middle of the
humeral head at 0. Places and sizes were measured on the Z-Anatomy shoulder and agree with adult morphometry: head
radius 21-25 mm, neck-shaft angle 135 degrees (Boileau & Walch 1997), glenoid 37 x 27 mm (Checroun 2002), acromion
about 8 mm thick, 7-12 mm above the head (Bigliani 1986 for its three shapes).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from orthodx.synth.solids import Field, ellipsoid, smooth_intersection, smooth_union, subtract, tube

Shape = Mapping[str, float]
SHAFT = np.array([(5, -3, -9), (9.5, -5, -22), (13, -8.5, -40), (22.5, -16.5, -82), (28, -21.5, -108)], float)
SHAFT_MM = np.array([17.5, 14.5, 12.5, 11.5, 11.5])
GROOVE = np.array([(19.5, 12.5, 14), (23, 8.5, 7), (24, 6.2, 0), (23.5, 4.5, -18), (23, 2.5, -38)], float)
HEAD_AXIS = np.array((-0.83, -0.05, 0.55))  # where the articular surface looks
CORACOID = np.array([(-34, 4, 3), (-41, 14, 12), (-38, 24, 17), (-26, 32, 16), (-14, 36, 12)], float)
CREST = np.array([(-112, -18, 4), (-62, -22, 18), (-42, -25, 22), (-31, -25, 25)], float)
BORDER = np.array([(-27, 1, -22), (-47, -2.5, -45), (-68, -8, -84), (-80, -12, -110)], float)
CLAVICLE = np.array([(-22, 2, 36.5), (-34, 10, 38), (-45, 28, 38), (-51, 48, 33), (-50, 90, 27)], float)
GLENOID = (1.5, -2.0)  # middle of the face: y, z


def humerus(p: np.ndarray, s: Shape) -> Field:
    """Head, greater and lesser tuberosity, groove of the long biceps tendon, neck and shaft; p in its own frame."""
    r, greater, lesser = s["head_radius"], s["greater_tuberosity"], s["lesser_tuberosity"]
    bone = ellipsoid(p, (0, 0, 0), (r, r, r))
    bone = smooth_union(bone, ellipsoid(p, (13.5, -6, 4), (11.5 + greater, 15, 15.5)), 6.0)
    bone = smooth_union(bone, ellipsoid(p, (13, 12.5, 0), (8.5, 7.5 + lesser, 13)), 5.0)
    bone = smooth_union(bone, tube(p, SHAFT, SHAFT_MM + s["humerus_shaft"]), 9.0)
    return subtract(bone, tube(p, GROOVE + np.array([1.2, 0.7, 0.0]), np.array([3.0, 4.0, 4.2, 3.8, 3.0])), 2.0)


def rim(s: Shape, n: int = 40) -> np.ndarray:
    """(n + 1, 2) points y, z of the glenoid's rim, a pear, closed; the first is on top, then it runs forward."""
    a = np.linspace(0, 2 * np.pi, n + 1)
    narrow = 1 - 0.27 * np.clip(np.cos(a) + 0.15, 0, 1)
    y = GLENOID[0] + s["glenoid_width"] / 2 * np.sin(a) * narrow
    return np.stack([y, GLENOID[1] + s["glenoid_height"] / 2 * np.cos(a)], 1)


def socket(s: Shape) -> tuple[np.ndarray, float]:
    """Middle and radius of the sphere that the bony glenoid is a part of: flatter than the head."""
    flat, turn = s["glenoid_flatness"], np.deg2rad(s["glenoid_version"])
    middle = np.array([flat * np.cos(turn), flat * np.sin(turn), 0.0])
    return middle, s["head_radius"] + s["humeral_cartilage"] + s["glenoid_cartilage"] + s["joint_space"] + flat


def _plate(y: np.ndarray, z: np.ndarray, a: tuple[float, float], b: tuple[float, float], half: float) -> Field:
    """A plate along x, seen from the side a segment from `a` to `b` (y, z)."""
    ab = np.subtract(b, a).astype(np.float32)
    t = np.clip(((y - a[0]) * ab[0] + (z - a[1]) * ab[1]) / np.float32(ab @ ab), 0, 1)
    return np.hypot(y - a[0] - t * ab[0], z - a[1] - t * ab[1]) - np.float32(half)


def acromion(p: np.ndarray, s: Shape) -> Field:
    """A slab from the spine's end forward over the head; its front third may bend down."""
    lift, hook = s["acromion_height"], s["acromion_hook"]
    path = np.array([(-32, -25, 24.5), (-20, -21, 30), (-10, -10, 33), (-7, -3, 33.5), (-5.5, 3, 33.5)])
    path[1:, 2] += lift
    path[3:, 2] += s["acromion_slope"] - np.array([0.25, 1.0]) * hook
    half = np.array([8.5, 10.5, 12.0, 11.0, 8.0]) + s["acromion_width"]
    return tube(p, path, half, (1.0, 1.0, 2.15)) / np.float32(1.6)


def scapula(p: np.ndarray, s: Shape) -> Field:
    """Glenoid, neck, coracoid, blade, spine; without the acromion."""
    x, y, z = p
    t = np.clip((-22 - x) / 24, 0, 1)
    wide = s["glenoid_width"] / 2 * (1 - 0.27 * np.clip((z - 1) / 17, 0, 1))
    a, b = (
        wide * (1 - t) + 4.5 * t - 2.5 * np.sin(np.pi * t),
        (s["glenoid_height"] / 2) * (1 - 0.15 * np.sin(np.pi * t)),
    )
    vault = np.sqrt(((y - GLENOID[0] + 1.5 * t) / a) ** 2 + ((z - GLENOID[1] + 6 * t) / b) ** 2) - 1
    vault = smooth_intersection(vault * 9, np.maximum(x + 14, -48 - x), 2.0)
    bone = smooth_union(vault, tube(p, CORACOID, np.array([9.0, 10.5, 9.0, 7.0, 5.0]) + s["coracoid"]), 6.0)
    border = np.interp(z, BORDER[::-1, 2], BORDER[::-1, 0]).astype(np.float32)
    blade = np.maximum(_plate(y, z, (-1, -3), (-12, -105), 1.7), x - border)
    upper = np.maximum(_plate(y, z, (-1, -4), (16, 9), 1.6), x + 46)
    spine = np.maximum(_plate(y, z, (-2, -4), (-23, 20), 2.2), x + 44)
    for part in (tube(p, BORDER, np.array([6.0, 4.6, 4.2, 4.2])), blade, upper, spine, tube(p, CREST, np.full(4, 5.2))):
        bone = smooth_union(bone, part, 4.0)
    middle, radius = socket(s)
    return subtract(bone, ellipsoid(p, middle, (radius,) * 3), 1.2)


def clavicle(p: np.ndarray, s: Shape) -> Field:
    """Its flat lateral end and the bow forward."""
    path = CLAVICLE + np.array([0, 0, s["acromion_height"]])
    return tube(p, path, np.array([8.5, 9.0, 8.0, 7.0, 7.0]) + s["clavicle"], (1.0, 1.0, 1.3)) / np.float32(1.15)
