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

    Mean over the slices in the middle of the plateau, edge to edge, along the line through both menisci, else along the
    image's own axis from side to side. What cannot be measured is left out. volume: label map.
    """
    out: dict[str, float] = {}
    value = {name: v for v, name in joint.names.items()}
    for pair in joint.pairs:
        end = upper_end(volume, value[pair.bone])
        if end is None or end.cut[1] or not sides.lateral or not shows_extrusion(volume.affine):
            continue
        across, deep, up = axes_of(volume.affine)
        at = np.linalg.inv(volume.affine) @ [*end.middle, 1]
        off = np.abs(end.index[:, deep] - at[deep]) * volume.spacing_mm[deep]  # of a slice, from the plateau's middle
        band = end.index[off <= max(BAND * float(end.high[1] - end.low[1]), off.min() + 0.01)]
        straight = np.array([np.sign(volume.affine[0, across]) * sides.lateral, 0.0])
        both = {name: np.argwhere(volume.data == value[name]) for name in members(pair)}
        found: dict[str, list[float]] = {}
        for i in np.unique(band[:, deep]):
            in_slice = {name: _plane(index, i, (across, deep, up), volume) for name, index in both.items()}
            lateral = _line(in_slice[pair.medial], in_slice[pair.lateral], straight)
            bone = _plane(band, i, (across, deep, up), volume) @ lateral
            for name, side in members(pair).items():
                if len(in_slice[name]):
                    outward = 1 if side == "lateral" else -1
                    beyond = (in_slice[name] @ lateral * outward).max() - (bone * outward).max()
                    found.setdefault(name, []).append(float(beyond))
        out |= {name: float(np.mean(values)) for name, values in found.items()}
    return out


def _plane(index: np.ndarray, i: int, axes: tuple[int, int, int], volume: Volume) -> np.ndarray:
    """Voxels (n, 3) of slice i as mm across and up, (m, 2)."""
    across, deep, up = axes
    return (index[index[:, deep] == i] * volume.spacing_mm)[:, [across, up]]


def _line(medial: np.ndarray, lateral: np.ndarray, straight: np.ndarray) -> np.ndarray:
    """Unit vector from the medial to the lateral meniscus of a slice; `straight` where one is missing."""
    if not len(medial) or not len(lateral):
        return straight
    way = lateral.mean(0) - medial.mean(0)
    return way / np.linalg.norm(way)
