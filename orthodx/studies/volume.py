"""`Volume`: a 3D image with its place in the world. It cannot be half-built."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

import numpy as np
from nibabel.orientations import apply_orientation, inv_ornt_aff, io_orientation, ornt_transform

from orthodx.errors import StudyError

SAME_PLACE_MM = 0.1  # two images whose corners lie closer lie on one grid


@dataclass(frozen=True, eq=False)
class Volume:
    """One 3D image.

    data: (I, J, K) numeric, index order of the file. affine: (4, 4) float64, voxel index -> RAS+ mm.
    source: what a person calls it (a file name), used in every message. codes: NIfTI (qform, sform) codes.
    Raises `StudyError` for anything that is not a finite, sharply placed 3D image.
    """

    data: np.ndarray
    affine: np.ndarray
    source: str
    codes: tuple[int, int] = (1, 1)

    def __post_init__(self) -> None:
        check_shape(self.data.shape, self.source)
        if self.data.dtype.fields is not None or self.data.dtype.kind not in "iufb":
            raise StudyError(f"{self.source}: voxels are {self.data.dtype}, not numbers", hint="export grey values")
        object.__setattr__(self, "affine", np.asarray(self.affine, np.float64))
        check_affine(self.affine, self.source)
        if self.data.dtype.kind == "f" and not np.isfinite(self.data).all():
            bad = int((~np.isfinite(self.data)).sum())
            raise StudyError(f"{self.source}: {bad} voxels are NaN or infinite", hint="replace them, for example by 0")

    @property
    def shape(self) -> tuple[int, int, int]:
        """(I, J, K)."""
        return self.data.shape  # type: ignore[return-value]

    @property
    def spacing_mm(self) -> np.ndarray:
        """Voxel size along the three array axes, mm, (3,)."""
        return np.linalg.norm(self.affine[:3, :3], axis=0)

    @property
    def voxel_mm3(self) -> float:
        """Volume of one voxel, mm3."""
        return float(abs(np.linalg.det(self.affine[:3, :3])))

    def require_image(self) -> None:
        """Raise `StudyError` where there is nothing to read: a single slice, or one value everywhere."""
        if min(self.shape) < 2:
            raise StudyError(f"{self.source}: a single slice is no volume", hint="give the whole series")
        if self.data.min() == self.data.max():
            raise StudyError(f"{self.source}: all voxels equal {self.data.flat[0]}", hint="check the export")


def apart_mm(one: np.ndarray, other: np.ndarray, shape: tuple[int, ...]) -> float:
    """How far apart two affines put an image of `shape`: the largest distance of its eight corners, mm."""
    corners = np.array([[*at, 1] for at in itertools.product(*((0, n - 1) for n in shape[:3]))], float)
    return float(np.linalg.norm(corners @ (one - other).T[:, :3], axis=1).max())


def turned_like(volume: Volume, other: Volume) -> Volume:
    """The same voxels at the same places, the array axes in the order and direction of another's; no resampling."""
    if volume.shape == other.shape and apart_mm(volume.affine, other.affine, other.shape) <= SAME_PLACE_MM:
        return volume
    turn = ornt_transform(io_orientation(volume.affine), io_orientation(other.affine))
    data = apply_orientation(volume.data, turn)
    return replace(volume, data=data, affine=volume.affine @ inv_ornt_aff(turn, volume.shape))


def turned_to_ras(volume: Volume) -> Volume:
    """The same voxels at the same places, the array axes as near to right, anterior, superior as they come."""
    turn = ornt_transform(io_orientation(volume.affine), io_orientation(np.eye(4)))
    data = np.ascontiguousarray(apply_orientation(volume.data, turn))
    return replace(volume, data=data, affine=volume.affine @ inv_ornt_aff(turn, volume.shape))


def check_shape(shape: tuple[int, ...], source: str) -> None:
    """Raise `StudyError` unless `shape` is three-dimensional and not empty."""
    if len(shape) != 3:
        known = {2: "export the whole stack", 4: "split it into its volumes and give the one to read"}
        raise StudyError(f"{source}: the image has {len(shape)} dimensions, not 3", hint=known.get(len(shape)))
    if min(shape) < 1:
        raise StudyError(f"{source}: the image is empty, its shape is {shape}", hint="export it again")
    if min(sorted(shape)[1:]) < 8:
        raise StudyError(f"{source}: the image is only {shape} voxels", hint="give a stack of image planes")


def check_affine(affine: np.ndarray, source: str) -> None:
    """Raise `StudyError` unless `affine` is (4, 4), finite, not flat, unsheared, with plausible voxels."""
    if affine.shape != (4, 4) or not np.isfinite(affine).all():
        raise StudyError(f"{source}: the affine has NaN or infinite entries", hint="repair the header or export again")
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    if spacing.min() < 0.01 or spacing.max() > 100:
        sizes = " x ".join(f"{s:.3g}" for s in spacing)
        raise StudyError(f"{source}: a voxel of {sizes} mm is impossible", hint="repair the header or export again")
    cosines = affine[:3, :3] / spacing
    off = np.abs(cosines.T @ cosines - np.eye(3)).max()
    if off > 0.01:
        raise StudyError(
            f"{source}: the voxel axes are sheared (cosine {off:.3f} between them)",
            hint="resample the image to a rectangular grid",
        )
