"""Volume <-> the model's grid: nearest axes, exact in-plane resampling, and the way back to the input's grid.

Only flips and permutations turn the volume, so an oblique series keeps its own planes and no voxel is
ever cropped; thick slices pass one to one, thin ones are averaged in groups.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from orthodx.grid.intensity import normalise, stretch
from orthodx.grid.spec import AXES, GridSpec
from orthodx.joints import View
from orthodx.studies.view import axis_of_view, slice_axis
from orthodx.studies.volume import Volume


@dataclass(frozen=True, eq=False)
class GridImage:
    """A volume on the model's grid, with what is needed to come back.

    image: (D, H, W) float32 in [-1, 1]; padding is -1. affine: (4, 4) index (d, h, w) -> RAS mm.
    axes, flips: array axis of the volume behind each grid axis, and whether it runs backwards.
    size: (D, H, W) before padding to the network's multiple. shape: the volume's own (I, J, K).
    """

    image: Tensor
    affine: np.ndarray
    axes: tuple[int, int, int]
    flips: tuple[bool, bool, bool]
    size: tuple[int, int, int]
    shape: tuple[int, int, int]
    view: View


def canonical_axes(
    affine: np.ndarray, shape: tuple[int, ...], view: View, reformat: bool = False
) -> tuple[tuple[int, int, int], tuple[bool, bool, bool]]:
    """Array axis for the grid's depth, rows and columns, and which of them are reversed.

    Depth is the slice axis of the acquisition, or with `reformat` the axis that is nearest to the view's; rows and
    columns take the two others by best alignment.
    """
    depth = slice_axis(affine, shape)
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    if reformat or spacing[depth] <= 1.25 * np.sort(spacing)[1]:  # near isotropic: any axis may be the depth
        depth = axis_of_view(affine, view)
    cosines = affine[:3, :3] / spacing
    (_, _), (row_axis, _), (column_axis, _) = AXES[view]
    a, b = (i for i in range(3) if i != depth)
    keep = abs(cosines[row_axis, a]) + abs(cosines[column_axis, b])
    swap = abs(cosines[row_axis, b]) + abs(cosines[column_axis, a])
    axes = (depth, a, b) if keep >= swap else (depth, b, a)
    flips = tuple(bool(cosines[world, array] * sign < 0) for array, (world, sign) in zip(axes, AXES[view], strict=True))
    return axes, flips  # type: ignore[return-value]


def to_grid(volume: Volume, spec: GridSpec, view: View, *, reformat: bool = False) -> GridImage:
    """Bring a volume onto the model's grid of `view`; with `reformat` cut anew, if it was acquired in another plane.

    In-plane pixels become exactly `spec.pixel_mm` (area-averaged when shrinking); slices thinner than
    `spec.min_slice_mm` are averaged to about that. Grid samples stay centred on the volume's own centre.
    """
    axes, flips = canonical_axes(volume.affine, volume.shape, view, reformat)
    spacing, shape = volume.spacing_mm[list(axes)], np.array(volume.shape)[list(axes)]
    target = np.array([max(spacing[0], spec.min_slice_mm), spec.pixel_mm, spec.pixel_mm])
    size = np.maximum(1, np.rint(shape * spacing / target).astype(int))
    if spacing[0] >= spec.min_slice_mm:
        size[0] = shape[0]
    image = normalise(_resampled(volume, axes, flips, size))
    padding = [(-n) % spec.multiple for n in size[1:]]
    before = [p // 2 for p in padding]
    image = functional.pad(image, (before[1], padding[1] - before[1], before[0], padding[0] - before[0]), value=-1.0)
    return _grid_image(volume, view, image, axes, flips, size, before)


def whole_slices(volume: Volume, view: View, shape: tuple[int, int, int]) -> GridImage:
    """The slices of a volume as they are, each resized to rows and columns whatever its field of view, as published.

    shape: of the middle D slices, H, W. The least and the greatest value of the middle slices become -1 and 1; all
    slices are returned.
    """
    axes, flips = canonical_axes(volume.affine, volume.shape, view)
    size = np.array([volume.shape[axes[0]], *shape[1:]])
    image = _resampled(volume, axes, flips, size)
    first = max(0, (len(image) - shape[0]) // 2)
    return _grid_image(volume, view, stretch(image, image[first : first + shape[0]]), axes, flips, size, [0, 0])


def _resampled(volume: Volume, axes: Sequence[int], flips: Sequence[bool], size: np.ndarray) -> Tensor:
    """(D, H, W) float32 of that size, in the volume's unit."""
    data = np.transpose(volume.data, axes)
    data = data[tuple(slice(None, None, -1 if f else 1) for f in flips)]
    image = torch.from_numpy(np.ascontiguousarray(data, dtype=np.float32))
    for axis in range(3):
        image = _resample(image, axis, int(size[axis]), data.shape[axis] / float(size[axis]))
    return image


def _grid_image(
    volume: Volume,
    view: View,
    image: Tensor,
    axes: tuple[int, int, int],
    flips: tuple[bool, bool, bool],
    size: np.ndarray,
    before: Sequence[int],
) -> GridImage:
    """An image with its way back. size: (D, H, W) before padding. before: rows and columns padded in front."""
    step = np.array(volume.shape)[list(axes)] / size  # input voxels a grid sample
    to_input = np.zeros((4, 4))  # grid index (d, h, w) -> input voxel index (i, j, k)
    to_input[3, 3] = 1
    for g, (array, flip) in enumerate(zip(axes, flips, strict=True)):
        offset = (step[g] - 1) / 2 - (0 if g == 0 else before[g - 1] * step[g])
        n = volume.shape[array]
        to_input[array, g] = -step[g] if flip else step[g]
        to_input[array, 3] = n - 1 - offset if flip else offset
    sizes = (int(size[0]), int(size[1]), int(size[2]))
    return GridImage(image, volume.affine @ to_input, axes, flips, sizes, volume.shape, view)


def _resample(image: Tensor, axis: int, n: int, step: float) -> Tensor:
    """Linear resampling of one axis to n samples, each the mean over its own width when shrinking."""
    if n == image.shape[axis] and abs(step - 1) < 1e-9:
        return image
    moved = image.movedim(axis, -1)
    flat = moved.reshape(1, -1, 1, moved.shape[-1])
    parts = [
        functional.interpolate(part, size=(1, n), mode="bilinear", antialias=True, align_corners=False)
        for part in flat.split(1 << 18, 1)
    ]
    out = torch.cat(parts, 1)
    return out.reshape(*moved.shape[:-1], n).movedim(-1, axis)


def from_grid(probabilities: Tensor, grid: GridImage, weights: Tensor | None = None) -> np.ndarray:
    """Labels (I, J, K) uint8 on exactly the input's grid: probabilities interpolated linearly, then argmax.

    probabilities: (K, D, H, W) on the padded grid. weights: (K,), of the classes. Works slice by slice, so memory stays
    at a few slices.
    """
    d, h, w = grid.size
    top, left = ((p - n) // 2 for p, n in zip(probabilities.shape[2:], (h, w), strict=True))
    inner = probabilities[:, :, top : top + h, left : left + w]
    shape = tuple(grid.shape[a] for a in grid.axes)
    labels = np.empty(shape, np.uint8)
    at = ((np.arange(shape[0]) + 0.5) * d / shape[0] - 0.5).clip(0, d - 1)
    for i, position in enumerate(at):
        low = int(position)
        part = float(position - low)
        plane = inner[:, low].float()
        if part > 1e-6:
            plane = torch.lerp(plane, inner[:, min(low + 1, d - 1)].float(), part)
        if shape[1:] != (h, w):
            plane = functional.interpolate(plane[None], size=shape[1:], mode="bilinear", align_corners=False)[0]
        if weights is not None:
            plane = plane * weights[:, None, None]
        labels[i] = plane.max(0).indices.to(torch.uint8).numpy()  # as argmax, in a quarter of its time
    labels = labels[tuple(slice(None, None, -1 if f else 1) for f in grid.flips)]
    return np.ascontiguousarray(np.transpose(labels, np.argsort(grid.axes)))
