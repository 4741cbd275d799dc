"""Procedural shoulders: random shape parameters -> bones -> joint -> soft tissue -> `Anatomy`."""

from __future__ import annotations

from typing import Any

import numpy as np

from orthodx.joints import SHOULDER
from orthodx.synth.anatomy import Anatomy, draw_shape
from orthodx.synth.shoulder import bones as bone
from orthodx.synth.shoulder import joint_space, soft_tissue
from orthodx.synth.shoulder.tissues import TISSUES
from orthodx.synth.solids import box_of, distance_in, grid_points, rotation, smooth_noise

LOW_MM, HIGH_MM = (-92.0, -88.0, -80.0), (86.0, 84.0, 78.0)
HEAD_MM = (13.0, 3.0, 6.0)  # middle of the humeral head in the scapula's axes about the world's origin
JOINT_BOX_MM = ((-58.0, -50.0, -40.0), (56.0, 62.0, 52.0))
SCAPULAR_PLANE_DEG = 30.0  # of the blade before the coronal plane

# Each parameter's mean and standard deviation (drawn normal, cut at 2 sd); mm, degrees or ratios.
SHAPE: dict[str, tuple[float, float]] = {
    "size": (1.0, 0.06),
    "width_ratio": (1.0, 0.03),
    "scapular_plane": (SCAPULAR_PLANE_DEG, 3.0),
    "abduction": (4.0, 7.0),
    "rotation": (0.0, 13.0),
    "head_radius": (22.6, 0.8),
    "greater_tuberosity": (0.0, 0.7),
    "lesser_tuberosity": (0.0, 0.7),
    "humerus_shaft": (0.0, 0.7),
    "glenoid_width": (27.0, 1.6),
    "glenoid_height": (38.0, 2.2),
    "glenoid_flatness": (5.0, 1.5),
    "glenoid_version": (2.0, 4.0),
    "coracoid": (0.0, 0.6),
    "acromion_height": (2.0, 1.2),
    "acromion_slope": (0.0, 1.2),
    "acromion_hook": (1.8, 1.8),
    "acromion_width": (0.0, 0.9),
    "clavicle": (0.0, 0.6),
    "humeral_cartilage": (1.5, 0.22),
    "glenoid_cartilage": (1.8, 0.25),
    "joint_space": (0.3, 0.15),
    "labrum": (2.9, 0.3),
    "supraspinatus": (5.2, 0.5),
    "infraspinatus": (4.6, 0.5),
    "subscapularis": (5.0, 0.5),
    "biceps": (2.5, 0.25),
    "bursa_fat": (1.4, 0.3),
    "ac_capsule": (2.2, 0.4),
    "fluid_film": (0.6, 0.25),
    "recess": (1.4, 0.5),
    "fat": (9.0, 4.5),
    "muscle": (1.0, 0.1),
    "physis": (0.1, 0.5),
    "rib_phase": (0.5, 0.3),
}


def sample_shape(rng: np.random.Generator) -> dict[str, float]:
    """Draw one shoulder's shape parameters; feed the result to `build_shoulder` to replay it."""
    shape = draw_shape(rng, SHAPE)
    shape["fat"] = max(shape["fat"], 3.0)
    shape["acromion_hook"] = max(shape["acromion_hook"], 0.0)
    shape["seed"] = float(rng.integers(2**31))
    return shape


def arm_of(s: dict[str, float]) -> np.ndarray:
    """(3, 3): turns the humerus's own frame into the scapula's. Rotation is inwards above 0."""
    along = bone.SHAFT[-2] / np.linalg.norm(bone.SHAFT[-2])
    a = np.deg2rad(-s["rotation"])
    cross = np.array([[0, -along[2], along[1]], [along[2], 0, -along[0]], [-along[1], along[0], 0]])
    turn = np.eye(3) + np.sin(a) * cross + (1 - np.cos(a)) * cross @ cross
    return rotation(1, -s["abduction"]) @ turn


def build_shoulder(shape: dict[str, float], spacing_mm: float = 0.8, side: str = "right") -> Anatomy:
    """Build the shoulder that `shape` describes.

    shape: from `sample_shape`. spacing_mm: isotropic voxel, mm. side: "right" or "left".
    Returns an `Anatomy` of about 223 x 215 x 198 voxels at 0.8 mm.
    """
    rng = np.random.default_rng(int(shape["seed"]))
    p, affine = grid_points(LOW_MM, HIGH_MM, spacing_mm)
    grid_shape = p.shape[1:]
    scale = np.array([shape["size"] * shape["width_ratio"], shape["size"], shape["size"]])
    turn = rotation(2, shape["scapular_plane"]).T
    frame = soft_tissue.Frame(turn @ np.diag(1 / scale), -np.array(HEAD_MM))
    q = frame(p)
    for size_mm, scale_mm in ((1.3, 38.0), (0.3, 9.0)):
        for i in range(3):
            q[i] += size_mm * smooth_noise(rng, grid_shape, spacing_mm, scale_mm)

    arm = arm_of(shape)
    boxes = {
        "humerus": box_of(affine, (-40, -52, -90), (86, 70, 42)),
        "scapula": box_of(affine, (-92, -88, -80), (48, 66, 66)),
        "roof": box_of(affine, (-92, -50, 10), (48, 84, 74)),
    }
    every = {name: (slice(None), *box) for name, box in boxes.items()}
    ph = np.tensordot(arm.T.astype(np.float32), q, axes=1)
    humerus, _ = distance_in(grid_shape, boxes["humerus"], bone.humerus(ph[every["humerus"]], shape), spacing_mm)
    scapula, normal = distance_in(grid_shape, boxes["scapula"], bone.scapula(q[every["scapula"]], shape), spacing_mm)
    acromion, _ = distance_in(grid_shape, boxes["scapula"], bone.acromion(q[every["scapula"]], shape), spacing_mm)
    clavicle, _ = distance_in(grid_shape, boxes["roof"], bone.clavicle(q[every["roof"]], shape), spacing_mm)
    scapula, acromion = np.maximum(scapula, 1.2 - humerus), np.maximum(acromion, 3.0 - humerus)
    clavicle = np.maximum(clavicle, shape["ac_capsule"] + 1.2 - np.minimum(acromion, scapula))

    bones = joint_space.Bones(q, ph, arm, humerus, scapula, acromion, clavicle)
    near = (slice(None), *box_of(affine, *JOINT_BOX_MM))
    right = assemble(frame, bones, normal[near], shape, rng, affine, "procedural")
    return right if side == "right" else right.mirrored()


def assemble(
    frame: soft_tissue.Frame, bones: joint_space.Bones, normal: np.ndarray, shape: dict[str, float],
    rng: np.random.Generator, affine: np.ndarray, source: str,
) -> Anatomy:  # fmt: skip
    """A right shoulder round its bones. normal: (3, ...), outward of the scapula, in `JOINT_BOX_MM`."""
    mm, box = float(affine[0, 0]), box_of(affine, *JOINT_BOX_MM)
    local = joint_space.articulate(bones.crop(box), normal, shape, rng, mm)
    joint = {name: np.zeros(bones.humerus.shape, bool) for name in local}
    for name, mask in local.items():
        joint[name][box] = mask
    tissues = soft_tissue.wrap(frame, bones, shape, rng, affine)
    _joint_into(tissues, joint)
    _bones_into(tissues, bones, shape, rng, mm)
    tissues[joint["glenohumeral_cartilage"]] = TISSUES["glenohumeral_cartilage"]
    params: dict[str, Any] = dict(shape)
    return Anatomy(tissues, affine, "right", source, params, SHOULDER.name)


def _joint_into(tissues: np.ndarray, joint: joint_space.Masks) -> None:
    """Write what lies round the head, what is in front last."""
    for name in ("bursa", "capsule", "fluid", *joint_space.CUFF, "biceps_long_head", "labrum"):
        tissues[joint[name]] = TISSUES[name]


def _bones_into(
    tissues: np.ndarray, bones: joint_space.Bones, s: dict[str, float], rng: np.random.Generator, mm: float
) -> None:
    """Write marrow, cortical shell (thick in the shaft) and physeal scar."""
    wobble = smooth_noise(rng, tissues.shape, mm, 14.0)
    fields = {
        "humerus": bones.humerus,
        "scapula": np.minimum(bones.scapula, bones.acromion),
        "clavicle": bones.clavicle,
    }
    for name, d in fields.items():
        along = np.clip((-bones.humerus_points[2] - 22) / 40, 0, 1) if name == "humerus" else 0.0
        cortex = 0.95 + 0.2 * wobble + 2.4 * along
        tissues[d < 0] = TISSUES[name]
        tissues[(d < 0) & (d > -cortex)] = TISSUES[f"{name}_cortex"]
    if s["physis"] > 0.3:
        x, _, z = bones.humerus_points
        line = np.abs(z + 4 + 0.25 * x - 2.0 * wobble) < 0.55
        tissues[line & (bones.humerus < -1.5)] = TISSUES["humerus_physis"]


def random_shoulder(rng: np.random.Generator, spacing_mm: float = 0.8) -> Anatomy:
    """One random shoulder, right or left with equal chance."""
    shape = sample_shape(rng)
    return build_shoulder(shape, spacing_mm, side="right" if rng.random() < 0.5 else "left")
