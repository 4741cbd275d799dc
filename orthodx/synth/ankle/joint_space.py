"""What lies in the joints of an ankle: cartilage and fluid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from orthodx.synth.ankle.bones import DOME_AXIS, around_dome
from orthodx.synth.solids import Field, fade, smooth_noise

Masks = dict[str, np.ndarray]


@dataclass(frozen=True)
class Bones:
    """Distance fields (X, Y, Z) mm of the bones, and the points (3, X, Y, Z) of the leg and of the talus's frame.

    tarsus: to the nearest bone of the foot in front; tarsus_next: to the next but one.
    """

    leg_points: np.ndarray
    foot_points: np.ndarray
    tibia: Field
    fibula: Field
    talus: Field
    calcaneus: Field
    tarsus: Field
    tarsus_next: Field

    def crop(self, box: tuple[slice, ...]) -> Bones:
        """The same bones seen in a box of the grid."""
        every = (slice(None), *box)
        fields = (self.tibia, self.fibula, self.talus, self.calcaneus, self.tarsus, self.tarsus_next)
        return Bones(self.leg_points[every], self.foot_points[every], *(field[box] for field in fields))

    @property
    def by_name(self) -> dict[str, Field]:
        """Structure -> distance to it."""
        return {
            "tibia": self.tibia,
            "fibula": self.fibula,
            "talus": self.talus,
            "calcaneus": self.calcaneus,
            "other_foot_bones": self.tarsus,
        }

    @property
    def any(self) -> Field:
        """Distance to the nearest bone, mm."""
        return np.minimum.reduce(list(self.by_name.values()))


def gap_of(s: Mapping[str, float]) -> float:
    """From bone to bone in the joints of the talus, mm: two layers of cartilage and what is between them."""
    return s["talar_cartilage"] + s["joint_cartilage"] + s["joint_space"]


def articulate(bones: Bones, s: Mapping[str, float], rng: np.random.Generator, mm: float) -> Masks:
    """Masks (X, Y, Z) bool of cartilage and fluid."""
    shape, gap = bones.talus.shape, gap_of(s)
    rough = 1 + 0.12 * smooth_noise(rng, shape, mm, 9.0)
    fx, fy, fz = bones.foot_points
    free = bones.any > 0

    turn = np.rad2deg(np.arctan2(fy - DOME_AXIS[1], fz - DOME_AXIS[2]))  # 0 = top of the dome, 90 = front
    dome = fade(2.5 - np.abs(around_dome(bones.foot_points) - s["dome_radius"]), 0, 1)
    dome = dome * fade(62 - np.abs(turn + 2), 0, 6) * fade(20.0 - 0.4 * (fx + 3) - fy, 0, 2)
    faced = [fade(gap + 2.6 - field, 0, 1.2) for field in (bones.tibia, bones.fibula, bones.calcaneus, bones.tarsus)]
    cover = np.maximum.reduce([dome, *faced])
    thick = s["talar_cartilage"] * rough * cover
    talar = free & (bones.talus < thick) & (thick > 0.45)

    near_talus = fade(gap + 2.2 - bones.talus, 0, 1.2)
    thin = s["joint_cartilage"] * rough
    others = np.zeros(shape, bool)
    for field, facing in (
        (bones.tibia, near_talus),
        (bones.fibula, near_talus),
        (bones.calcaneus, np.maximum(near_talus, fade(gap + 1.2 - bones.tarsus, 0, 1))),
        (bones.tarsus, np.maximum(near_talus, fade(gap + 1.2 - bones.calcaneus, 0, 1))),
    ):
        others |= (field < thin * facing) & (facing > 0.4)
    others |= (bones.tarsus < 1.1) & (bones.tarsus_next < 1.6)
    others &= free & ~talar

    film = s["fluid_film"] * np.clip(rough, 0.4, 1.8)
    bound = np.minimum.reduce([bones.tibia, bones.fibula, bones.calcaneus, bones.tarsus])
    fluid = (bones.talus < thick + film) & (cover > 0.5) & (bones.talus + bound < gap + 1.6)
    front = (np.abs(fx + 4) < 10) & (np.abs(fy - 21) < 4) & (bones.talus < 1.0 + s["recess"]) & (fz > 8)
    back = (np.abs(fx + 1) < 8) & (fy < -9) & (fz > 4) & (fz < 16) & (bones.talus < 0.6 + s["recess"])
    fluid |= (front | back) & (bones.tibia > 0.8)
    fluid &= free & ~talar & ~others
    return {"talar_cartilage": talar, "joint_cartilage": others, "fluid": fluid}
