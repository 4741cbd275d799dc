"""The soft tissue round every joint: muscle bellies with septa between them, fascia, fat, skin, vessels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from orthodx.synth.solids import Face, Field, closed, coarse, tube, upsample
from orthodx.synth.tissues import TissueTable

Line = Sequence[tuple[float, float, float, float]] | np.ndarray  # x, y, z of a belly's middle line and its radius, mm
STEP = 2  # bellies and vessels are made on every second voxel, fascia on every fourth
SKIN_MM, MUSCLE_DEPTH_MM = 1.6, 4.5
GROWN = 1.22  # bellies swell until they meet, as packed muscles do


@dataclass(frozen=True)
class Bellies:
    """Muscles as distances (X, Y, Z), mm: to the nearest belly, and how much further the next one is."""

    nearest: Field
    septum: Field

    def on(self, shape: tuple[int, ...]) -> Bellies:
        """The same on the fine grid."""
        return Bellies(upsample(self.nearest, shape), upsample(self.septum, shape))


def bellies(
    points: np.ndarray, muscles: Mapping[str, Line], thickness: float, noise: Field, rng: np.random.Generator
) -> Bellies:
    """Muscles on the coarse grid along their lines, each a little displaced and thicker than in the next patient.

    points: (3, X, Y, Z) of the coarse grid, mm. noise: smooth, of unit variance.
    """
    first = np.full(points.shape[1:], 1e3, np.float32)
    second = first.copy()
    for line in muscles.values():
        pts = np.array(line, float)
        pts[:, :3] += rng.normal(0, 1.8, 3)
        d = tube(points, pts[:, :3], GROWN * pts[:, 3] * thickness * rng.normal(1, 0.06)) + 1.2 * noise
        second = np.minimum(second, np.maximum(first, d))
        first = np.minimum(first, d)
    return Bellies(first, second - first)


def fascia_round(
    core: Field, muscles: Bellies, mm: float, bridge_mm: float, cut: Sequence[Face] = ((2, 0), (2, 1))
) -> Field:
    """Distance (mm) to the surface round `core` < 0 and the muscles, on every fourth voxel.

    core: such a field of bones and tendons. bridge_mm: hollows narrower than this are bridged. cut: as of
    `closed`.
    """
    core = np.minimum(core, coarse(muscles.nearest, STEP)[tuple(slice(0, n) for n in core.shape)])
    return closed(core, mm * STEP * 2, bridge_mm, cut)


def wrapped(table: TissueTable, skin: Field, fascia: Field, muscles: Bellies) -> np.ndarray:
    """Tissues (X, Y, Z) uint8 of a limb of skin, fat, fascia and muscle; air round it.

    skin, fascia: distances (X, Y, Z) to these surfaces, mm, negative inside; `muscles` on the same grid.
    """
    tissues = np.zeros(skin.shape, np.uint8)
    tissues[skin < 0] = table["skin"]
    tissues[skin < -SKIN_MM] = table["fat"]
    tissues[(skin < -SKIN_MM) & (np.abs(fascia - 0.4) < 0.45)] = table["capsule"]
    tissues[(muscles.nearest < 0) & (muscles.septum > 1.0) & (skin < -MUSCLE_DEPTH_MM)] = table["muscle"]
    return tissues


def lay_vessels(
    tissues: np.ndarray,
    table: TissueTable,
    points: np.ndarray,
    paths: Sequence[tuple[Sequence[tuple[float, float, float]] | np.ndarray, float]],
    rng: np.random.Generator,
) -> None:
    """Vessels along paths, each with its radius, mm; points: (3, X, Y, Z) of the coarse grid, mm."""
    for vessel, radius in paths:
        path = np.array(vessel, float) + rng.normal(0, 1.5, 3)
        tissues[upsample(tube(points, path, np.full(len(path), radius)), tissues.shape) < 0] = table["vessel"]
