"""Label maps of joints, real or modelled: read, cleaned, and laid as distances on a limb-sized grid.

What a map lacks is added round it by its joint (`complete`), by the rules that build the procedural joint.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from scipy import ndimage

from orthodx.errors import StudyError, UsageError
from orthodx.studies.nifti import read_volume
from orthodx.studies.volume import Volume
from orthodx.synth.anatomy import Anatomy
from orthodx.synth.solids import Field

Values: TypeAlias = int | Sequence[int]
FAR_MM = 30.0
BONE_SMOOTH_MM, THIN_SMOOTH_MM = 0.7, 0.45  # against the staircases of slices


@dataclass(frozen=True)
class LabelMap:
    """A map on a limb-sized grid about its joint centre: signed distances (X, Y, Z), mm, per structure it holds.

    scale: its size over that of the procedural joint.
    """

    name: str
    fields: dict[str, Field]
    affine: np.ndarray
    scale: float


def read_labels(path: Path) -> Volume:
    """A map as it is on disk; raises `StudyError` unless its axes are within 20 degrees of RAS+."""
    volume = read_volume(path)
    if np.min(np.diag(volume.affine[:3, :3] / volume.spacing_mm)) < np.cos(np.deg2rad(20)):
        raise StudyError(f"{path.name}: its axes are not about RAS+", hint="reorient the map to RAS+")
    return volume


def as_right(labels: np.ndarray, pairs: Sequence[tuple[Values, Values]]) -> np.ndarray:
    """Labels (X, Y, Z), axes about RAS+, as those of a right joint: of a left one mirrored.

    pairs: values of what is lateral and of what is medial to it; the first pair that the map shows decides. A map that
    shows none counts as right.
    """
    for lateral, medial in pairs:
        masks = [np.isin(labels, values) for values in (lateral, medial)]
        if all(mask.any() for mask in masks):
            x, other = (np.flatnonzero(mask.any((1, 2))).mean() for mask in masks)
            return labels if x > other else labels[::-1]
    return labels


def field_of(
    mask: np.ndarray,
    mm: np.ndarray,
    origin: np.ndarray,
    affine: np.ndarray,
    shape: tuple[int, ...],
    *,
    shaft: bool = False,
    smooth_mm: float = THIN_SMOOTH_MM,
) -> Field:
    """Signed distance (mm) to a structure without its crumbs, on the grid of `affine`; `FAR_MM` where it is far away.

    mask: (X, Y, Z) bool of voxels of `mm` (3,). origin: point (3,) of the map, mm from its first voxel, that is the
    grid's world (0, 0, 0). shaft: it goes on beyond the cut ends of the map.
    """
    pieces, n = ndimage.label(mask)
    if n > 1:  # crumbs
        sizes = np.bincount(pieces.ravel())[1:]
        mask = np.isin(pieces, np.flatnonzero(sizes > 0.05 * sizes.max()) + 1)
    first = np.zeros(3)
    if shaft:
        more = int(60 / mm[2])
        mask = np.pad(mask[:, :, 2:-2], ((0, 0), (0, 0), (more, more)), mode="edge")
        first[2] = 2 - more
    margin = np.ceil(10 / mm).astype(int)
    box = ndimage.find_objects(mask.astype(np.uint8))[0]
    local = np.pad(mask[box], [(m, m) for m in margin], mode="constant")
    if shaft:
        local = local[:, :, margin[2] : local.shape[2] - margin[2]]
        margin[2] = 0
    first += np.array([s.start for s in box]) - margin
    signed = ndimage.distance_transform_edt(~local, sampling=mm) - ndimage.distance_transform_edt(local, sampling=mm)
    signed = (signed + np.where(local, mm.mean() / 2, -mm.mean() / 2)).astype(np.float32)
    signed = ndimage.gaussian_filter(signed, smooth_mm / mm)
    low = np.clip(np.floor(((first * mm - origin) - affine[:3, 3]) / affine[0, 0]).astype(int), 0, shape)
    high = np.clip(
        np.ceil((((first + local.shape) * mm - origin) - affine[:3, 3]) / affine[0, 0]).astype(int), low + 1, shape
    )
    start = (affine[:3, 3] + low * affine[0, 0] + origin) / mm - first
    field = np.full(shape, FAR_MM, np.float32)
    field[tuple(map(slice, low, high))] = ndimage.affine_transform(
        signed, affine[0, 0] / mm, start, tuple(high - low), order=1, mode="constant", cval=FAR_MM
    )
    return field


def grown(field: Field, room: np.ndarray, volume_ml: float, mm: float) -> np.ndarray:
    """The structure with as much rind, at most 1.6 mm, as takes it to `volume_ml`; never thinner than it is."""
    distances = np.sort(field[room & (field < 1.6)])
    wanted = int(volume_ml * 1000 / mm**3)
    level = distances[min(wanted, len(distances) - 1)] if len(distances) else 0.0
    return room & (field < max(float(level), 0.0))


@dataclass(frozen=True)
class LabelMapSource:
    """Random whole joints from label maps: `complete` makes one of a map."""

    maps: Sequence[LabelMap]
    complete: Callable[[LabelMap, np.random.Generator], Anatomy]

    def __call__(self, rng: np.random.Generator) -> Anatomy:
        """One of the maps, completed anew."""
        return self.complete(self.maps[int(rng.integers(len(self.maps)))], rng)


def map_paths(folder: Path, joint: str, names: Sequence[str] | None = None) -> list[Path]:
    """The maps (.nii.gz) of a folder; `names` (file names without ending) picks some.

    Raises `UsageError` where there are none, or not these.
    """
    paths = {p.name.removesuffix(".nii.gz"): p for p in sorted(folder.glob("*.nii.gz"))}
    if not paths:
        raise UsageError(f"no label map (.nii.gz) in {folder}", hint=f"give a folder of {joint} label maps")
    for name in names or ():
        if name not in paths:
            raise UsageError(f"no label map '{name}' in {folder}", hint=f"there are: {', '.join(paths)}")
    return [paths[name] for name in (names or paths)]
