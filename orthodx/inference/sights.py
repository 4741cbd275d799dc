"""What the model sees in a series, read on the grid of its plane; a 3D series with thin slices in three planes.

Thin slices can be cut anew: such a series is a study of three views of which nothing has moved, and the class
probabilities of its planes are averaged at each cell of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from orthodx.grid.canonical import GridImage, to_grid
from orthodx.inference.predict import Prediction, Segmenter
from orthodx.studies.series import Series
from orthodx.studies.view import axis_of_view
from orthodx.studies.volume import Volume

THIN_MM = 2.0  # up to here the other planes help: docs/research/experiments.md 9


@dataclass(frozen=True, eq=False)
class Sight:
    """A series as the model sees it: its grid, what is found on it, and the number of planes it was read in."""

    series_id: str
    grid: GridImage
    prediction: Prediction
    planes: int = 1


def see(segmenter: Segmenter, series: Series, volume: Volume, *, fast: bool = False) -> Sight:
    """A volume brought to the model's grid and read there; a thin one in all planes. fast: one look, in its own."""
    grid = to_grid(volume, segmenter.grid, series.view)
    own = Sight(series.series_id, grid, segmenter(grid, twice=not fast))
    return in_all_planes(segmenter, own, volume) if can_be_cut(volume, grid) and not fast else own


def can_be_cut(volume: Volume, grid: GridImage) -> bool:
    """Whether the planes of other views can be cut from a volume: it is thin, and its view is that of its own world."""
    thin = volume.spacing_mm.max() <= THIN_MM and min(volume.shape) > 1
    return bool(thin and grid.axes[0] == axis_of_view(volume.affine, grid.view))


def in_all_planes(segmenter: Segmenter, own: Sight, volume: Volume) -> Sight:
    """A sight of a thin series, its probabilities the mean over the views that the model reads.

    How firm its structures are, and how strange it is, is told by its own plane, as the model was calibrated.
    """
    mine = own.prediction.probabilities
    total, count, planes = mine.float(), torch.ones(mine.shape[1:]), 1
    for view in segmenter.bundle.info.encoders:
        if view != own.grid.view:
            grid = to_grid(volume, segmenter.grid, view, reformat=True)
            look = Prediction(segmenter.look(grid.image, view).probabilities, {}, None, {})
            theirs, shown = seen_from(own.grid, Sight(own.series_id, grid, look))
            total += theirs * shown
            count += shown
            planes += 1
    mean = (total / count).half()
    return replace(own, prediction=replace(own.prediction, probabilities=mean), planes=planes)


def seen_from(grid: GridImage, other: Sight, moved: np.ndarray | None = None) -> tuple[Tensor, Tensor]:
    """Another series' probabilities (K, D, H, W) at the cells of a grid, and where it shows them (D, H, W), bool.

    moved: (4, 4) from the world of the grid to that of the other, where the patient lay otherwise.
    """
    source, to_source, size = inner_of(other)
    affine = grid.affine if moved is None else moved @ grid.affine
    to_theirs = torch.from_numpy(to_source @ affine).float()
    depth, rows, columns = grid.image.shape
    plane = torch.stack(torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij"), -1).float()
    out = torch.zeros((source.shape[1], depth, rows, columns))
    shown = torch.empty((depth, rows, columns), dtype=torch.bool)
    for i in range(depth):
        at = functional.pad(plane, (1, 0), value=float(i)) @ to_theirs[:3, :3].T + to_theirs[:3, 3]
        shown[i] = ((at >= -0.5) & (at <= size - 0.5)).all(-1)
        if shown[i].any():
            where = ((at * 2 + 1) / size - 1).flip(-1)[None, None]
            out[:, i] = functional.grid_sample(source, where, padding_mode="border", align_corners=False)[0, :, 0]
    return out, shown


def inner_of(sight: Sight) -> tuple[Tensor, np.ndarray, Tensor]:
    """Probabilities (1, K, D, H, W) float32 without the grid's padding, world -> their index (4, 4), and (D, H, W)."""
    grid = sight.grid
    d, h, w = grid.size
    top, left = ((p - n) // 2 for p, n in zip(sight.prediction.probabilities.shape[2:], (h, w), strict=True))
    inner = sight.prediction.probabilities[None, :, :, top : top + h, left : left + w].float()
    to_index = np.linalg.inv(grid.affine)
    to_index[:3, 3] -= (0, top, left)
    return inner, to_index, torch.tensor([d, h, w], dtype=torch.float32)
