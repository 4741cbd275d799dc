"""Whether a field of view shows all of a structure, and how finely."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Seen:
    """How an image shows a structure.

    cut: the structure reaches the edge of the image. voxel_mm: how long voxels are across its outline, mean over the
    outline's area; the partial volume that its surface suffers, however slices lie to it.
    """

    cut: bool
    voxel_mm: float


def seen(labels: np.ndarray, spacing_mm: np.ndarray) -> dict[int, Seen]:
    """Value -> how it is seen, of all values but 0. labels: (I, J, K) uint8; spacing_mm: (3,) of these axes."""
    others = np.zeros((3, 256))
    edge = np.zeros(256, bool)
    for axis in range(3):
        along = np.moveaxis(labels, axis, 0)
        differ = along[1:] != along[:-1]
        for side in (along[1:], along[:-1]):
            others[axis] += np.bincount(side[differ], minlength=256)
        for end in (along[0], along[-1]):
            edge[np.unique(end)] = True
    face = np.prod(spacing_mm) / spacing_mm
    area = others * face[:, None]
    return {
        int(v): Seen(bool(edge[v]), float((area[:, v] @ spacing_mm) / area[:, v].sum()))
        for v in np.flatnonzero(area.any(0))
        if v
    }
