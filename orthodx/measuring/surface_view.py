"""A layer on its bone as it is seen from one direction of the world: what a picture of its thickness is drawn from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from orthodx.measuring.cubes import box_round, distance_on_cubes
from orthodx.measuring.of_study import LayerMap
from orthodx.measuring.sides import world
from orthodx.studies.volume import Volume

PIXEL_MM, BONE_MM = 0.5, 1.0
MARGIN_MM = 14.0  # of bone round the layer
FACING = 0.6  # cosine from which on a place is well seen
SHARE = 0.2  # of a layer, well seen, that makes a direction worth a picture
ENDS = (("L", "R"), ("P", "A"), ("I", "S"))  # low and high end of world x, y, z
# seen from: world axis and sign of the way to the viewer, then of what runs right and up for the viewer
DIRECTIONS = {
    "the front": ((1, 1), (0, -1), (2, 1)),
    "behind": ((1, -1), (0, 1), (2, 1)),
    "above": ((2, 1), (0, 1), (1, 1)),
    "below": ((2, -1), (0, -1), (1, 1)),
}


@dataclass(frozen=True, eq=False)
class SurfaceView:
    """A layer seen from one direction, orthographic, pixels of `PIXEL_MM`, rows from below upwards.

    mm: (H, W) thickness, NaN where none is seen. bone: (H, W) brightness 0..1, NaN beside it. edges: world letters of
    left, right, lower and upper edge. sides: what lies left and right, medial or lateral, blank where it is unknown.
    """

    seen_from: str
    mm: np.ndarray
    bone: np.ndarray
    edges: tuple[str, str, str, str]
    sides: tuple[str, str]


@dataclass(frozen=True, eq=False)
class _Surface:
    """points: (n, 3) world mm. normals: (n, 3), out of the bone. values: (n,)."""

    points: np.ndarray
    normals: np.ndarray
    values: np.ndarray


def views_of(layer: LayerMap, most: int = 2) -> list[SurfaceView]:
    """The layer from the directions that see most of it, the best one first; none where no place was measured."""
    whole = next((thick for thick in layer.plates.values() if thick is not None), None)
    if whole is None or not len(whole.mm):
        return []
    bone, normal_at = _bone(layer)
    cartilage = _Surface(world(whole.places, layer.volume), normal_at(whole.places), whole.mm)
    shares = {
        name: float((cartilage.normals[:, axis] * sign > FACING).mean())
        for name, ((axis, sign), _, _) in DIRECTIONS.items()
    }
    order = sorted(shares, key=lambda name: -shares[name])[:most]
    return [_view(name, layer, cartilage, bone) for i, name in enumerate(order) if i == 0 or shares[name] > SHARE]


def _bone(layer: LayerMap):
    """The bone's surface round a layer, and a call: voxel index (n, 3) -> unit normals of the bone there (n, 3)."""
    volume: Volume = layer.volume
    spacing = volume.spacing_mm
    box = box_round(volume.data == layer.values[0], np.ceil(MARGIN_MM / spacing))
    start = np.array([s.start for s in box])
    field = distance_on_cubes(volume.data[box] == layer.values[1], spacing, BONE_MM)
    slopes = np.stack(np.gradient(ndimage.gaussian_filter(field, 1.0)), -1)
    turn = (volume.affine[:3, :3] / spacing).T

    def normal_at(index: np.ndarray) -> np.ndarray:
        cube = np.rint((index - start) * spacing / BONE_MM).astype(int)
        found = slopes[tuple(np.clip(cube, 0, np.array(field.shape) - 1).T)] @ turn
        return found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-6)

    index = np.argwhere(np.abs(field) < 0.75 * BONE_MM) * BONE_MM / spacing + start
    return _Surface(world(index, volume), normal_at(index), np.zeros(len(index))), normal_at


def _view(name: str, layer: LayerMap, cartilage: _Surface, bone: _Surface) -> SurfaceView:
    (to_viewer, right, up) = DIRECTIONS[name]
    screen = [np.stack([s.points[:, axis] * sign for axis, sign in (right, up)]) for s in (bone, cartilage)]
    low = np.min([part.min(1) for part in screen if part.size], 0) - 3
    size = np.ceil((np.max([part.max(1) for part in screen if part.size], 0) + 3 - low) / PIXEL_MM).astype(int)
    light = 0.15 + 0.55 * np.clip(_facing(bone, to_viewer), 0, 1)
    shaded = _Surface(bone.points, bone.normals, light)
    planes = [
        _splat(surface, place, to_viewer, (low, size), blur)
        for surface, place, blur in ((shaded, screen[0], BONE_MM), (cartilage, screen[1], PIXEL_MM))
    ]
    edges = tuple(ENDS[axis][end if sign > 0 else 1 - end] for axis, sign in (right, up) for end in (0, 1))
    lateral = layer.sides.lateral * right[1] if right[0] == 0 else 0
    sides = ("", "") if not lateral else ("medial", "lateral") if lateral > 0 else ("lateral", "medial")
    return SurfaceView(name, planes[1], planes[0], edges, sides)  # type: ignore[arg-type]


def _facing(surface: _Surface, to_viewer: tuple[int, int]) -> np.ndarray:
    return surface.normals[:, to_viewer[0]] * to_viewer[1]


def _splat(
    surface: _Surface,
    screen: np.ndarray,
    to_viewer: tuple[int, int],
    frame: tuple[np.ndarray, np.ndarray],
    blur_mm: float,
) -> np.ndarray:
    """(H, W): the values that the viewer sees, the nearest ones where several lie behind each other; NaN elsewhere."""
    low, size = frame
    seen = np.flatnonzero(_facing(surface, to_viewer) > 0.05)
    nearer_last = seen[np.argsort(surface.points[seen, to_viewer[0]] * to_viewer[1], kind="stable")]
    at = ((screen[:, nearer_last] - low[:, None]) / PIXEL_MM).astype(int)
    total, weight = np.zeros(size[::-1]), np.zeros(size[::-1])
    total[at[1], at[0]], weight[at[1], at[0]] = surface.values[nearer_last], 1
    total, weight = (ndimage.gaussian_filter(part, blur_mm / PIXEL_MM) for part in (total, weight))
    return np.where(weight > 0.15, total / np.maximum(weight, 1e-6), np.nan)
