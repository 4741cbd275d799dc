"""Knees from label maps: real or modelled bones and cartilage, completed to a whole limb.

A map (NIfTI, values 1-11 of the knee's structures, axes about RAS+; a left knee is mirrored) gives what it has; what it
lacks is added round it: shafts beyond its ends, cortex, fibula, menisci, cruciates, collaterals, tendons,
muscles, fat and skin, by the same rules that build the procedural knee.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from orthodx.errors import StudyError
from orthodx.joints import KNEE
from orthodx.synth.anatomy import Anatomy
from orthodx.synth.knee import bones as bone
from orthodx.synth.knee import joint_space, soft_tissue
from orthodx.synth.knee.procedural import HIGH_MM, LOW_MM, bones_into, sample_shape
from orthodx.synth.knee.tissues import TISSUES
from orthodx.synth.label_maps import (
    BONE_SMOOTH_MM,
    THIN_SMOOTH_MM,
    LabelMap,
    LabelMapSource,
    as_right,
    field_of,
    grown,
    map_paths,
    read_labels,
)
from orthodx.synth.solids import Field, box_of, grid_points, true_distance

PLATEAU_WIDTH_MM = 75.0  # of the procedural knee that the soft tissue is scaled from
JOINT_BOX_MM = ((-58.0, -58.0, -66.0), (58.0, 70.0, 88.0))
SHAFTS = ("femur", "tibia", "fibula")
BONES = (*SHAFTS, "patella")
SIDES = [(TISSUES["fibula"], TISSUES["tibia"]), (TISSUES["lateral_meniscus"], TISSUES["medial_meniscus"])]
CARTILAGES = ("femoral_cartilage", "tibial_cartilage", "patellar_cartilage")
# what maps show too thin is thickened to a volume drawn from these (mL, of adults)
VOLUMES_ML = {"medial_meniscus": (1.8, 3.6), "lateral_meniscus": (1.8, 3.6), "acl": (1.2, 2.4), "pcl": (1.6, 3.0)}


def read_map(path: Path, spacing_mm: float = 0.8) -> LabelMap:
    """Read a map, smooth its staircases, centre it on the joint and extend the cut shafts.

    Raises `StudyError` unless femur, tibia and patella are there, on axes within 20 degrees of RAS+.
    """
    volume = read_labels(path)
    labels = as_right(np.rint(volume.data).astype(np.uint8), SIDES)
    for name in ("femur", "tibia", "patella"):
        if not (labels == TISSUES[name]).any():
            raise StudyError(f"{path.name}: has no {name}", hint="give a whole knee")
    mm = np.asarray(volume.spacing_mm, float)
    tibia = np.argwhere(labels == TISSUES["tibia"]) * mm
    top = tibia[:, 2].max()
    plateau = tibia[(tibia[:, 2] < top - 9) & (tibia[:, 2] > top - 16)]
    low, high = plateau.min(0), plateau.max(0)
    scale = float((high[0] - low[0]) / PLATEAU_WIDTH_MM)
    # the procedural knee has its plateau's middle at (0, -4, -3) mm and its spines' tips at z = +4.5 mm
    origin = np.array([(low[0] + high[0]) / 2, (low[1] + high[1]) / 2 + 4 * scale, top - 4.5 * scale])
    affine = np.diag([spacing_mm, spacing_mm, spacing_mm, 1.0])
    affine[:3, 3] = LOW_MM
    shape = tuple(int(n) for n in np.ceil((np.array(HIGH_MM) - np.array(LOW_MM)) / spacing_mm))
    fields = {}
    for name in (*BONES, *CARTILAGES, *VOLUMES_ML):
        mask = labels == TISSUES[name]
        if mask.sum() * mm.prod() >= 100:
            smooth = BONE_SMOOTH_MM if name in BONES else THIN_SMOOTH_MM
            fields[name] = field_of(mask, mm, origin, affine, shape, shaft=name in SHAFTS, smooth_mm=smooth)
    return LabelMap(path.name.removesuffix(".nii.gz"), fields, affine, scale)


def complete(source: LabelMap, rng: np.random.Generator) -> Anatomy:
    """A whole limb round the map's bones; soft tissue, thin layers and side differ with every `rng`."""
    shape = sample_shape(rng)
    affine, mm = source.affine, float(source.affine[0, 0])
    p, _ = grid_points(LOW_MM, HIGH_MM, mm)
    q = (p / np.float32(source.scale)).astype(np.float32)
    fields = {name: source.fields[name] for name in BONES if name in source.fields}
    if "fibula" not in fields:
        made = (bone.fibula(q, {**shape, "plateau_width": 0.0}) * source.scale).astype(np.float32)
        fields["fibula"] = np.maximum(made, 1.6 - source.fields["tibia"])
    patella = np.argwhere(source.fields["patella"] < 0).mean(0) * mm + affine[:3, 3]
    bones = joint_space.Bones(q, q, q, (patella / source.scale).astype(np.float32), *(fields[n] for n in BONES))

    box = box_of(affine, *JOINT_BOX_MM)
    near = bones.crop(box)
    normals = {name: true_distance(getattr(near, name), mm)[1] for name in ("femur", "tibia", "patella")}
    local = joint_space.articulate(near, normals, shape, rng, mm)
    _overrule(local, {name: source.fields[name][box] for name in source.fields if name not in BONES}, near, rng, mm)
    joint = {name: np.zeros(p.shape[1:], bool) for name in local}
    for name, mask in local.items():
        joint[name][box] = mask
    tissues = soft_tissue.wrap(q, bones, joint, shape, rng, mm)
    bones_into(tissues, bones, shape, rng, mm)
    for name in CARTILAGES:
        tissues[joint[name] & (bones.any > -mm)] = TISSUES[name]
    right = Anatomy(tissues, affine, "right", source.name, dict(shape), KNEE.name)
    return right if rng.random() < 0.5 else right.mirrored()


def _overrule(
    joint: joint_space.Masks, mapped: dict[str, Field], bones: joint_space.Bones, rng: np.random.Generator, mm: float
) -> None:
    """Put what the map shows in the place of what the rules made; the rest keeps clear of it."""
    taken = np.zeros(bones.femur.shape, bool)
    for name in CARTILAGES:
        if name in mapped:
            joint[name] = mapped[name] < 0
        taken |= joint[name]
    free = bones.any > 0
    for name in VOLUMES_ML:
        if name in mapped:
            joint[name] = grown(mapped[name], free & ~taken, rng.uniform(*VOLUMES_ML[name]), mm)
        joint[name] &= ~taken
        taken |= joint[name]
    for name in set(joint) - set(CARTILAGES) - set(VOLUMES_ML):
        joint[name] &= ~taken


def open_maps(folder: Path, names: Sequence[str] | None = None) -> LabelMapSource:
    """What draws knees from the maps of `folder`; `names` (file names without ending) picks some."""
    return LabelMapSource([read_map(path) for path in map_paths(folder, KNEE.name, names)], complete)
