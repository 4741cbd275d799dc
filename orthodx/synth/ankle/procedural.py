"""Procedural ankles: random shape parameters -> posture -> bones -> joints, ligaments -> soft tissue -> `Anatomy`."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import ndimage

from orthodx.joints import ANKLE
from orthodx.synth.anatomy import Anatomy, draw_shape
from orthodx.synth.ankle import bones as bone
from orthodx.synth.ankle import joint_space, ligaments, soft_tissue
from orthodx.synth.ankle.posture import Posture
from orthodx.synth.ankle.tissues import TISSUES
from orthodx.synth.solids import Field, box_of, distance_in, fade, grid_points, smooth_noise, true_distance

LOW_MM, HIGH_MM = (-58.0, -84.0, -84.0), (60.0, 84.0, 84.0)
CENTRE = (0.0, 6.0, 6.0)  # the point of the leg's frame, mm, that is the world's origin

# Each parameter's mean and standard deviation (drawn normal, cut at 2 sd); mm, degrees or ratios.
SHAPE: dict[str, tuple[float, float]] = {
    "size": (1.0, 0.06),
    "width_ratio": (1.0, 0.03),
    "plantar_flexion": (9.0, 8.0),
    "inversion": (2.0, 3.0),
    "dome_radius": (22.0, 0.8),
    "dome_width": (14.2, 0.6),
    "tibia_shaft": (13.0, 0.8),
    "tibia_flare": (21.0, 2.0),
    "plafond_width": (0.0, 0.8),
    "plafond_depth": (0.0, 0.8),
    "medial_malleolus": (0.0, 1.0),
    "lateral_malleolus": (0.0, 1.3),
    "heel": (0.0, 1.5),
    "sinus": (6.0, 0.7),
    "talar_cartilage": (1.35, 0.15),
    "joint_cartilage": (1.15, 0.12),
    "joint_space": (0.35, 0.15),
    "atfl_size": (1.0, 0.1),
    "cfl_size": (1.0, 0.1),
    "achilles_width": (6.6, 0.5),
    "achilles_thickness": (2.7, 0.25),
    "fluid_film": (0.6, 0.25),
    "recess": (1.2, 0.7),
    "fat": (2.6, 1.4),
    "heel_pad": (12.0, 2.0),
    "muscle": (1.0, 0.12),
    "physis": (0.5, 0.5),
}
BOXES_MM = {  # of the leg's frame, wide enough for every posture and size
    "tibia": ((-46, -34, -6), (38, 46, 200)),
    "fibula": ((2, -34, -26), (46, 30, 200)),
    "heel": ((-50, -84, -84), (50, 56, 40)),
    "tarsus": ((-60, 2, -84), (62, 200, 40)),
    "talus": ((-40, -42, -34), (36, 56, 40)),
    "joint": ((-44, -44, -52), (44, 66, 48)),
}


def sample_shape(rng: np.random.Generator) -> dict[str, float]:
    """Draw one ankle's shape parameters; feed the result to `build_ankle` to replay it."""
    shape = draw_shape(rng, SHAPE)
    shape["fat"] = max(shape["fat"], 1.2)
    shape["recess"] = max(shape["recess"], 0.0)
    shape["seed"] = float(rng.integers(2**31))
    return shape


def build_ankle(shape: dict[str, float], spacing_mm: float = 0.7, side: str = "right") -> Anatomy:
    """Build the ankle that `shape` describes.

    shape: from `sample_shape`. spacing_mm: isotropic voxel, mm. side: "right" or "left".
    Returns an `Anatomy` of about 169 x 240 x 240 voxels at 0.7 mm.
    """
    rng, mm = np.random.default_rng(int(shape["seed"])), spacing_mm
    p, affine = grid_points(LOW_MM, HIGH_MM, mm)
    scale = np.array([shape["size"] * shape["width_ratio"], shape["size"], shape["size"]], np.float32)
    p /= scale.reshape(3, 1, 1, 1)
    p += np.array(CENTRE, np.float32).reshape(3, 1, 1, 1)
    p += np.stack([1.2 * smooth_noise(rng, p.shape[1:], mm, 38.0) for _ in range(3)])
    p += np.stack([0.3 * smooth_noise(rng, p.shape[1:], mm, 9.0) for _ in range(3)])
    posture = Posture.of(shape)
    bones = stand(p, posture, shape, boxes_of(affine), mm)
    right = assemble(bones, posture, shape, rng, affine)
    return right if side == "right" else right.mirrored()


def boxes_of(affine: np.ndarray) -> dict[str, tuple[slice, ...]]:
    """Where each bone may lie on the grid of `affine`, by the names of `BOXES_MM`."""
    return {name: box_of(affine, *(np.array(end) - CENTRE for end in ends)) for name, ends in BOXES_MM.items()}


def assemble(
    bones: joint_space.Bones,
    posture: Posture,
    shape: dict[str, float],
    rng: np.random.Generator,
    affine: np.ndarray,
    source: str = "procedural",
) -> Anatomy:
    """A right ankle round its bones, wherever these came from."""
    mm, box = float(affine[0, 0]), boxes_of(affine)["joint"]
    near = bones.crop(box)
    local = {**joint_space.articulate(near, shape, rng, mm), **ligaments.tie(near, posture, shape, rng)}
    joint = {name: np.zeros(bones.talus.shape, bool) for name in local}
    for name, mask in local.items():
        joint[name][box] = mask
    tissues = soft_tissue.wrap(bones, joint, posture, shape, rng, mm)
    bones_into(tissues, bones, shape, rng, mm)
    for name in ("joint_cartilage", "talar_cartilage"):
        tissues[joint[name]] = TISSUES[name]
    params: dict[str, Any] = dict(shape)
    return Anatomy(tissues, affine, "right", source, params, ANKLE.name)


def stand(
    p: np.ndarray, posture: Posture, s: dict[str, float], boxes: dict[str, tuple[slice, ...]], mm: float
) -> joint_space.Bones:
    """The bones where they stand, none nearer to the next than their cartilage lets them."""
    shape, gap = p.shape[1:], joint_space.gap_of(s)
    every = {name: (slice(None), *box) for name, box in boxes.items()}

    def distance(name: str, field: Field) -> Field:
        return distance_in(shape, boxes[name], field, mm)[0]

    foot, heel = posture.foot(p), posture.heel(p)
    sinus = distance("talus", bone.sinus(foot[every["talus"]], s))
    calcaneus = distance("heel", bone.calcaneus(heel[every["heel"]], s))
    talus = distance("talus", bone.talus(foot[every["talus"]], s))
    calcaneus = np.maximum(calcaneus, -1.2 - sinus)
    talus = np.maximum.reduce([talus, gap - calcaneus, -sinus])
    tibia = distance("tibia", bone.tibia(p[every["tibia"]], s, gap))
    fibula = distance("fibula", bone.fibula(p[every["fibula"]], s))
    tibia = np.maximum(tibia, gap - talus)
    fibula = np.maximum.reduce([fibula, gap - talus, gap - calcaneus, 1.5 - tibia])
    front = boxes["tarsus"]
    room = np.minimum(talus[front], calcaneus[front])
    nearest, following = np.full((2, *shape), 60.0, np.float32)
    for solid in bone.tarsus(heel[every["tarsus"]]):
        field = np.maximum.reduce([true_distance(solid, mm)[0], gap - room, 1.6 - nearest[front]])
        following[front] = np.minimum(following[front], np.maximum(nearest[front], field))
        nearest[front] = np.minimum(nearest[front], field)
    tibia, fibula, talus, calcaneus = (_one_piece(field, mm) for field in (tibia, fibula, talus, calcaneus))
    return joint_space.Bones(p, foot, tibia, fibula, talus, calcaneus, nearest, following)


def _one_piece(field: Field, mm: float) -> Field:
    """The largest solid of a field alone; where edges of solids met, distances are no longer too small."""
    pieces, n = ndimage.label(field < 0)
    solid = pieces == np.argmax(np.bincount(pieces.ravel())[1:]) + 1 if n > 1 else pieces > 0
    box = tuple(
        slice(max(s.start - int(8 / mm), 0), s.stop + int(8 / mm))
        for s in ndimage.find_objects(solid.astype(np.uint8))[0]
    )
    away = ndimage.distance_transform_edt(~solid[box], sampling=mm).astype(np.float32)
    field[box] = np.maximum(field[box], np.where(solid[box], field[box], away - 0.7 * mm))
    outside = (pieces > 0) & ~solid
    outside[box] = False
    field[outside] = 8.0
    return field


def bones_into(
    tissues: np.ndarray, bones: joint_space.Bones, s: dict[str, float], rng: np.random.Generator, mm: float
) -> None:
    """Write marrow, cortical shell (thin at the joints, 3 mm in the shafts) and physeal scars."""
    wobble = smooth_noise(rng, tissues.shape, mm, 14.0)
    z = bones.leg_points[2]
    along = {"tibia": 2.4 * fade(z, 45, 95), "fibula": 1.5 * fade(z, 25, 70)}
    for name, d in bones.by_name.items():
        cortex = 0.85 + 0.15 * wobble + along.get(name, 0.0)
        tissues[d < 0] = TISSUES[name]
        tissues[(d < 0) & (d > -cortex)] = TISSUES[f"{name}_cortex"]
    if s["physis"] > 0.3:
        for name, level in (("tibia", 37.0), ("fibula", 26.0)):
            line = np.abs(z - level - 1.5 * wobble) < 0.5
            tissues[line & (bones.by_name[name] < -1.5)] = TISSUES[f"{name}_physis"]


def random_ankle(rng: np.random.Generator, spacing_mm: float = 0.7) -> Anatomy:
    """One random ankle, right or left with equal chance."""
    shape = sample_shape(rng)
    return build_ankle(shape, spacing_mm, side="right" if rng.random() < 0.5 else "left")
