"""The part of a series that is read for a diagnosis: the joint in the middle, one size for every series."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor
from torch.nn import functional

from orthodx.grid.canonical import to_grid, whole_slices
from orthodx.grid.spec import GridSpec
from orthodx.joints import View
from orthodx.studies.volume import Volume


@dataclass(frozen=True, kw_only=True)
class RegionSpec:
    """Size of the region on the model's grid: slices, rows, columns.

    min_slice_mm: thinner slices are averaged. detail: pixels of the region along each side of one of the grid's,
    for a head that looks closer than the encoder. whole: each slice is read whole, resized to rows and columns whatever
    its pixels, and thin ones are not averaged, as published.
    """

    slices: int = 28
    rows: int = 128
    columns: int = 128
    min_slice_mm: float = 3.0
    detail: int = 1
    whole: bool = False

    @property
    def shape(self) -> tuple[int, int, int]:
        """(D, H, W), in the region's own pixels."""
        return self.slices, self.rows * self.detail, self.columns * self.detail

    def __post_init__(self) -> None:
        sizes = (self.slices, self.rows, self.columns)
        if min(sizes) < 1 or max(sizes) > 4096 or not 0.05 <= self.min_slice_mm <= 50 or not 1 <= self.detail <= 8:
            raise ValueError(f"impossible region: {self}")


@dataclass(frozen=True, eq=False)
class Region:
    """image: (D, H, W) float32 in [-1, 1], of one size; what lies beyond the series is -1.

    affine: (4, 4) index (d, h, w) -> RAS mm. inside: (D, H, W) extent that the series covers, as slices.
    """

    image: Tensor
    affine: np.ndarray
    inside: tuple[slice, slice, slice]
    view: View


def joint_region(volume: Volume, grid: GridSpec, view: View, spec: RegionSpec) -> Region:
    """The middle `spec.shape` of a volume on the model's grid, or one `spec.detail` times finer, padded if smaller.

    With `spec.whole` the grid's pixel is of no matter: all of the middle slices is read.
    """
    finer = replace(grid, min_slice_mm=max(grid.min_slice_mm, spec.min_slice_mm), pixel_mm=grid.pixel_mm / spec.detail)
    on_grid = whole_slices(volume, view, spec.shape) if spec.whole else to_grid(volume, finer, view)
    image, origin, inside = on_grid.image, np.zeros(3), []
    for axis, want in enumerate(spec.shape):
        have = image.shape[axis]
        start = (have - want) // 2  # negative: so much is padded in front
        if have > want:
            image = image.narrow(axis, start, want)
        elif have < want:
            pad = [0] * 6
            pad[4 - 2 * axis : 6 - 2 * axis] = [-start, want - have + start]
            image = functional.pad(image, pad, value=-1.0)
        origin[axis] = start
        inside.append(slice(max(-start, 0), min(have - start, want)))
    affine = on_grid.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ origin
    return Region(image.contiguous(), affine, (inside[0], inside[1], inside[2]), view)
