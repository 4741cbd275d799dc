"""Scores of one mask against its truth, structure by structure, empty cases told apart."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import ndimage

from orthodx.evaluation.overlap import dice_by_structure, on_grid_of
from orthodx.evaluation.surfaces import surface_scores
from orthodx.studies.mask_files import read_labels_file

NAN = float("nan")
SCORED, MISSED, FALSE, ABSENT = "scored", "missed", "false", "both empty"


@dataclass(frozen=True)
class StructureScore:
    """One structure of one mask.

    state: `scored` (both have it), `missed` (truth has it, the mask is empty), `false` (only the mask has it),
    `both empty`. Dice and NSD are 0 where missed or false and NaN where both are empty; distances are NaN unless
    scored, so they stand beside the detection rate. detected: the mask touches the truth. Volumes in mL.
    """

    structure: str
    state: str
    detected: bool
    dice: float = NAN
    nsd: float = NAN
    hd95_mm: float = NAN
    assd_mm: float = NAN
    truth_ml: float = 0.0
    volume_error_ml: float = NAN
    volume_error_percent: float = NAN


METRICS = ("dice", "nsd", "hd95_mm", "assd_mm", "volume_error_ml", "volume_error_percent")


def score_files(
    mask: Path, truth: Path, structures: dict[int, str], tolerance_mm: float
) -> tuple[list[StructureScore], list[str]]:
    """Scores of every structure and remarks; raises `StudyError` for unreadable files and unequal grids."""
    wanted = read_labels_file(truth)
    found = on_grid_of(read_labels_file(mask), wanted, mask.name)
    remarks = []
    for volume, path in ((found, mask), (wanted, truth)):
        unknown = sorted(set(np.unique(volume.data).tolist()) - {0, *structures})
        if unknown:
            remarks.append(f"{path.parent.name}/{path.name}: values {unknown} are no known structure; not scored")
    return score_labels(found.data, wanted.data, wanted.spacing_mm, structures, tolerance_mm), remarks


def score_labels(
    found: np.ndarray, truth: np.ndarray, spacing_mm: np.ndarray, structures: dict[int, str], tolerance_mm: float
) -> list[StructureScore]:
    """Scores of label maps (I, J, K) uint8 of one grid; voxels of spacing_mm (3,)."""
    ml = float(np.prod(spacing_mm)) / 1000
    sizes = [np.bincount(x.ravel(), minlength=256) for x in (found, truth)]
    boxes = [ndimage.find_objects(x, max_label=255) for x in (found, truth)]
    dice = dice_by_structure(found, truth, structures)
    out = []
    for value, name in structures.items():
        size, wanted = int(sizes[0][value]), int(sizes[1][value])
        if not size and not wanted:
            out.append(StructureScore(name, ABSENT, False))
            continue
        error = (size - wanted) * ml
        percent = 100 * (size - wanted) / wanted if wanted else NAN
        volumes = {"truth_ml": wanted * ml, "volume_error_ml": error, "volume_error_percent": percent}
        if not size or not wanted:
            out.append(StructureScore(name, MISSED if wanted else FALSE, False, dice=0.0, nsd=0.0, **volumes))
            continue
        box = _union(boxes[0][value - 1], boxes[1][value - 1])
        surfaces = surface_scores(found[box] == value, truth[box] == value, spacing_mm, tolerance_mm)
        scores = {"nsd": surfaces.nsd, "hd95_mm": surfaces.hd95_mm, "assd_mm": surfaces.assd_mm, **volumes}
        out.append(StructureScore(name, SCORED, dice[value] > 0, dice=dice[value], **scores))
    return out


def _union(one: tuple[slice, ...], two: tuple[slice, ...]) -> tuple[slice, ...]:
    return tuple(slice(min(a.start, b.start), max(a.stop, b.stop)) for a, b in zip(one, two, strict=True))
