"""`segment --fuse-views`: the series of one study help each other where they overlap in the world.

Each series keeps its own grid. At every cell of it the class probabilities of all series of the study that show this
place are averaged, each taken at the cell's world position; where the patient has moved between two series, the rigid
motion that makes their probabilities most alike is taken out first. A series lends nothing when the model calls it
strange, or when its mask does not lie on the other's even so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor
from torch.nn import functional

from orthodx.errors import OrthodxError
from orthodx.inference.predict import Segmenter
from orthodx.inference.sights import Sight, inner_of, see, seen_from
from orthodx.studies.laterality import side_of_row
from orthodx.studies.series import Series
from orthodx.studies.study import Study
from orthodx.studies.volume import Volume

LEAST_AGREEMENT = 0.7  # Dice of two masks of one place, see docs/segment.md
CELLS, ARM_MM = 20_000, 40.0  # a motion is found on so many cells; a turn counts as its way at so far from the middle
FARTHEST_MM = 20.0  # no joint moves further in its coil
BY_MOVING = 0.02  # a motion is taken out where the masks agree by so much better without it
LEAST_SHARED = 1000  # cells of structures in the overlap, below which nobody can tell whether two series agree


class Fused(NamedTuple):
    """A series helped by others. probabilities: (K, D, H, W) float16, by class.

    helped: by how many. apart: id of each series that overlaps and does not agree -> how well it does, 0..1.
    """

    probabilities: Tensor
    helped: int
    apart: dict[str, float]


def beside(series: Series, studies: Sequence[Study]) -> list[Series]:
    """The other series of its study; where that shows both sides, those of the same one."""
    out: list[Series] = []
    for study in studies:
        if study.study_id == series.study_id:
            side, both = side_of_row(series.row), len(study.sides) > 1
            out += [one for one in study.series if not both or (side and side_of_row(one.row) == side)]
    return [one for one in out if one.series_id != series.series_id]


@dataclass
class StudySights:
    """The sights of one study at a time, each read once. studies: of this run. fast: as `see`."""

    segmenter: Segmenter
    studies: Sequence[Study]
    fast: bool = False
    study_id: str = ""
    kept: dict[str, Sight] = field(default_factory=dict)

    def of(self, series: Series, volume: Volume) -> Sight:
        """What a series shows."""
        if series.study_id != self.study_id:
            self.study_id, self.kept = series.study_id, {}
        if series.series_id not in self.kept:
            self.kept[series.series_id] = see(self.segmenter, series, volume, fast=self.fast)
        return self.kept[series.series_id]

    def others(self, series: Series) -> list[Sight]:
        """What the others show; one that cannot be read says so in its own turn."""
        out = []
        for one in beside(series, self.studies):
            try:
                out.append(self.kept.get(one.series_id) or self.of(one, one.load()))
            except (OrthodxError, MemoryError):
                continue
        return out


def fused(own: Sight, others: Sequence[Sight]) -> Fused:
    """Probabilities of a series and of those that overlap with it, averaged where they do."""
    mine = own.prediction.probabilities
    total, count = mine.float(), torch.ones(mine.shape[1:])
    found, helped, apart = mine.max(0).indices, 0, {}
    for other in others:
        strangeness = other.prediction.strangeness
        if strangeness is not None and strangeness > 1:
            continue
        theirs, shown = seen_from(own.grid, other)
        if not shown.any():
            continue
        agreement = _agreement(found, theirs, shown)
        moved = seen_from(own.grid, other, displacement(own, other))
        if (better := _agreement(found, *moved)) > agreement + BY_MOVING:
            agreement, theirs, shown = better, *moved
        if agreement < LEAST_AGREEMENT:
            apart[other.series_id] = agreement
            continue
        total += theirs * shown
        count += shown
        helped += 1
    return Fused((total / count).half(), helped, apart)


@torch.inference_mode(False)
def displacement(own: Sight, other: Sight) -> np.ndarray:
    """(4, 4): where what lies at a world position of `own` lies in `other`, a rigid motion of the patient between them.

    It makes the probabilities of the two most alike (over cells that either takes for a structure). No
    motion where that is further than a joint moves in its coil.
    """
    theirs, shown = seen_from(own.grid, other)
    mine = own.prediction.probabilities.float()
    cells = torch.nonzero(shown & ((mine[0] < 0.5) | (theirs[0] < 0.5)))
    if len(cells) < LEAST_SHARED:
        return np.eye(4)
    cells = cells[:: max(1, len(cells) // CELLS)]
    known = mine[1:, cells[:, 0], cells[:, 1], cells[:, 2]].clone()
    affine = torch.from_numpy(own.grid.affine).float()
    world = cells.float() @ affine[:3, :3].T + affine[:3, 3]
    middle = world.mean(0)
    source, to_source, size = inner_of(other)
    back = torch.from_numpy(to_source).float()

    def unlike(moved: np.ndarray) -> tuple[float, np.ndarray]:
        """How unlike the two are, and its slope, after a motion in mm and turns, as mm at `ARM_MM`."""
        motion = torch.tensor(moved, dtype=torch.float32, requires_grad=True)
        at = (world - middle) @ _turn(motion[3:] / ARM_MM).T + middle + motion[:3]
        where = ((at @ back[:3, :3].T + back[:3, 3]) * 2 + 1) / size - 1
        seen = functional.grid_sample(
            source[:, 1:], where.flip(-1)[None, None, None], padding_mode="border", align_corners=False
        )
        apart = (seen[0, :, 0, 0] - known).square().sum(0)
        value = (apart + 0.01).sqrt().mean()  # what one of them misses counts little
        (slope,) = torch.autograd.grad(value, motion)
        return float(value.detach()), slope.double().numpy()

    # torch's own L-BFGS loads its compiler first, which takes ten times as long
    best = minimize(unlike, np.zeros(6), jac=True, method="L-BFGS-B", options={"maxiter": 40})
    out, found = np.eye(4), torch.from_numpy(best.x).float()
    if found.norm() > FARTHEST_MM:
        return out
    turn = _turn(found[3:] / ARM_MM)
    out[:3, :3] = turn.numpy()
    out[:3, 3] = (middle + found[:3] - turn @ middle).numpy()
    return out


def _turn(angles: Tensor) -> Tensor:
    """(3, 3) rotation by a vector of radians."""
    x, y, z = angles
    none = torch.zeros(())
    rows = [torch.stack(row) for row in ((none, -z, y), (z, none, -x), (-y, x, none))]
    return torch.linalg.matrix_exp(torch.stack(rows))


def _agreement(found: Tensor, theirs: Tensor, shown: Tensor) -> float:
    """Dice of a mask (D, H, W) and that of probabilities (K, D, H, W), structures told apart, where both are shown.

    1 where there is too little of them.
    """
    one, other = found[shown], theirs.max(0).indices[shown]
    total = int((one > 0).sum() + (other > 0).sum())
    if total < LEAST_SHARED:
        return 1.0
    return 2 * int(((one == other) & (one > 0)).sum()) / total
