"""Where a bone lay in an earlier scan: the rigid motion between two masks of it, in world mm."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage, optimize
from scipy.spatial.transform import Rotation

from orthodx.measuring.cubes import box_round, distance_on_cubes
from orthodx.studies.volume import Volume

STEP_MM = 1.0
MARGIN_MM = 10.0
MOST_POINTS = 4000
FEWEST_POINTS = 200
WORST_MM = 2.0  # a fit no better than this is none


@dataclass(frozen=True, eq=False)
class Motion:
    """matrix: (4, 4), later world -> first world, mm. fit_mm: root mean square distance of the surfaces then."""

    matrix: np.ndarray
    fit_mm: float

    def to_first(self, points: np.ndarray) -> np.ndarray:
        """Later world points (n, 3) -> where they lay in the first scan."""
        return points @ self.matrix[:3, :3].T + self.matrix[:3, 3]

    def to_later(self, points: np.ndarray) -> np.ndarray:
        """First world points (n, 3) -> where they lie in the later scan."""
        return (points - self.matrix[:3, 3]) @ self.matrix[:3, :3]


def register(first: Volume, later: Volume, value: int, shift_mm: np.ndarray) -> Motion | None:
    """The motion of the bone with this mask value; None where it is not in both, or does not fit to `WORST_MM`.

    first, later: label maps. shift_mm: (3,), a first guess of the way from later to first. The later bone's surface is
    laid onto the first one's, least squares of their distances with a soft threshold of 1 mm (scipy); what lies outside
    the first field of view does not count, and where a field of view cuts a bone there is no surface.
    """
    masks = [v.data == value for v in (first, later)]
    if not all(mask.any() for mask in masks):
        return None
    points, own = _surface(masks[1], later)
    if len(points) < FEWEST_POINTS:
        return None
    box = box_round(masks[0], np.ceil(MARGIN_MM / first.spacing_mm))
    field = distance_on_cubes(masks[0][box], first.spacing_mm, STEP_MM)
    start = np.array([s.start for s in box])
    to_index, size = np.linalg.inv(first.affine), np.array(first.shape)
    middle = points.mean(0)

    def motion(x: np.ndarray) -> np.ndarray:
        return Rotation.from_rotvec(x[:3] / 30).apply(points - middle) + middle + shift_mm + x[3:]

    def apart(x: np.ndarray) -> np.ndarray:
        index = motion(x) @ to_index[:3, :3].T + to_index[:3, 3]
        at = (index - start) * first.spacing_mm / STEP_MM
        seen = ((index > -0.5) & (index < size - 0.5)).all(1)
        found = ndimage.map_coordinates(field, at.T, order=1, mode="nearest") - own
        return np.where(seen, found, 0.0)

    best = optimize.least_squares(apart, np.zeros(6), loss="soft_l1", f_scale=1.0, diff_step=1e-2)
    left = apart(best.x)
    fit = float(np.sqrt(np.mean(left[left != 0] ** 2))) if (left != 0).mean() > 0.3 else np.inf
    if fit > WORST_MM:
        return None
    turn = Rotation.from_rotvec(best.x[:3] / 30).as_matrix()
    matrix = np.eye(4)
    matrix[:3, :3] = turn
    matrix[:3, 3] = middle + shift_mm + best.x[3:] - turn @ middle
    return Motion(matrix, fit)


def _surface(mask: np.ndarray, volume: Volume) -> tuple[np.ndarray, np.ndarray]:
    """World points (n, 3) about the outline, and how far outside of it each lies (n,), mm."""
    box = box_round(mask, np.ceil(2 * STEP_MM / volume.spacing_mm))
    field = distance_on_cubes(mask[box], volume.spacing_mm, STEP_MM)
    at = np.argwhere(np.abs(field) < 0.75 * STEP_MM)
    at = at[:: max(1, len(at) // MOST_POINTS)]
    index = at * STEP_MM / volume.spacing_mm + [s.start for s in box]
    return index @ volume.affine[:3, :3].T + volume.affine[:3, 3], field[tuple(at.T)]
