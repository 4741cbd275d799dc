"""Patient-wise shape variation: an affine and a smooth warp between world and anatomy coordinates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

EXTENT_MM = 120.0  # the warp's control grid spans -EXTENT_MM .. EXTENT_MM on each world axis


@dataclass(frozen=True)
class Deformation:
    """Where a world point lies in the anatomy: matrix @ w + warp(w), mm.

    matrix: (3, 3), a determinant below 0 mirrors left and right. control: (3, n, n, n) displacements, mm.
    """

    matrix: np.ndarray
    control: np.ndarray

    def __call__(self, world: Tensor) -> Tensor:
        """World points (..., 3) mm -> anatomy points (..., 3) mm."""
        matrix = torch.from_numpy(self.matrix.astype(np.float32)).to(world.device)
        field = torch.from_numpy(self.control.astype(np.float32)).to(world.device)[None]
        # grid_sample wants (x, y, z) as (last, middle, first) axis of the field
        at = (world / EXTENT_MM).flip(-1).reshape(1, -1, 1, 1, 3)
        moved = functional.grid_sample(field, at, align_corners=True, padding_mode="border")
        return world @ matrix.T + moved.reshape(3, -1).T.reshape(world.shape)

    def inverse(self, point: np.ndarray) -> np.ndarray:
        """The world point (3,) that lies at an anatomy point (3,), mm, to 0.01 mm: the warp's slope is below 0.35."""
        world = np.linalg.solve(self.matrix, point)
        for _ in range(20):
            found = self(torch.from_numpy(world[None]).float())[0].double().numpy()
            world = world + np.linalg.solve(self.matrix, point - found)
        return world


def random_deformation(
    rng: np.random.Generator, *, mirror: bool | None = None, scale_sd: float = 0.06, warp_mm: float = 2.5
) -> Deformation:
    """Size +-2 sd overall, +-4 % an axis, slight shear, warp of `warp_mm` rms at about 35 mm; mirrored or not.

    The warp's slope stays under 0.35, so that the map is one to one (a Lipschitz bound below 1).
    """
    size = 1 + scale_sd * np.clip(rng.standard_normal(), -2, 2)
    matrix = np.diag(1 / (size * (1 + 0.04 * np.clip(rng.standard_normal(3), -2, 2))))
    matrix += 0.03 * np.clip(rng.standard_normal((3, 3)), -2, 2) * (1 - np.eye(3))
    if rng.random() < 0.5 if mirror is None else mirror:
        matrix[:, 0] *= -1
    n = 8
    control = rng.standard_normal((3, n, n, n)) * warp_mm * rng.uniform(0.3, 1.0)
    step = 2 * EXTENT_MM / (n - 1)
    slope = max(float(np.abs(np.diff(control, axis=a)).max()) / step for a in (1, 2, 3))
    return Deformation(matrix, control * min(1.0, 0.35 / max(slope, 1e-6)))


NO_DEFORMATION = Deformation(np.eye(3), np.zeros((3, 2, 2, 2)))
