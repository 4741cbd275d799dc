"""How foot and leg stand to each other: points between the frames in which bones and soft tissue are given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from orthodx.synth.ankle.bones import DOME_AXIS
from orthodx.synth.solids import move, rotation

Frame = Literal["leg", "foot", "heel"]
SUBTALAR = (0.0, 4.0, -6.0)  # a point of the axis about which heel and forefoot tilt under the talus
Path = Sequence[tuple[Frame, float, float, float]]  # frame and point, mm


@dataclass(frozen=True)
class Posture:
    """Plantar flexion and inversion, degrees, of a right ankle.

    Frames: "leg" is the world; "foot" that of the talus, which flexes about the dome's axis; "heel" that of calcaneus
    and forefoot, which besides tilts under the talus. At 0 and 0 they are one.
    """

    plantar_flexion: float
    inversion: float

    @classmethod
    def of(cls, shape: Mapping[str, float]) -> Posture:
        """Of a shape's parameters."""
        return cls(shape["plantar_flexion"], shape["inversion"])

    @property
    def _to_foot(self) -> np.ndarray:
        return rotation(0, self.plantar_flexion)

    @property
    def _to_heel(self) -> np.ndarray:
        return rotation(1, self.inversion)

    def foot(self, p: np.ndarray) -> np.ndarray:
        """Points (3, X, Y, Z) of the leg in the frame of the talus."""
        return move(p, self._to_foot, DOME_AXIS)

    def heel(self, p: np.ndarray) -> np.ndarray:
        """Points (3, X, Y, Z) of the leg in the frame of the calcaneus."""
        return move(self.foot(p), self._to_heel, SUBTALAR)

    def in_leg(self, path: Path) -> np.ndarray:
        """Points (N, 3), each given in a frame of its own, in the frame of the leg."""
        return np.array([self._back(frame, np.array(point, float)) for frame, *point in path])

    def _back(self, frame: Frame, point: np.ndarray) -> np.ndarray:
        if frame == "heel":
            point = self._to_heel.T @ (point - SUBTALAR) + SUBTALAR
        return point if frame == "leg" else self._to_foot.T @ (point - DOME_AXIS) + DOME_AXIS
