"""Where things are in a shoulder of which only the tissues are known: an anatomy, a bank's, a map's."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from orthodx.synth.lesion_canvas import Canvas, Window
from orthodx.synth.shoulder.procedural import SCAPULAR_PLANE_DEG
from orthodx.synth.solids import Field


@dataclass(frozen=True)
class Frame:
    """The scapula's axes and the humeral head. lateral, front, up: unit world vectors; middle: of the head, mm."""

    lateral: np.ndarray
    front: np.ndarray
    middle: np.ndarray
    radius: float

    def __call__(self, points: np.ndarray) -> tuple[Field, Field, Field]:
        """Lateral, forward and up from the head's middle, mm, of points (3, ...)."""
        d = [points[i] - np.float32(self.middle[i]) for i in range(3)]
        flat = [d[0] * np.float32(v[0]) + d[1] * np.float32(v[1]) for v in (self.lateral, self.front)]
        return flat[0], flat[1], d[2]

    def at(self, lateral: float, front: float, up: float) -> np.ndarray:
        """The world point so many mm from the head's middle."""
        return self.middle + lateral * self.lateral + front * self.front + np.array([0, 0, up])


def sphere_through(points: np.ndarray) -> tuple[np.ndarray, float]:
    """Middle (3,) and radius of the sphere nearest to points (N, 3), mm, by least squares."""
    solved = np.linalg.lstsq(np.c_[2 * points, np.ones(len(points))], (points**2).sum(1), rcond=None)[0]
    return solved[:3], float(np.sqrt(solved[3] + (solved[:3] ** 2).sum()))


def frame_of(canvas: Canvas) -> Frame | None:
    """From the side and a sphere through the bone under the head's cartilage; None without a head."""
    window = canvas.around("glenohumeral_cartilage", 3.0)
    if window is None:
        return None
    under = window.of("humerus_cortex") & ndimage.binary_dilation(window.of("glenohumeral_cartilage"))
    points = window.points[:, under].T.astype(float)
    if len(points) < 30:
        return None
    middle, radius = sphere_through(points)
    a = np.deg2rad(SCAPULAR_PLANE_DEG)
    lateral = np.array([np.cos(a) * canvas.lateral, np.sin(a), 0.0])
    front = np.array([-np.sin(a) * canvas.lateral, np.cos(a), 0.0])
    return Frame(lateral, front, middle, radius)


@dataclass(frozen=True)
class Course:
    """A cuff tendon's own coordinates, (X, Y, Z) each. along: mm from the foot; across: -1 .. 1 from back or below to
    front or above; depth: 0 at the joint .. 1 at the bursa."""

    along: Field
    across: Field
    depth: Field
    fibres: np.ndarray


def course_of(window: Window, frame: Frame, name: str) -> Course:
    """Measured on the sphere of the head, from the fibres' most lateral end."""
    fibres = window.of(name)
    x, y, z = frame(window.points)
    r = np.sqrt(x * x + y * y + z * z) + 1e-3
    unit = np.stack([x, y, z]) / r
    lateral = x[fibres]
    foot = unit[:, fibres][:, lateral > np.percentile(lateral, 93)].mean(1)
    on_head = fibres & (np.abs(r - frame.radius) < 9)
    mid = unit[:, on_head].mean(1)
    foot, mid = foot / np.linalg.norm(foot), mid / np.linalg.norm(mid)
    cosine = np.tensordot(foot.astype(np.float32), unit, axes=1)
    along = np.arccos(np.clip(cosine, -1, 1)) * np.float32(frame.radius)
    aside = np.cross(foot, mid)
    aside = aside / np.linalg.norm(aside)
    if aside[1] < -0.3 or (abs(aside[1]) <= 0.3 and aside[2] < 0):
        aside = -aside
    across = np.tensordot(aside.astype(np.float32), unit, axes=1)
    low, high = np.percentile(across[on_head], (3, 97))
    across = (across - (low + high) / 2) / (high - low) * 2
    joint = window.of("humerus", "humerus_cortex", "humerus_physis", "glenohumeral_cartilage")
    inner, outer = window.distance(joint), window.distance(~(joint | fibres | window.of("fluid", "capsule")))
    return Course(along, across, inner / (inner + outer + 1e-3), fibres)
