"""Training samples from studies on disk: series on the model's grid, with their truth if there is one."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from orthodx.errors import NoInputError, StudyError, UsageError
from orthodx.grid.canonical import GridImage, to_grid
from orthodx.grid.spec import GridSpec
from orthodx.joints import Joint, View
from orthodx.networks.device import OUT_OF_MEMORY, memory_errors
from orthodx.studies.nifti import read_volume
from orthodx.studies.run_record import state_on_disk
from orthodx.studies.series import Series
from orthodx.studies.volume import SAME_PLACE_MM, Volume, apart_mm, turned_like
from orthodx.studies.writing import atomic
from orthodx.training.left_out import LeftOut


class StudySource:
    """Random crops of series; `source[i, view]` -> image (1, D, H, W) in [-1, 1], structures (D, H, W) uint8.

    Each series is read once and kept on the model's grid as float16 and uint8: in memory, or memory-mapped
    in the folder `cache`, where a later run finds it again. masks: a file a series, values of the joint's structures;
    where there is none they are all 0. A series that cannot be used is passed over and listed in `refused` with the
    reason, after those given; raises `NoInputError` if none is left.
    """

    def __init__(
        self,
        series: Sequence[Series],
        spec: GridSpec,
        crop: tuple[int, int, int],
        seed: int,
        masks: Sequence[Path | None],
        joint: Joint,
        cache: Path | None = None,
        refused: Sequence[LeftOut] = (),
    ) -> None:
        self.crop, self.seed, self.joint = crop, seed, joint
        self.names: list[str] = []
        self.items: dict[View, list[tuple[np.ndarray, np.ndarray]]] = {view: [] for view in View}
        self.refused = list(refused)
        for one, mask in zip(series, masks, strict=True):
            try:
                with memory_errors():
                    self.items[one.view].append(
                        _on_grid(one, spec, mask, joint) if cache is None else _cached(one, spec, mask, joint, cache)
                    )
            except StudyError as error:
                self.refused.append(LeftOut.of(one, str(error)))
            except MemoryError:
                self.refused.append(LeftOut.of(one, OUT_OF_MEMORY))
            else:
                self.names.append(f"{one.view} {one.series_id}")
        if not any(self.items.values()):
            reason = f": {self.refused[0].line}" if self.refused else ""
            raise NoInputError(f"no series to train on{reason}", hint="give series that 'orthodx segment' can read")

    def refuse_without(self, views: Iterable[View]) -> None:
        """Raise `UsageError` where there is no usable series of one of the views."""
        for view in views:
            if not self.items[view]:
                raise UsageError(
                    f"no {view} series among the studies", hint="give studies of that view or another --view"
                )

    def __getitem__(self, key: tuple[int, View]) -> tuple[Tensor, Tensor]:
        i, view = key
        self.refuse_without([view])
        rng = np.random.default_rng([self.seed, i, list(View).index(view)])
        image, labels = map(_tensor, self.items[view][int(rng.integers(len(self.items[view])))])
        for axis, want in enumerate(self.crop):
            have = image.shape[axis]
            if have < want:
                pad = [0] * 6
                pad[5 - 2 * axis] = want - have
                image = functional.pad(image, pad, value=-1.0)
                labels = functional.pad(labels, pad)
            start = int(rng.integers(0, max(have - want, 0) + 1))
            image, labels = image.narrow(axis, start, want), labels.narrow(axis, start, want)
        return image[None].float().contiguous(), labels.contiguous()


def _tensor(array: np.ndarray) -> Tensor:
    """A view of an array, memory-mapped ones included; nothing is written through it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        return torch.from_numpy(array)


def _on_grid(series: Series, spec: GridSpec, mask: Path | None, joint: Joint) -> tuple[np.ndarray, np.ndarray]:
    """Image (D, H, W) float16 and structures (D, H, W) uint8 on the model's grid."""
    volume = series.load()
    grid = to_grid(volume, spec, series.view)
    labels = np.zeros(tuple(grid.image.shape), np.uint8)
    if mask is not None:
        labels = _labels_on_grid(mask, volume, grid, joint)
    return grid.image.half().numpy(), labels


def _cached(
    series: Series, spec: GridSpec, mask: Path | None, joint: Joint, folder: Path
) -> tuple[np.ndarray, np.ndarray]:
    """As `_on_grid`, memory-mapped; kept under the inputs' state on disk, so that a changed input is read anew."""
    state = state_on_disk(series.path, *([mask] if mask else []))
    key = hashlib.sha256(repr((series.series_id, series.view, spec, joint.values, state)).encode()).hexdigest()[:20]
    files = folder / f"{key}.image.npy", folder / f"{key}.truth.npy"
    if not all(file.is_file() for file in files):
        for file, array in zip(files, _on_grid(series, spec, mask, joint), strict=True):
            with atomic(file) as temporary, temporary.open("wb") as out:
                np.save(out, array)
    image, labels = (np.load(file, mmap_mode="r") for file in files)
    return image, labels


def _labels_on_grid(path: Path, volume: Volume, grid: GridImage, joint: Joint) -> np.ndarray:
    """A mask, nearest-neighbour, on the grid of its image."""
    mask = turned_like(read_volume(path), volume)
    if mask.shape != volume.shape or apart_mm(mask.affine, volume.affine, volume.shape) > SAME_PLACE_MM:
        raise StudyError(f"{path.name}: not on the grid of its image", hint="resample the mask onto the image")
    unknown = sorted(set(np.unique(mask.data).tolist()) - {0, *joint.names})
    if unknown:
        raise StudyError(
            f"{path.name}: holds the value {unknown[0]:g}, which is no structure of the {joint.name}",
            hint=f"its values are 0, {', '.join(map(str, sorted(joint.names)))}; or give --joint FILE.toml",
        )
    to_voxel = np.linalg.inv(mask.affine) @ grid.affine
    out = np.zeros(tuple(grid.image.shape), np.uint8)
    rows, columns = np.indices(out.shape[1:]).reshape(2, -1)
    for d in range(len(out)):  # slice by slice, to stay small on large grids
        index = np.stack([np.full_like(rows, d), rows, columns])
        at = np.rint(to_voxel[:3, :3] @ index + to_voxel[:3, 3:]).astype(int)
        inside = ((at >= 0) & (at < np.array(mask.shape)[:, None])).all(0)
        out[d].reshape(-1)[inside] = mask.data[tuple(at[:, inside])].astype(np.uint8)
    return out
