"""What is measured of one patient in two scans of a view: volumes and thickness, in the field that both show."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from orthodx.evaluation.bone_registration import Motion, register
from orthodx.joints import Joint
from orthodx.joints.joint import Structure
from orthodx.measuring.thickness import Thickness, thickness
from orthodx.studies.volume import Volume

VOLUME, MEAN, P5 = "volume_ml", "thickness_mm", "thickness_p5_mm"
PROBABILITY = "probability"
MEASURES = (VOLUME, MEAN, P5, PROBABILITY)


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One number twice. common: share of the first structure that both fields of view show.

    fit_mm: how well the bone that it lies on was registered; NaN where it was not, and all of both scans was taken.
    """

    target: str
    measure: str
    first: float
    later: float
    common: float = 1.0
    fit_mm: float = float("nan")


def compare(first: Volume, later: Volume, joint: Joint) -> tuple[list[Measured], dict[str, Motion]]:
    """Every structure of two label maps of one patient, in RAS+ mm of each scanner; and how each bone moved.

    A structure is measured where both fields of view show it, once the bone that it is, or lies on, is registered.
    """
    motions = bone_motions(first, later, joint)
    thick = [_thickness(volume, joint) for volume in (first, later)]
    out: list[Measured] = []
    for s in joint.structures:
        motion = _motion_of(s, motions)
        ml = [float(np.prod(v.spacing_mm)) / 1000 for v in (first, later)]
        at = [np.argwhere(v.data == s.value) for v in (first, later)]
        if not len(at[0]) and not len(at[1]):
            continue
        seen = _common(at, first, later, motion)
        facts = {
            "common": float(seen[0].mean()) if len(at[0]) else 1.0,
            "fit_mm": motion.fit_mm if motion else float("nan"),
        }
        sizes = [float(inside.sum()) * each for inside, each in zip(seen, ml, strict=True)]
        out.append(Measured(target=s.name, measure=VOLUME, first=sizes[0], later=sizes[1], **facts))
        if s.name in thick[0] and s.name in thick[1]:
            out += _thicknesses(s.name, [t[s.name] for t in thick], first, later, motion, facts)
    return out, motions


def bone_motions(first: Volume, later: Volume, joint: Joint) -> dict[str, Motion]:
    """Bone -> how it moved, of the bones in both scans that can be registered."""
    soft = [s.value for s in joint.structures if s.lies_on] or [s.value for s in joint.structures]
    middles = [_middle(volume, soft) for volume in (first, later)]
    if middles[0] is None or middles[1] is None:
        return {}
    found = {
        s.name: register(first, later, s.value, middles[0] - middles[1]) for s in joint.structures if not s.lies_on
    }
    return {name: motion for name, motion in found.items() if motion is not None}


def _middle(volume: Volume, values: list[int]) -> np.ndarray | None:
    at = np.argwhere(np.isin(volume.data, values))
    return volume.affine[:3, :3] @ at.mean(0) + volume.affine[:3, 3] if len(at) else None


def _motion_of(s: Structure, motions: Mapping[str, Motion]) -> Motion | None:
    """Of the structure itself, else of the first bone that it lies on, directly or by way of what it lies on."""
    for name in (s.name, *s.lies_on):
        if name in motions:
            return motions[name]
    return next(iter(motions.values()), None)


def _thickness(volume: Volume, joint: Joint) -> dict[str, Thickness]:
    """Layer -> its thickness; layers are what lies on one bone only."""
    value = {s.name: s.value for s in joint.structures}
    layers = [s for s in joint.structures if len(s.lies_on) == 1]
    return {
        s.name: thickness(volume.data == s.value, volume.data == value[s.lies_on[0]], volume.spacing_mm) for s in layers
    }


def _thicknesses(
    name: str, thick: list[Thickness], first: Volume, later: Volume, motion: Motion | None, facts: dict[str, float]
) -> Iterator[Measured]:
    seen = _common([t.places for t in thick], first, later, motion)
    one, two = (t.at(inside) for t, inside in zip(thick, seen, strict=True))
    yield Measured(target=name, measure=MEAN, first=one.mean_mm, later=two.mean_mm, **facts)
    yield Measured(target=name, measure=P5, first=one.p5_mm, later=two.p5_mm, **facts)


def _common(at: list[np.ndarray], first: Volume, later: Volume, motion: Motion | None) -> list[np.ndarray]:
    """Which voxel indices (n, 3) of each scan the other one's field of view shows; all without a motion."""
    if motion is None:
        return [np.ones(len(a), bool) for a in at]
    world = [a @ v.affine[:3, :3].T + v.affine[:3, 3] for a, v in zip(at, (first, later), strict=True)]
    return [_inside(motion.to_later(world[0]), later), _inside(motion.to_first(world[1]), first)]


def _inside(points: np.ndarray, volume: Volume) -> np.ndarray:
    back = np.linalg.inv(volume.affine)
    index = points @ back[:3, :3].T + back[:3, 3]
    return ((index > -0.5) & (index < np.array(volume.shape) - 0.5)).all(1)
