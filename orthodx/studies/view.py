"""The imaging plane of a series, read from its slice normal in world coordinates, never from array axes."""

from __future__ import annotations

from itertools import permutations

import numpy as np

from orthodx.joints import View

OBLIQUE_DEGREES = 36.9  # beyond this (cosine 0.8) the plane is called oblique
_BY_WORLD_AXIS = (View.SAGITTAL, View.CORONAL, View.AXIAL)


def slice_axis(affine: np.ndarray, shape: tuple[int, ...]) -> int:
    """Array axis across the slices: the coarsest spacing; for near-isotropic volumes the sagittal axis.

    Isotropic 3D scans (DESS, CUBE, SPACE) are acquired sagittally as a rule; give `--view` otherwise.
    """
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    coarsest = int(np.argmax(spacing))
    if spacing[coarsest] > 1.25 * np.sort(spacing)[1]:
        return coarsest
    return axis_of_view(affine, View.SAGITTAL)


def axis_of_view(affine: np.ndarray, view: View) -> int:
    """Array axis that runs most nearly along the normal of `view`."""
    cosines = np.abs(affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0))
    order = _assign(cosines)
    return order[_BY_WORLD_AXIS.index(view)]


def _assign(cosines: np.ndarray) -> list[int]:
    """For each world axis the array axis that serves it, each used once (best total cosine)."""
    return list(max(permutations(range(3)), key=lambda p: sum(cosines[w, a] for w, a in enumerate(p))))


def view_of(affine: np.ndarray, shape: tuple[int, ...]) -> tuple[View, float]:
    """View whose normal is nearest to the slice normal, and the angle between them in degrees."""
    axis = slice_axis(affine, shape)
    normal = affine[:3, axis] / np.linalg.norm(affine[:3, axis])
    world = int(np.argmax(np.abs(normal)))
    return _BY_WORLD_AXIS[world], float(np.rad2deg(np.arccos(min(1.0, abs(normal[world])))))
