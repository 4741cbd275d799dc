"""Thickness of a layer on bone, such as cartilage, in mm: from the bone's surface to the nearest point outside.

The closest-point thickness of quantitative MRI of cartilage (Eckstein et al., Osteoarthritis Cartilage 2006;14:974).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from orthodx.measuring.cubes import box_round, distance_on_cubes

STEP_MM = 0.5
GAP_MM = 2.0  # a seam of background between bone and layer that is still the bone's side
SIDEWAYS, LOW_MM = 0.7, 1.0  # outside that rises less above the bone than this of its way, and low, lies at the side
RIM_MM = 4.0  # nearer to where a layer ends it is thin because it ends
WIDE = 3  # cubes to each side, for the slope of the bone: nearer by voxels' steps are all that is seen
FEWEST = 20  # places, for a mean or a percentile


@dataclass(frozen=True, eq=False)
class Thickness:
    """Of n places on the bone's side of a layer.

    places: (n, 3) voxel index in the mask. mm: (n,), how thick the layer is there. inner: (n,) bool, at least `RIM_MM`
    from where it ends. covered: (m, 3) voxel index of all places on bone, those too where the layer ends. area_mm2:
    (m,) of bone's surface at each of these.
    """

    places: np.ndarray
    mm: np.ndarray
    inner: np.ndarray
    covered: np.ndarray = field(default_factory=lambda: np.zeros((0, 3)))
    area_mm2: np.ndarray = field(default_factory=lambda: np.zeros(0))

    def at(self, inside: np.ndarray, covered: np.ndarray | None = None) -> Thickness:
        """The places that are inside: (n,) bool; and those covered (m,) bool, all of them without it."""
        kept = slice(None) if covered is None else covered
        return Thickness(
            self.places[inside], self.mm[inside], self.inner[inside], self.covered[kept], self.area_mm2[kept]
        )

    @property
    def mean_mm(self) -> float:
        """Mean over the covered bone; NaN of fewer than `FEWEST` places."""
        return float(self.mm.mean()) if len(self.mm) >= FEWEST else float("nan")

    @property
    def p5_mm(self) -> float:
        """5th percentile of the inner places, since every layer is thin at its rim; NaN of fewer than `FEWEST`."""
        return float(np.percentile(self.mm[self.inner], 5)) if self.inner.sum() >= FEWEST else float("nan")


NOWHERE = Thickness(np.zeros((0, 3)), np.zeros(0), np.zeros(0, bool))


def thickness(layer: np.ndarray, bone: np.ndarray, spacing_mm: np.ndarray) -> Thickness:
    """Thickness of `layer` at each place where it covers `bone`: masks (I, J, K) bool, voxels of spacing_mm (3,).

    Both are brought to cubes of `STEP_MM`. The bone's side of the layer is where it meets bone, or a seam of background
    up to `GAP_MM` wide. Places whose nearest outside is on the bone, or low at their side, are left out: there the
    layer ends, and is not thin.
    """
    if not layer.any() or not bone.any():
        return NOWHERE
    box = box_round(layer, np.ceil((GAP_MM + 2 * STEP_MM) / spacing_mm) + 1)
    to_bone = distance_on_cubes(bone[box], spacing_mm, STEP_MM)
    to_both = distance_on_cubes(layer[box] | bone[box], spacing_mm, STEP_MM)
    is_bone, covers = to_bone < 0, (to_both < 0) & (to_bone >= 0)
    on_bone = ndimage.binary_dilation(is_bone)
    beside = ndimage.binary_dilation(covers) & ~covers & ~is_bone
    if not beside.any() or not is_bone.any():
        return NOWHERE
    seam = _seam(beside, covers, is_bone)
    here = covers & (on_bone | ndimage.binary_dilation(seam))
    outside = beside & ~seam
    if not here.any() or not outside.any():
        return NOWHERE
    places, there = np.argwhere(here), np.argwhere(outside)
    far, nearest = cKDTree(there).query(places)
    # between centres of cubes; the outlines' own distances take the steps out of it
    below = np.where(on_bone[here], to_bone[here] - STEP_MM / 2, 0)
    above = to_both[outside][nearest] - STEP_MM / 2
    mm = np.clip(far * STEP_MM + below - above, 0, None)
    rise = to_bone[outside][nearest]
    sideways = (rise < SIDEWAYS * far * STEP_MM) & (rise < LOW_MM)
    whole = ~sideways & ~on_bone[outside][nearest]
    inner = np.ones(int(whole.sum()), bool)
    if not whole.all():
        inner = cKDTree(places[~whole]).query(places[whole])[0] * STEP_MM > RIM_MM
    start = np.array([s.start for s in box])
    index = places * STEP_MM / spacing_mm + start
    return Thickness(index[whole], mm[whole], inner, index, _areas(places, is_bone | seam, to_bone))


def _areas(places: np.ndarray, under: np.ndarray, to_bone: np.ndarray) -> np.ndarray:
    """Area of the surface at each place, mm2 (n,): of the faces of cubes towards what is under it.

    Each counts by the cosine between it and the surface, so that a plane has its area however it lies.
    """
    ends, faces, steps = np.array(under.shape) - 1, [], []
    for axis in np.eye(3, dtype=int):
        beside, off = ([tuple(np.clip(places + n * axis, 0, ends).T) for n in (-by, by)] for by in (1, WIDE))
        faces.append(under[beside[0]].astype(np.float32) + under[beside[1]])
        steps.append(to_bone[off[1]] - to_bone[off[0]])
    normal = np.abs(np.stack(steps)) / np.maximum(np.linalg.norm(np.stack(steps), axis=0), 1e-6)
    return STEP_MM**2 * (np.stack(faces) * normal).sum(0)


def _seam(beside: np.ndarray, layer: np.ndarray, bone: np.ndarray) -> np.ndarray:
    """Background beside the layer that lies nearer to the bone than the layer does there."""
    at, surface = np.argwhere(beside), np.argwhere(layer & ndimage.binary_dilation(~layer))
    bones = cKDTree(np.argwhere(bone & ndimage.binary_dilation(~bone)))
    _, next_to = cKDTree(surface).query(at)
    of_background, of_layer = bones.query(at)[0], bones.query(surface)[0][next_to]
    found = (of_background < of_layer - 0.5) & (of_background * STEP_MM <= GAP_MM)
    seam = np.zeros_like(beside)
    seam[tuple(at[found].T)] = True
    return seam
