"""Signed-distance solids: negative inside, about mm outside. Points are (3, X, Y, Z) float32, mm.

Ellipsoid and section fields are only proportional to distance; `true_distance` rescales any of them
by its own gradient, which is exact at the surface and good to a few mm (Osher & Fedkiw 2003, ch. 2).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from scipy import ndimage
from torch.nn import functional

Field = np.ndarray
Point = Sequence[float] | np.ndarray
Face = tuple[int, int]


def grid_points(low: Point, high: Point, spacing: float) -> tuple[np.ndarray, np.ndarray]:
    """Points of an isotropic grid from `low` to `high` (mm): (3, X, Y, Z) float32, and its (4, 4) affine."""
    axes = [np.arange(a, b, spacing, dtype=np.float32) for a, b in zip(low, high, strict=True)]
    affine = np.diag([spacing, spacing, spacing, 1.0])
    affine[:3, 3] = low
    return np.stack(np.meshgrid(*axes, indexing="ij")), affine


def box_of(affine: np.ndarray, low: Point, high: Point) -> tuple[slice, ...]:
    """Index slices of the world box from `low` to `high` (mm)."""
    to_index = [(np.array(c) - affine[:3, 3]) / affine[0, 0] for c in (low, high)]
    return tuple(slice(max(int(a), 0), max(int(b), 1)) for a, b in zip(*to_index, strict=True))


def box_round(p: np.ndarray, path: np.ndarray, margin: float) -> tuple[slice, ...] | None:
    """Index slices of the points (3, X, Y, Z) within `margin` of a path's (N, 3) bounds, mm; None where there are none.

    Every fourth point is looked at, so that the box may be four voxels too wide.
    """
    thin = p[:, ::4, ::4, ::4]
    low, high = path.min(0) - margin, path.max(0) + margin
    inside = np.all([(thin[i] > low[i]) & (thin[i] < high[i]) for i in range(3)], axis=0)
    spans = [np.flatnonzero(inside.any(tuple(b for b in range(3) if b != a))) for a in range(3)]
    if not all(map(len, spans)):
        return None
    return tuple(slice(max(4 * int(s[0]) - 4, 0), 4 * int(s[-1]) + 5) for s in spans)


def tube_in_box(
    p: np.ndarray, path: np.ndarray, radii: np.ndarray, flatness: Point = (1, 1, 1), margin: float = 9.0
) -> Field:
    """As `tube`, but 30 mm everywhere further than `margin` from it: a thin line in a large grid."""
    out = np.full(p.shape[1:], 30.0, np.float32)
    box = box_round(p, path, float(np.max(radii)) + margin)
    if box is not None:
        out[box] = tube(p[:, box[0], box[1], box[2]], path, radii, flatness)
    return out


def ellipsoid(p: np.ndarray, centre: Point, radii: Point) -> Field:
    """Ellipsoid of semi-axes `radii` (mm) at `centre` (mm)."""
    q = sum(((p[i] - np.float32(centre[i])) * np.float32(1 / radii[i])) ** 2 for i in range(3))
    return (np.sqrt(q) - np.float32(1)) * np.float32(min(radii))


def tube(p: np.ndarray, path: np.ndarray, radii: np.ndarray, flatness: Point = (1, 1, 1)) -> Field:
    """Tube along a polyline `path` (N, 3) with radius (N,) mm; `flatness` stretches the axes' metric.

    A flatness of (1, 5, 1) makes a band five times thinner along y than along x.
    """
    scale = np.asarray(flatness, np.float32)
    best = np.full(p.shape[1:], np.inf, np.float32)
    for a, b, ra, rb in zip(path[:-1], path[1:], radii[:-1], radii[1:], strict=True):
        ab = ((b - a) * scale).astype(np.float32)
        ap = [(p[i] - np.float32(a[i])) * scale[i] for i in range(3)]
        t = np.clip(sum(ap[i] * ab[i] for i in range(3)) * np.float32(1 / max(float(ab @ ab), 1e-6)), 0, 1)
        d = np.sqrt(sum((ap[i] - t * ab[i]) ** 2 for i in range(3))) - (np.float32(ra) + np.float32(rb - ra) * t)
        np.minimum(best, d, out=best)
    return best


def bezier(start: Point, control: Point, end: Point, n: int = 9) -> np.ndarray:
    """(n, 3) points of the quadratic Bezier curve from `start` to `end`."""
    t = np.linspace(0, 1, n)[:, None]
    a, b, c = (np.asarray(x, float) for x in (start, control, end))
    return (1 - t) ** 2 * a + 2 * t * (1 - t) * b + t**2 * c


def smooth_union(a: Field, b: Field, k: float) -> Field:
    """Union with a fillet of about `k` mm (polynomial smooth minimum)."""
    h = np.clip(0.5 + 0.5 * (b - a) / k, 0, 1)
    return b + (a - b) * h - k * h * (1 - h)


def smooth_intersection(a: Field, b: Field, k: float) -> Field:
    """Intersection with edges rounded by about `k` mm."""
    return -smooth_union(-a, -b, k)


def subtract(a: Field, b: Field, k: float) -> Field:
    """`a` without `b`, edges rounded by about `k` mm."""
    return smooth_intersection(a, -b, k)


def fade(x: np.ndarray, low: float, high: float) -> np.ndarray:
    """0 below `low`, 1 above `high`, linear between."""
    return np.clip((x - low) / (high - low), 0, 1)


def gradient(field: Field, spacing: float) -> np.ndarray:
    """(3, X, Y, Z) gradient, per mm."""
    return np.stack(np.gradient(field, spacing)).astype(np.float32)


def true_distance(field: Field, spacing: float) -> tuple[Field, np.ndarray]:
    """Distance in mm near the surface, and the outward unit normal (3, X, Y, Z)."""
    g = gradient(field, spacing)
    norm = np.sqrt((g**2).sum(0)) + 1e-4
    return field / norm, g / norm


def distance_in(shape: tuple[int, ...], box: tuple[slice, ...], field: Field, mm: float) -> tuple[Field, np.ndarray]:
    """`true_distance` of a field known in `box` only; elsewhere 60 mm away."""
    distance, normal = np.full(shape, 60, np.float32), np.zeros((3, *shape), np.float32)
    every = (slice(None), *box)
    distance[box], normal[every] = true_distance(field, mm)
    return distance, normal


def gap(a: Field, b: Field) -> float:
    """Smallest distance between two solids (mm, negative where they overlap), from their distance fields.

    Half way between the closest points both distances equal half the gap.
    """
    return 2 * float(np.maximum(a, b).min())


def closed(core: Field, mm: float, radius: float, cut: Sequence[Face] = ((2, 0), (2, 1))) -> Field:
    """Signed distance (mm) to the surface that bridges every hollow of `core` < 0 narrower than `radius`.

    cut: faces of the volume, each its axis and 0 (low) or 1 (high), beyond which the limb goes on.
    """
    pad = int(np.ceil(radius / mm)) + 2
    solid = np.pad(core < 0, pad, mode="edge")
    for axis in range(3):
        ends = [slice(None)] * 3
        for end, ends[axis] in enumerate((slice(0, pad), slice(-pad, None))):
            if (axis, end) not in cut:
                solid[tuple(ends)] = False
    grown = ndimage.distance_transform_edt(~solid, sampling=mm) < radius
    whole = ndimage.distance_transform_edt(grown, sampling=mm) > radius
    signed = ndimage.distance_transform_edt(~whole, sampling=mm) - ndimage.distance_transform_edt(whole, sampling=mm)
    smooth = ndimage.gaussian_filter(signed.astype(np.float32), 3.0 / mm)
    return smooth[(slice(pad, -pad),) * 3]


def coarse(field: np.ndarray, step: int) -> np.ndarray:
    """Every `step`-th sample along the last three axes; `upsample` is the way back."""
    return field[..., ::step, ::step, ::step]


def upsample(field: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Trilinear upsampling (X', Y', Z') -> `shape`, first and last samples aligned."""
    tensor = torch.from_numpy(np.ascontiguousarray(field, np.float32))[None, None]
    return functional.interpolate(tensor, size=shape, mode="trilinear", align_corners=True)[0, 0].numpy()


def smooth_noise(rng: np.random.Generator, shape: tuple[int, ...], spacing: float, scale_mm: float) -> np.ndarray:
    """Unit-variance smooth random field (X, Y, Z) whose features are about `scale_mm` wide."""
    middle = tuple(max(4, int(np.ceil(n * spacing / scale_mm * 3))) for n in shape)
    coarse = ndimage.gaussian_filter(rng.standard_normal(middle).astype(np.float32), 1.3)
    return upsample((coarse - coarse.mean()) / coarse.std(), shape)


def rotation(axis: int, degrees: float) -> np.ndarray:
    """(3, 3) rotation about a world axis (0 = x, 1 = y, 2 = z), right-handed."""
    a = np.deg2rad(degrees)
    c, s = np.cos(a), np.sin(a)
    i, j = [(1, 2), (2, 0), (0, 1)][axis]
    m = np.eye(3)
    m[i, i], m[i, j], m[j, i], m[j, j] = c, -s, s, c
    return m


def move(p: np.ndarray, matrix: np.ndarray, pivot: Point) -> np.ndarray:
    """Rotate points (3, X, Y, Z) by `matrix` (3, 3) about `pivot` (mm)."""
    pivot_ = np.asarray(pivot, np.float32).reshape(3, 1, 1, 1)
    return np.tensordot(matrix.astype(np.float32), p - pivot_, axes=1) + pivot_
