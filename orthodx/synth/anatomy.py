"""What an anatomy is, wherever it came from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from orthodx.synth.knee.tissues import TISSUES


@dataclass(frozen=True)
class Anatomy:
    """A joint made of tissues, before any scanner.

    tissues: (X, Y, Z) uint8, axes along world RAS+ (+x right, +y anterior, +z superior), values of
        `orthodx.synth.knee.tissues.TISSUES`.
    affine: (4, 4) voxel index -> world mm; the joint centre is near world (0, 0, 0).
    side: "right" or "left"; lateral is +x on a right joint.
    source: "procedural" or the label map's file name.
    """

    tissues: np.ndarray
    affine: np.ndarray
    side: str
    source: str
    params: dict[str, Any] = field(default_factory=dict)

    @property
    def spacing_mm(self) -> float:
        """Isotropic voxel size, mm."""
        return float(self.affine[0, 0])


def side_of(tissues: np.ndarray) -> str:
    """ "right" or "left" of a knee (X, Y, Z) that says nothing of it, like those in a bank: the fibula is lateral."""
    fibula, tibia = (np.flatnonzero((tissues == TISSUES[bone]).any((1, 2))).mean() for bone in ("fibula", "tibia"))
    return "right" if fibula > tibia else "left"
