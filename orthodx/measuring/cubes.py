"""Masks of thick slices as distances on cubes, so that oblique surfaces and all three axes count alike."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

FAR_MM = 15.0
FLAT = 1.5  # voxels so much longer than wide are slices


def distance_on_cubes(mask: np.ndarray, spacing_mm: np.ndarray, step_mm: float) -> np.ndarray:
    """Signed distance to a mask's outline, negative inside, mm, on cubes of `step_mm` that begin where the mask begins.

    mask: (I, J, K) bool, voxels of spacing_mm (3,). Distances are measured in each slice and interpolated between
    slices (shape-based interpolation: Raya & Udupa, IEEE Trans Med Imaging 1990;9:32). They end at two slices'
    thickness, so that a structure ends near the last slice that shows it; of voxels as high as wide at `FAR_MM`.
    """
    thick = int(np.argmax(spacing_mm))
    if spacing_mm[thick] > FLAT * np.sort(spacing_mm)[1]:
        most = 2 * float(spacing_mm[thick])
        planes = [_signed(plane, np.delete(spacing_mm, thick), most) for plane in np.moveaxis(mask, thick, 0)]
        out = np.stack(planes, thick)
    else:
        out = _signed(mask, spacing_mm, FAR_MM)
    shape = np.maximum(np.floor((np.array(mask.shape) - 1) * spacing_mm / step_mm).astype(int) + 1, 1)
    for axis, n in enumerate(shape):
        index = np.arange(n, dtype=np.float32) * np.float32(step_mm / spacing_mm[axis])
        below = np.minimum(index.astype(int), out.shape[axis] - 1)
        above = np.minimum(below + 1, out.shape[axis] - 1)
        part = (index - below).reshape([-1 if a == axis else 1 for a in range(3)])
        out = out.take(below, axis) * (1 - part) + out.take(above, axis) * part
    return out


def box_round(mask: np.ndarray, margin: np.ndarray) -> tuple[slice, ...]:
    """Where a mask that is not empty is, with a margin in voxels (3,), as far as the array goes."""
    (found,) = ndimage.find_objects(mask.astype(np.uint8))
    spans = zip(found, margin, mask.shape, strict=True)
    return tuple(slice(max(s.start - int(m), 0), min(s.stop + int(m), n)) for s, m, n in spans)


def _signed(mask: np.ndarray, spacing_mm: np.ndarray, most: float) -> np.ndarray:
    """Half a voxel lies between the outline and the voxels' centres beside it."""
    if mask.all() or not mask.any():
        return np.full(mask.shape, -most if mask.all() else most, np.float32)
    half = float(spacing_mm.min()) / 2
    out = ndimage.distance_transform_edt(~mask, sampling=spacing_mm)
    into = ndimage.distance_transform_edt(mask, sampling=spacing_mm)
    return np.clip(np.where(mask, half - into, out - half), -most, most).astype(np.float32)
