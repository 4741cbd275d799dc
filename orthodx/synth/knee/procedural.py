"""Procedural knees: random shape parameters -> bones -> cartilage and menisci -> soft tissue -> `Anatomy`."""

from __future__ import annotations

from typing import Any

import numpy as np

from orthodx.joints import KNEE
from orthodx.synth.anatomy import Anatomy, draw_shape
from orthodx.synth.knee import bones as bone
from orthodx.synth.knee import joint_space, soft_tissue
from orthodx.synth.knee.posture import Posture, carried, random_posture
from orthodx.synth.knee.tissues import TISSUES
from orthodx.synth.solids import box_of, distance_in, gap, grid_points, move, rotation, smooth_noise, true_distance

LOW_MM, HIGH_MM = (-82.0, -98.0, -100.0), (82.0, 84.0, 108.0)
FLEXION_AXIS = (0.0, -8.0, 21.0)  # the epicondylar axis, mm
BENDS = ((1.6, 38.0), (0.35, 9.0))  # how far and how widely every knee differs from its solids, mm

# Each parameter's mean and standard deviation (drawn normal, cut at 2 sd); mm, degrees or ratios.
SHAPE: dict[str, tuple[float, float]] = {
    "size": (1.0, 0.06),
    "width_ratio": (1.0, 0.03),
    "flexion": (9.0, 6.0),
    "valgus": (4.0, 2.0),
    "tibial_rotation": (0.0, 4.0),
    "medial_condyle": (0.5, 0.8),
    "lateral_condyle": (0.0, 0.8),
    "condyle_gap": (22.5, 1.2),
    "trochlea_lateral": (2.0, 1.2),
    "groove_depth": (1.0, 1.5),
    "notch_width": (10.0, 1.2),
    "femur_shaft": (14.5, 1.2),
    "femur_flare": (16.0, 2.5),
    "plateau_width": (0.0, 1.5),
    "plateau_depth": (0.0, 1.5),
    "tibial_slope": (6.0, 2.5),
    "medial_dish": (1.8, 0.6),
    "lateral_dome": (0.8, 0.5),
    "spine": (7.5, 1.2),
    "tibia_shaft": (14.0, 1.2),
    "tibia_flare": (20.0, 3.0),
    "tuberosity": (0.0, 1.2),
    "fibula_height": (0.0, 3.0),
    "patella_width": (22.0, 1.5),
    "patella_height": (21.5, 1.8),
    "patella_depth": (10.5, 0.9),
    "facet": (0.38, 0.06),
    "patella_z": (31.0, 4.0),
    "patella_tilt": (0.0, 4.0),
    "femoral_cartilage": (2.3, 0.35),
    "tibial_cartilage": (2.4, 0.35),
    "patellar_cartilage": (3.2, 0.5),
    "joint_space": (0.3, 0.25),
    "meniscus_height": (6.5, 0.8),
    "meniscus_width": (0.39, 0.05),
    "acl_radius": (4.6, 0.5),
    "pcl_radius": (5.2, 0.5),
    "fluid_film": (0.7, 0.3),
    "recess": (3.0, 1.6),
    "fat": (10.0, 5.0),
    "muscle": (1.0, 0.12),
    "physis": (0.5, 0.5),
}


def sample_shape(rng: np.random.Generator) -> dict[str, float]:
    """Draw one knee's shape parameters; feed the result to `build_knee` to replay it."""
    shape = draw_shape(rng, SHAPE)
    shape["fat"] = max(shape["fat"], 3.0)
    shape["flexion"] = max(shape["flexion"], 0.0)
    shape["seed"] = float(rng.integers(2**31))
    return shape


def build_knee(
    shape: dict[str, float], spacing_mm: float = 0.8, side: str = "right", posture: Posture | None = None
) -> Anatomy:
    """Build the knee that `shape` describes.

    shape: from `sample_shape`; its `cartilage_loss`, where it has one, thins every layer by that share.
    spacing_mm: isotropic voxel, mm. side: "right" or "left". posture: the same bones lying otherwise.
    Returns an `Anatomy` of about 205 x 228 x 260 voxels at 0.8 mm.
    """
    rng = np.random.default_rng(int(shape["seed"]))
    p, affine = grid_points(LOW_MM, HIGH_MM, spacing_mm)
    grid_shape = p.shape[1:]
    q, pf, pt = _frames(p, affine, shape, rng, posture)
    boxes = {
        "femur": box_of(affine, (-60, -60, -25), (60, 60, 200)),
        "tibia": box_of(affine, (-60, -65, -200), (60, 50, 25)),
        "fibula": box_of(affine, (10, -65, -200), (60, 30, 15)),
        "patella": box_of(affine, (-50, 15, -15), (50, 200, 85)),
        "joint": box_of(affine, (-58, -52, -66), (58, 70, 88)),
    }
    every = {name: (slice(None), *box) for name, box in boxes.items()}
    tibia, tibia_normal = distance_in(grid_shape, boxes["tibia"], bone.tibia(pt[every["tibia"]], shape), spacing_mm)
    left = 1 - shape.get("cartilage_loss", 0.0)
    wanted = (shape["femoral_cartilage"] + shape["tibial_cartilage"]) * left + shape["joint_space"]
    plateaus = box_of(affine, (-60, -60, -25), (60, 60, 40))
    step = (slice(None, None, 2),) * 3
    thin = (slice(None), *step)
    off_spine = np.where(np.abs(pt[0][plateaus][step]) < 11, 60, tibia[plateaus][step])
    on_plateaus = (slice(None), *plateaus)
    for _ in range(3):
        rough, _ = true_distance(bone.femur(pf[on_plateaus][thin], shape), 2 * spacing_mm)
        pf[2] -= wanted - gap(rough, off_spine)
    femur, femur_normal = distance_in(grid_shape, boxes["femur"], bone.femur(pf[every["femur"]], shape), spacing_mm)
    fibula, _ = distance_in(grid_shape, boxes["fibula"], bone.fibula(pt[every["fibula"]], shape), spacing_mm)
    fibula = np.maximum(fibula, 1.6 - tibia)
    tibia = np.maximum(tibia, 0.4 - femur)

    tilt = shape["patella_tilt"] + (posture.tilt_deg if posture else 0.0)
    pp = move(pf, rotation(2, tilt), (0, 48, shape["patella_z"]))
    centre = np.array([1.0, 52.0, shape["patella_z"]], np.float32)
    wanted = (shape["femoral_cartilage"] + shape["patellar_cartilage"]) * left + shape["joint_space"] + 0.2
    for _ in range(3):
        rough, _ = true_distance(bone.patella(pp[every["patella"]][thin], centre, shape), 2 * spacing_mm)
        centre[1] += np.clip(wanted - gap(rough, femur[boxes["patella"]][step]), -12, 12)
    patella, patella_normal = distance_in(
        grid_shape, boxes["patella"], bone.patella(pp[every["patella"]], centre, shape), spacing_mm
    )

    bones = joint_space.Bones(pf, pt, pp, centre, femur, tibia, fibula, patella)
    normals = {"femur": femur_normal, "tibia": tibia_normal, "patella": patella_normal}
    near = {name: normal[every["joint"]] for name, normal in normals.items()}
    moved = None
    if posture is not None:
        here = p[every["joint"]]
        pivot = _scale(shape) * FLEXION_AXIS
        moved = (posture.femur(here, pivot), posture.tibia(here, pivot), here[:, 0, 0, 0])
    local = joint_space.articulate(bones.crop(boxes["joint"]), near, shape, rng, spacing_mm, moved)
    joint = {name: np.zeros(grid_shape, bool) for name in local}
    for name, mask in local.items():
        joint[name][boxes["joint"]] = mask
    tissues = soft_tissue.wrap(q, bones, joint, shape, rng, spacing_mm)
    bones_into(tissues, bones, shape, rng, spacing_mm)
    for name in ("femoral_cartilage", "tibial_cartilage", "patellar_cartilage"):
        tissues[joint[name]] = TISSUES[name]
    params: dict[str, Any] = dict(shape)
    right = Anatomy(tissues, affine, "right", "procedural", params, KNEE.name)
    return right if side == "right" else right.mirrored()


def _scale(shape: dict[str, float]) -> np.ndarray:
    return np.array([shape["size"] * shape["width_ratio"], shape["size"], shape["size"]], np.float32)


def _frames(
    p: np.ndarray, affine: np.ndarray, shape: dict[str, float], rng: np.random.Generator, posture: Posture | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """World points (3, X, Y, Z) in the unscaled knee, in the frame of its femur, and in that of its tibia, mm."""
    mm, grid_shape, scale = float(affine[0, 0]), p.shape[1:], _scale(shape)
    wide = scale.reshape(3, 1, 1, 1)
    bends = [np.stack([far * smooth_noise(rng, grid_shape, mm, each) for _ in range(3)]) for far, each in BENDS]
    q = p / wide
    for bend in bends:
        q += bend
    qf, qt = q, q
    if posture is not None:  # each bone takes its own bends along, and stays the same bone
        bent, pivot = np.add(*bends), scale * FLEXION_AXIS
        places = (posture.femur(p, pivot), posture.tibia(p, pivot))
        qf, qt = (at / wide + carried(bent, at, affine[:3, 3], mm) for at in places)
    # the thigh tilts back and the shank tilts back, half the flexion each
    to_femur = rotation(0, -shape["flexion"] / 2) @ rotation(1, shape["valgus"] / 2)
    to_tibia = rotation(0, shape["flexion"] / 2) @ rotation(1, -shape["valgus"] / 2)
    to_tibia = to_tibia @ rotation(2, shape["tibial_rotation"])
    return q, move(qf, to_femur, FLEXION_AXIS), move(qt, to_tibia, FLEXION_AXIS)


def bones_into(
    tissues: np.ndarray, bones: joint_space.Bones, s: dict[str, float], rng: np.random.Generator, mm: float
) -> None:
    """Write marrow, cortical shell (thin under cartilage, 3-4 mm in the shaft) and physeal scars."""
    wobble = smooth_noise(rng, tissues.shape, mm, 14.0)
    distance_along = {
        "femur": bones.femur_points[2] - 45,
        "tibia": -bones.tibia_points[2] - 40,
        "fibula": -bones.tibia_points[2] - 45,
        "patella": np.zeros_like(bones.femur),
    }
    for name, along in distance_along.items():
        d = getattr(bones, name)
        cortex = 0.9 + 0.2 * wobble + 2.6 * np.clip(along / 45, 0, 1)
        if name == "fibula":
            cortex = np.minimum(cortex, 2.2)
        tissues[d < 0] = TISSUES[name]
        tissues[(d < 0) & (d > -cortex)] = TISSUES[f"{name}_cortex"]
    if s["physis"] > 0.3:
        for name, level, points in (
            ("femur", 33.0, bones.femur_points),
            ("tibia", -19.0, bones.tibia_points),
        ):
            line = np.abs(points[2] - level - 2.0 * wobble) < 0.55
            tissues[line & (getattr(bones, name) < -1.5)] = TISSUES[f"{name}_physis"]


def random_knee(rng: np.random.Generator, spacing_mm: float = 0.8) -> Anatomy:
    """One random knee, right or left with equal chance."""
    shape = sample_shape(rng)
    return build_knee(shape, spacing_mm, side="right" if rng.random() < 0.5 else "left")


def knee_later(knee: Anatomy, rng: np.random.Generator, cartilage_loss: float) -> Anatomy:
    """The procedural knee in another posture, its cartilage thinner by a share of what it was."""
    shape = {**knee.params, "cartilage_loss": cartilage_loss}
    return build_knee(shape, knee.spacing_mm, knee.side, random_posture(rng, shape["flexion"]))
