"""Thickness by plate: a layer's places, parted where radiologists part them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from orthodx.joints import Joint, Plate
from orthodx.measuring.sides import Sides, world
from orthodx.measuring.thickness import Thickness, thickness
from orthodx.studies.volume import Volume

STRIP_MM = 4.0  # so near the middle lies what tells where the notch begins
FEWEST = 20  # voxels there


def layer_thickness(
    volume: Volume, joint: Joint, plates: Sequence[Plate], sides: Sides
) -> Mapping[str, Thickness | None]:
    """Plate's name -> its places; None where it cannot be told which these are.

    volume: label map of the joint. plates: of one layer.
    """
    value = {name: v for v, name in joint.names.items()}
    layer, bone = (volume.data == value[name] for name in (plates[0].layer, plates[0].bone))
    whole = thickness(layer, bone, volume.spacing_mm)
    front = _notch_front(layer, volume, sides)
    at, covered = (world(index, volume) for index in (whole.places, whole.covered))
    out: dict[str, Thickness | None] = {}
    for plate in plates:
        inside = _inside(at, plate, sides, front)
        out[plate.name] = None if inside is None else whole.at(inside, _inside(covered, plate, sides, front))
    return out


def _inside(points: np.ndarray, plate: Plate, sides: Sides, front_y: float) -> np.ndarray | None:
    """Which world points (n, 3) are of a plate; None where that is unknown."""
    inside = np.ones(len(points), bool)
    if plate.side:
        if not sides.lateral:
            return None
        lateral = (points[:, 0] - sides.middle_x) * sides.lateral > 0
        inside &= lateral if plate.side == "lateral" else ~lateral
    if plate.notch:
        if np.isnan(front_y):
            return None
        before = points[:, 1] > front_y
        inside &= before if plate.notch == "before" else ~before
    return inside


def _notch_front(layer: np.ndarray, volume: Volume, sides: Sides) -> float:
    """World y of the front of the notch: in the middle strip the layer ends there. NaN where it is not there."""
    if np.isnan(sides.middle_x) or not layer.any():
        return float("nan")
    points = world(np.argwhere(layer), volume)
    strip = points[np.abs(points[:, 0] - sides.middle_x) < STRIP_MM, 1]
    return float(np.percentile(strip, 5)) if len(strip) >= FEWEST else float("nan")
