"""Which way is lateral, and where the middle of a joint lies: by anatomy in the world, never by array axes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from orthodx.joints import Joint, SidedPair
from orthodx.studies.laterality import LEFT, RIGHT, side_of
from orthodx.studies.volume import Volume

UPPER_END_MM = 15.0
FEWEST = 100  # voxels of a bone that tell anything
APART_MM = 10.0  # so far from the middle a lateral bone must lie to speak against the manifest
LATERAL_X = {RIGHT: 1.0, LEFT: -1.0}


@dataclass(frozen=True, eq=False)
class UpperEnd:
    """The upper end of a pair's bone: what lies within `UPPER_END_MM` of its top.

    index: (n, 3) voxels. low, high: its ends in world x, y, z, mm (3,). cut: (3,) bool, it reaches the image's edge at
    an end of the array axis nearest to x, y, z.
    """

    index: np.ndarray
    low: np.ndarray
    high: np.ndarray
    cut: np.ndarray

    @property
    def middle(self) -> np.ndarray:
        """Halfway between its ends, mm (3,)."""
        return (self.low + self.high) / 2


@dataclass(frozen=True)
class Sides:
    """Which way is lateral in world x, +1 or -1, 0 where that is unknown, and world x of the middle, NaN as well.

    note: why something is unknown.
    """

    lateral: float
    middle_x: float
    note: str = ""


NO_SIDES = Sides(0.0, float("nan"))


def upper_end(volume: Volume, value: int) -> UpperEnd | None:
    """Of the bone with this value; None where too little of it is there. Ends leave 1 % out on each side."""
    index = np.argwhere(volume.data == value)
    if len(index) < FEWEST:
        return None
    z = index @ volume.affine[2, :3]
    index = index[z > np.percentile(z, 99) - UPPER_END_MM]
    low, high = np.percentile(world(index, volume), [1, 99], axis=0)
    edge = ((index == 0) | (index == np.array(volume.shape) - 1)).any(0)
    return UpperEnd(index, low, high, edge[axes_of(volume.affine)])


def axes_of(affine: np.ndarray) -> np.ndarray:
    """Array axis nearest to world x, y, z, (3,). affine: (4, 4) voxel index -> RAS+ mm."""
    return np.abs(affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)).argmax(1)


def sides_of(volume: Volume, joint: Joint, laterality: str = "") -> Sides:
    """The sides of a label map. laterality: "right" or "left" as the manifest says; else the lateral bone tells."""
    if not joint.pairs:
        return NO_SIDES
    pair, value = joint.pairs[0], {name: v for v, name in joint.names.items()}
    end = upper_end(volume, value[pair.bone])
    bone = pair.bone.replace("_", " ")
    if end is None or end.high[0] - end.low[0] < pair.whole_mm or end.cut[0]:
        return Sides(0.0, float("nan"), f"sides unknown: the upper end of the {bone} is not whole")
    middle = float(end.middle[0])
    told, shown = LATERAL_X.get(side_of(laterality), 0.0), _shown(volume, value[pair.lateral_bone], middle)
    if told and shown and told != shown:
        which = f"the {pair.lateral_bone.replace('_', ' ')} is not on the lateral side of a {laterality} {joint.name}"
        return Sides(0.0, middle, f"sides unknown: {which}")
    if not told and not shown:
        return Sides(0.0, middle, f"sides unknown: no laterality, no {pair.lateral_bone.replace('_', ' ')}")
    return Sides(told or shown, middle)


def _shown(volume: Volume, value: int, middle_x: float) -> float:
    """On which side the lateral bone lies; 0 where it is not there, or near the middle."""
    index = np.argwhere(volume.data == value)
    if len(index) < FEWEST:
        return 0.0
    off = float(world(index, volume)[:, 0].mean()) - middle_x
    return float(np.sign(off)) if abs(off) > APART_MM else 0.0


def members(pair: SidedPair) -> dict[str, str]:
    """Structure -> its side."""
    return {pair.medial: "medial", pair.lateral: "lateral"}


def world(index: np.ndarray, volume: Volume) -> np.ndarray:
    """Voxel index (n, 3) -> RAS+ mm (n, 3)."""
    return index @ volume.affine[:3, :3].T + volume.affine[:3, 3]
