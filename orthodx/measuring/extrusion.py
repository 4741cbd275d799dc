"""How far a meniscus stands out beyond the edge of the plateau, in the coronal plane."""

from __future__ import annotations

import numpy as np

from orthodx.joints import Joint
from orthodx.measuring.sides import Sides, axes_of, members, upper_end
from orthodx.studies.volume import Volume

FINE_MM = 1.25  # coarser than this from side to side, or up and down, no edge is seen
BAND = 0.1  # of the plateau's depth: so far before and behind its middle


def shows_extrusion(affine: np.ndarray) -> bool:
    """Whether voxels are fine in the coronal plane. affine: (4, 4) voxel index -> RAS+ mm."""
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    nearest = axes_of(affine)
    return bool(len(set(nearest)) == 3 and (spacing[nearest[[0, 2]]] <= FINE_MM).all())


def extrusion_mm(volume: Volume, joint: Joint, sides: Sides) -> dict[str, float]:
    """Structure of the joint's pair -> mm beyond the edge of its bone's upper end, less than 0 within it.

    Mean over the slices in the middle of the plateau, edge to edge, along the image's own axis from side to side. What
    cannot be measured is left out. volume: label map.
    """
    out: dict[str, float] = {}
    value = {name: v for v, name in joint.names.items()}
    for pair in joint.pairs:
        end = upper_end(volume, value[pair.bone])
        if end is None or end.cut[1] or not sides.lateral or not shows_extrusion(volume.affine):
            continue
        spacing = volume.spacing_mm
        across, deep, _ = axes_of(volume.affine)
        rightwards = float(np.sign(volume.affine[0, across]))
        depth = float(end.high[1] - end.low[1])
        at = np.linalg.inv(volume.affine) @ [*end.middle, 1]
        off = np.abs(end.index[:, deep] - at[deep]) * spacing[deep]  # of a slice, from the middle of the plateau
        band = end.index[off <= max(BAND * depth, off.min() + 0.01)]
        for name, side in members(pair).items():
            outward = sides.lateral * rightwards * (1 if side == "lateral" else -1)
            index = np.argwhere(volume.data == value[name])
            beyond = [
                (_outermost(index, deep, i, across, outward) - _outermost(band, deep, i, across, outward))
                * spacing[across]
                for i in np.unique(band[:, deep])
                if (index[:, deep] == i).any()
            ]
            if beyond:
                out[name] = float(np.mean(beyond))
    return out


def _outermost(index: np.ndarray, deep: int, i: int, across: int, outward: float) -> float:
    """How far out voxels of one slice lie, in voxels."""
    return float((index[index[:, deep] == i, across] * outward).max())
