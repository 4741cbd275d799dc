"""A procedural knee lying otherwise: each bone moves as a rigid body, with all that is grown onto it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from orthodx.synth.solids import move, rotation

FLEXION_SD, ROTATION_SD, TILT_SD = 4.0, 2.0, 1.5  # degrees, cut at 2 sd


@dataclass(frozen=True, kw_only=True)
class Posture:
    """How else a knee lies than when it was first seen: more flexion, rotation of the shank, tilt of the patella."""

    flexion_deg: float
    rotation_deg: float
    tilt_deg: float

    def femur(self, points: np.ndarray, pivot: np.ndarray) -> np.ndarray:
        """Where points (3, X, Y, Z) of the femur lay at first, mm; the patella goes with it."""
        return move(points, rotation(0, -self.flexion_deg / 2), pivot)

    def tibia(self, points: np.ndarray, pivot: np.ndarray) -> np.ndarray:
        """Where points (3, X, Y, Z) of tibia and fibula lay at first, mm."""
        return move(points, rotation(0, self.flexion_deg / 2) @ rotation(2, self.rotation_deg), pivot)


def random_posture(rng: np.random.Generator, flexion_deg: float) -> Posture:
    """Another posture of a knee that was bent by `flexion_deg`; it never bends backwards."""
    flexion, turn, tilt = np.clip(rng.standard_normal(3), -2, 2) * (FLEXION_SD, ROTATION_SD, TILT_SD)
    return Posture(flexion_deg=max(float(flexion), -flexion_deg), rotation_deg=float(turn), tilt_deg=float(tilt))


def carried(field: np.ndarray, points: np.ndarray, low: np.ndarray, mm: float) -> np.ndarray:
    """Values (..., X, Y, Z) of a field at points (3, X, Y, Z), mm; its grid begins at `low` (3,)."""
    index = (points - np.asarray(low, np.float32).reshape(3, 1, 1, 1)) / np.float32(mm)
    flat = field.reshape(-1, *field.shape[-3:])
    seen = [ndimage.map_coordinates(one, index, order=1, mode="nearest", prefilter=False) for one in flat]
    return np.stack(seen).reshape(*field.shape[:-3], *points.shape[1:])
