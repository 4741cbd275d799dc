"""Ankles from label maps: the map's bones, completed to a whole ankle.

A map (NIfTI, axes about RAS+, a left ankle is mirrored, the foot at about a right angle to the leg) shows tibia,
fibula, talus, calcaneus and the bones before them, as 1-5 of the ankle's structures or as 40-44 of the Z-Anatomy
maps. Its bones are kept; cartilage, ligaments, tendons, muscles, fat and skin are added round them by the rules that
build the procedural ankle.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy import ndimage

from orthodx.errors import StudyError
from orthodx.joints import ANKLE
from orthodx.synth.anatomy import Anatomy
from orthodx.synth.ankle.joint_space import Bones
from orthodx.synth.ankle.posture import Posture
from orthodx.synth.ankle.procedural import CENTRE, HIGH_MM, LOW_MM, assemble, sample_shape
from orthodx.synth.label_maps import (
    BONE_SMOOTH_MM,
    LabelMap,
    LabelMapSource,
    as_right,
    field_of,
    map_paths,
    read_labels,
)
from orthodx.synth.solids import gap, grid_points

VALUES: dict[str, tuple[int, int]] = {
    "tibia": (1, 40),
    "fibula": (2, 41),
    "talus": (3, 42),
    "calcaneus": (4, 43),
    "other_foot_bones": (5, 44),
}
# the talus of the procedural ankle that everything else is scaled from: middle of its box and its length, mm
TALUS_MM, TALUS_LENGTH_MM = (-3.5, 8.0, 5.5), 60.0
ONWARD_MM = 40.0  # the foot goes on so far beyond the map
LEAST_GAP_MM = 0.8  # between bones that a map lets touch


def read_map(path: Path, spacing_mm: float = 0.7) -> LabelMap:
    """Read a map, smooth its staircases, centre it on the joint and extend leg and foot.

    Raises `StudyError` unless its five bones are there, on axes within 20 degrees of RAS+.
    """
    volume = read_labels(path)
    labels = as_right(np.rint(volume.data).astype(np.uint8), [(VALUES["fibula"], VALUES["tibia"])])
    masks = {name: ndimage.binary_fill_holes(np.isin(labels, values)) for name, values in VALUES.items()}
    for name, mask in masks.items():
        if not mask.any():
            raise StudyError(f"{path.name}: has no {name.replace('_', ' ')}", hint="give a whole ankle")
    mm = np.asarray(volume.spacing_mm, float)
    talus = np.argwhere(masks["talus"]) * mm
    low, high = talus.min(0), talus.max(0)
    scale = float((high - low)[1] / TALUS_LENGTH_MM)
    # the world's origin of a procedural ankle is CENTRE of its leg's frame
    origin = (low + high) / 2 - scale * (np.array(TALUS_MM) - CENTRE)
    affine = np.diag([spacing_mm, spacing_mm, spacing_mm, 1.0])
    affine[:3, 3] = LOW_MM
    shape = tuple(int(n) for n in np.ceil((np.array(HIGH_MM) - np.array(LOW_MM)) / spacing_mm))
    more = int(ONWARD_MM / mm[1])
    masks["other_foot_bones"] = np.pad(masks["other_foot_bones"][:, :-2], ((0, 0), (0, more), (0, 0)), mode="edge")
    fields = {
        name: field_of(mask, mm, origin, affine, shape, shaft=name in ("tibia", "fibula"), smooth_mm=BONE_SMOOTH_MM)
        for name, mask in masks.items()
    }
    return LabelMap(path.name.removesuffix(".nii.gz"), fields, affine, scale)


def complete(source: LabelMap, rng: np.random.Generator) -> Anatomy:
    """A whole ankle round the map's bones; soft tissue, thin layers and side differ with every `rng`."""
    affine, fields = source.affine, source.fields
    shape = sample_shape(rng) | {"size": source.scale, "width_ratio": 1.0, "plantar_flexion": 0.0, "inversion": 0.0}
    p = grid_points(LOW_MM, HIGH_MM, float(affine[0, 0]))[0] / np.float32(source.scale)
    p += np.array(CENTRE, np.float32).reshape(3, 1, 1, 1)
    talus = fields["talus"]
    tibia, fibula, calcaneus, tarsus = (
        np.maximum(fields[name], LEAST_GAP_MM - talus) for name in VALUES if name != "talus"
    )
    fibula = np.maximum(fibula, LEAST_GAP_MM - tibia)
    tarsus = np.maximum(tarsus, LEAST_GAP_MM - calcaneus)
    layers = shape["talar_cartilage"] + shape["joint_cartilage"]
    shape["joint_space"] = float(np.clip(gap(tibia, talus) + 0.8 - layers, 0.2, 1.5))
    bones = Bones(p, p, tibia, fibula, talus, calcaneus, tarsus, np.full_like(tarsus, 60.0))
    right = assemble(bones, Posture.of(shape), shape, rng, affine, source.name)
    return right if rng.random() < 0.5 else right.mirrored()


def open_maps(folder: Path, names: Sequence[str] | None = None) -> LabelMapSource:
    """Random ankles from the maps of `folder`, or from the named ones only."""
    return LabelMapSource([read_map(path) for path in map_paths(folder, ANKLE.name, names)], complete)
