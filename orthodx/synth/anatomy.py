"""What an anatomy is, wherever it came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from orthodx.joints import DEFAULT_JOINT

DEFAULT = DEFAULT_JOINT.name  # of anatomies and banks that name none


def draw_shape(rng: np.random.Generator, shape: Mapping[str, tuple[float, float]]) -> dict[str, float]:
    """Parameters of a procedural joint: each its mean and standard deviation, drawn normal, cut at 2 sd."""
    return {k: m + sd * float(np.clip(rng.standard_normal(), -2, 2)) for k, (m, sd) in shape.items()}


@dataclass(frozen=True)
class Anatomy:
    """A joint made of tissues, before any scanner.

    tissues: (X, Y, Z) uint8, axes along world RAS+ (+x right, +y anterior, +z superior), values of its joint's
        `TissueTable`.
    affine: (4, 4) voxel index -> world mm; the joint centre is near world (0, 0, 0).
    side: "right" or "left"; lateral is +x on a right joint.
    source: "procedural" or the label map's file name.
    joint: its name, as `orthodx.synth.grammar.synthetic` takes it.
    """

    tissues: np.ndarray
    affine: np.ndarray
    side: str
    source: str
    params: dict[str, Any] = field(default_factory=dict)
    joint: str = DEFAULT

    @property
    def spacing_mm(self) -> float:
        """Isotropic voxel size, mm."""
        return float(self.affine[0, 0])

    def mirrored(self) -> Anatomy:
        """The same joint of the other side, mirrored in the world's x = 0."""
        tissues, affine = np.ascontiguousarray(self.tissues[::-1]), self.affine.copy()
        affine[0, 3] = -(affine[0, 3] + (tissues.shape[0] - 1) * self.spacing_mm)
        return replace(self, tissues=tissues, affine=affine, side="left" if self.side == "right" else "right")
