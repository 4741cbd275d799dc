"""The ligaments of an ankle: flat bands between landmarks of its bones, wherever these stand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from orthodx.synth.ankle.joint_space import Bones, Masks
from orthodx.synth.ankle.posture import Path, Posture
from orthodx.synth.solids import Field, bezier, box_round, tube


@dataclass(frozen=True)
class Band:
    """A flat ligament: a path in the frames of its bones, the direction (3,) of its width, half width, radius, mm."""

    path: Path
    side: tuple[float, float, float]
    half_width: float
    radius: float
    between: tuple[str, str]
    tissue: str = "ligament"


BANDS = (
    Band(
        (("leg", 22.0, 9.5, 4.5), ("leg", 18.5, 15.5, 6.5), ("foot", 8.5, 19.0, 6.5)),
        (0.0, -0.25, 1.0), 3.0, 1.15, ("fibula", "talus"), "atfl",
    ),
    Band(
        (("leg", 22.5, -3.0, -6.0), ("leg", 22.0, -8.0, -14.0), ("heel", 13.5, -16.0, -22.0)),
        (0.2, 1.0, -0.35), 1.9, 1.3, ("fibula", "calcaneus"), "cfl",
    ),
    Band(
        (("leg", 16.5, -9.0, 4.0), ("leg", 9.0, -15.0, 4.0), ("foot", 0.0, -16.0, 4.5)),
        (0.0, 0.0, 1.0), 2.0, 1.3, ("fibula", "talus"),
    ),
    Band(  # deltoid, deep
        (("leg", -24.0, 4.0, 14.0), ("leg", -23.0, 0.0, 9.0), ("foot", -17.5, -4.0, 3.0)),
        (0.0, 1.0, 0.2), 4.5, 1.5, ("tibia", "talus"),
    ),
    Band(  # deltoid, to the sustentaculum
        (("leg", -27.0, 9.0, 15.0), ("leg", -25.5, 8.0, 4.0), ("heel", -20.5, 4.0, -8.5)),
        (0.0, 1.0, 0.0), 5.0, 1.0, ("tibia", "calcaneus"),
    ),
    Band(  # deltoid, to the neck and the navicular
        (("leg", -26.0, 16.0, 16.0), ("foot", -25.0, 25.0, 8.0), ("heel", -21.5, 36.0, 3.0)),
        (0.0, 0.4, 1.0), 3.5, 1.0, ("tibia", "other_foot_bones"),
    ),
    Band(  # spring ligament
        (("heel", -16.0, 11.0, -10.0), ("heel", -15.0, 21.0, -10.5), ("heel", -12.0, 32.0, -7.5)),
        (1.0, 0.0, 0.0), 4.0, 1.2, ("calcaneus", "other_foot_bones"),
    ),
    Band(  # tibiofibular, in front and behind
        (("leg", 14.0, 21.0, 33.0), ("leg", 19.5, 14.5, 28.0), ("leg", 22.5, 6.5, 23.0)),
        (0.25, 0.25, 1.0), 4.0, 1.1, ("tibia", "fibula"),
    ),
    Band(
        (("leg", 8.0, -12.5, 31.0), ("leg", 12.5, -14.0, 27.0), ("leg", 18.0, -11.0, 22.0)),
        (0.2, -0.2, 1.0), 4.0, 1.2, ("tibia", "fibula"),
    ),
    Band(  # across the tarsal canal
        (("heel", 0.0, 9.0, -12.0), ("foot", -2.0, 9.5, -6.0), ("foot", -4.0, 10.0, 0.0)),
        (1.0, 0.5, 0.0), 3.0, 0.9, ("calcaneus", "talus"),
    ),
)  # fmt: skip


def tie(bones: Bones, posture: Posture, s: Mapping[str, float], rng: np.random.Generator) -> Masks:
    """Masks (X, Y, Z) bool of the bands by tissue."""
    p = bones.leg_points
    masks: Masks = {name: np.zeros(p.shape[1:], bool) for name in ("atfl", "cfl", "ligament")}
    for band in BANDS:
        points = posture.in_leg(band.path) + rng.normal(0, 0.5, 3)
        first, last = (
            footprint(bones.by_name[bone], p, point) for bone, point in zip(band.between, points[[0, -1]], strict=True)
        )
        size = s.get(f"{band.tissue}_size", 1.0)
        path = bezier(first, points[1], last, 6)
        masks[band.tissue] |= ribbon(p, path, band.side, size * band.half_width, size * band.radius)
    return masks


def footprint(bone: Field, p: np.ndarray, nominal: np.ndarray, deep_mm: float = 1.2) -> np.ndarray:
    """The point (3,) just inside a bone's surface that is nearest to a nominal one."""
    near = np.abs(bone + deep_mm) < 0.6
    found = p[:, near]
    if found.shape[1] == 0:
        return nominal
    return found[:, np.argmin(((found - nominal[:, None]) ** 2).sum(0))].astype(float)


def ribbon(p: np.ndarray, path: np.ndarray, side: tuple[float, float, float], half: float, radius: float) -> np.ndarray:
    """Inside of a flat band: strands of `radius` side by side over 2 * `half` mm, along `path` (N, 3)."""
    out = np.zeros(p.shape[1:], bool)
    across = np.array(side) / np.linalg.norm(side)
    box = box_round(p, path, half + 2 * radius + 1)
    if box is None:
        return out
    local = p[:, box[0], box[1], box[2]]
    for offset in np.linspace(-half, half, max(2, int(np.ceil(2 * half / radius)) + 1)):
        out[box] |= tube(local, path + offset * across, np.full(len(path), radius)) < 0
    return out
