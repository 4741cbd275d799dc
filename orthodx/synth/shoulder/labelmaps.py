"""Shoulders from label maps: the map's bones, completed to a whole shoulder.

A map (NIfTI, axes about RAS+, a left shoulder is mirrored, the arm beside the body) shows humerus, scapula and
clavicle, as 1-3 of the shoulder's structures or as 60-62 of the Z-Anatomy maps. Its bones are kept; cartilage,
labrum, tendons, bursa, muscles, fat and skin are added round them by the rules that build the procedural shoulder:
maps show these thin, in pieces, or not apart from their muscles.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import ndimage

from orthodx.errors import StudyError
from orthodx.joints import SHOULDER
from orthodx.synth.anatomy import Anatomy
from orthodx.synth.label_maps import (
    BONE_SMOOTH_MM,
    LabelMap,
    LabelMapSource,
    as_right,
    field_of,
    map_paths,
    read_labels,
)
from orthodx.synth.shoulder import soft_tissue
from orthodx.synth.shoulder.joint_space import Bones
from orthodx.synth.shoulder.landmarks import sphere_through
from orthodx.synth.shoulder.procedural import HEAD_MM, HIGH_MM, JOINT_BOX_MM, LOW_MM, assemble, sample_shape
from orthodx.synth.solids import box_of, grid_points, rotation, true_distance

VALUES: dict[str, tuple[int, int]] = {"humerus": (1, 60), "scapula": (2, 61), "clavicle": (3, 62)}
HEAD_RADIUS_MM = 22.6  # of the procedural shoulder that everything else is scaled from
SHAFT_MM = 40.0
BLADE_LAG_DEG = 4.0  # the blade's middle lies so far behind the plane of the supraspinatus
ROOF_MM = (24.0, 14.0)  # acromion: what of the scapula is higher than this above the head, and not further forward


@dataclass(frozen=True)
class ShoulderMap(LabelMap):
    """plane_deg: of the supraspinatus before the coronal plane."""

    plane_deg: float


def read_map(path: Path, spacing_mm: float = 0.8) -> ShoulderMap:
    """Read a map, smooth its staircases, centre it on the joint and extend the cut shaft.

    Raises `StudyError` unless humerus, scapula and clavicle are there, on axes within 20 degrees of RAS+.
    """
    volume = read_labels(path)
    labels = as_right(np.rint(volume.data).astype(np.uint8), [(VALUES["humerus"], VALUES["scapula"])])
    masks = {name: np.isin(labels, values) for name, values in VALUES.items()}
    for name, mask in masks.items():
        if not mask.any():
            raise StudyError(f"{path.name}: has no {name}", hint="give a whole shoulder")
    mm = np.asarray(volume.spacing_mm, float)
    head, radius = _head(masks["humerus"], masks["scapula"], mm)
    scale = radius / HEAD_RADIUS_MM
    away = np.argwhere(masks["scapula"]) * mm - head
    blade = away[(away[:, 2] < 0) & (away[:, 2] > -30 * scale) & (np.hypot(away[:, 0], away[:, 1]) > 42 * scale)]
    if len(blade) == 0:
        raise StudyError(f"{path.name}: has no blade of the scapula", hint="give a whole shoulder")
    plane = float(np.rad2deg(np.arctan2(-blade[:, 1].mean(), -blade[:, 0].mean()))) - BLADE_LAG_DEG
    origin = head - rotation(2, plane) @ np.array(HEAD_MM) * scale
    affine = np.diag([spacing_mm, spacing_mm, spacing_mm, 1.0])
    affine[:3, 3] = LOW_MM
    shape = tuple(int(n) for n in np.ceil((np.array(HIGH_MM) - np.array(LOW_MM)) / spacing_mm))
    more = int(SHAFT_MM / mm[2])  # the shaft goes on below the map
    masks["humerus"] = np.pad(masks["humerus"][:, :, 2:], ((0, 0), (0, 0), (more + 2, 0)), mode="edge")
    fields = {}
    for name, mask in masks.items():
        lower = np.array([0, 0, more * mm[2] if name == "humerus" else 0.0])
        fields[name] = field_of(mask, mm, origin + lower, affine, shape, smooth_mm=BONE_SMOOTH_MM)
    return ShoulderMap(path.name.removesuffix(".nii.gz"), fields, affine, scale, plane)


def _head(humerus: np.ndarray, scapula: np.ndarray, mm: np.ndarray) -> tuple[np.ndarray, float]:
    """Middle (3,) and radius, mm, of the sphere through the head's surface that looks at the scapula."""
    surface = humerus & ~ndimage.binary_erosion(humerus)
    near = ndimage.distance_transform_edt(~scapula, sampling=mm) < 9.0
    middle, radius = sphere_through(np.argwhere(surface & near) * mm)
    every = np.argwhere(surface) * mm
    for _ in range(4):  # what lies on the sphere belongs to it
        off = np.linalg.norm(every - middle, axis=1) - radius
        middle, radius = sphere_through(every[(np.abs(off) < 1.2) & (every[:, 2] > middle[2] - 0.6 * radius)])
    return middle, radius


def complete(source: LabelMap, rng: np.random.Generator) -> Anatomy:
    """A whole shoulder round the map's bones; soft tissue, thin layers and side differ with every `rng`."""
    assert isinstance(source, ShoulderMap)
    shape = sample_shape(rng)
    for name in ("abduction", "rotation", "acromion_height"):
        shape[name] = 0.0  # as the map has them
    shape |= {"size": source.scale, "scapular_plane": source.plane_deg, "head_radius": HEAD_RADIUS_MM}
    affine, mm = source.affine, float(source.affine[0, 0])
    frame = soft_tissue.Frame(rotation(2, source.plane_deg).T / source.scale, -np.array(HEAD_MM))
    q = frame(grid_points(LOW_MM, HIGH_MM, mm)[0])
    fields = source.fields
    high, front = ROOF_MM
    acromion = np.maximum(fields["scapula"], np.maximum(high - q[2], q[1] - front)).astype(np.float32)
    scapula = np.maximum(fields["scapula"], 0.8 - fields["humerus"])
    clavicle = np.maximum(fields["clavicle"], 1.0 - scapula)
    bones = Bones(q, q, np.eye(3), fields["humerus"], scapula, acromion, clavicle)
    _, normal = true_distance(scapula[box_of(affine, *JOINT_BOX_MM)], mm)
    right = assemble(frame, bones, normal, shape, rng, affine, source.name)
    return right if rng.random() < 0.5 else right.mirrored()


def open_maps(folder: Path, names: Sequence[str] | None = None) -> LabelMapSource:
    """Random shoulders from the maps of `folder`, or from the named ones only."""
    return LabelMapSource([read_map(path) for path in map_paths(folder, SHOULDER.name, names)], complete)
