"""Series on the model's grid: read once, and kept in memory, or in a folder from where each sample opens its own."""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias

import numpy as np

from orthodx.errors import StudyError
from orthodx.grid.canonical import GridImage, to_grid
from orthodx.grid.spec import GridSpec
from orthodx.joints import Joint
from orthodx.networks.device import OUT_OF_MEMORY, memory_errors
from orthodx.studies.nifti import read_volume
from orthodx.studies.run_record import state_on_disk
from orthodx.studies.series import Series
from orthodx.studies.volume import SAME_PLACE_MM, Volume, apart_mm, turned_like
from orthodx.studies.writing import PART, atomic
from orthodx.training.distributed import Team

Arrays: TypeAlias = tuple[np.ndarray, np.ndarray | None]  # image (D, H, W) float16; structures (D, H, W) uint8, if any
TOLD_EVERY = 20.0  # seconds
TRUTH = "between two voxels in turn"  # how a mask comes to the grid, since when a cache knows it
TIE = 1e-3  # voxels: so near to the middle between two counts as there
_STALE = 3600.0  # seconds: no process is at one file for so long


class Kept(Protocol):
    """A series on the grid, wherever it is kept."""

    def arrays(self) -> Arrays:
        """Image and structures."""


@dataclass(frozen=True, eq=False)
class InMemory:
    """Read once for all samples."""

    image: np.ndarray
    structures: np.ndarray | None

    def arrays(self) -> Arrays:
        """As they were read."""
        return self.image, self.structures


@dataclass(frozen=True)
class InFolder:
    """Two files, mapped for a sample and let go with it: however many there are, none stays open."""

    image: Path
    structures: Path | None

    def arrays(self) -> Arrays:
        """Memory-mapped: only what a crop touches is read."""
        structures = None if self.structures is None else np.load(self.structures, mmap_mode="r")
        return np.load(self.image, mmap_mode="r"), structures


@dataclass(frozen=True)
class Keeping:
    """How series are put on the grid and kept. cache: folder; without it they stay in memory.

    team: processes that fill one cache together, each its share of the series. say: told how far it is.
    """

    spec: GridSpec
    joint: Joint
    cache: Path | None = None
    team: Team | None = None
    say: Callable[[str], None] = lambda line: None

    def all(self, series: Sequence[Series], masks: Sequence[Path | None]) -> list[Kept | str]:
        """Each series as it is kept, or why it cannot be used. masks: a file each, or None for no structures."""
        rank, size = (self.team.rank, self.team.size) if self.team and self.cache else (0, 1)
        if self.cache is not None and rank == 0:
            _sweep(self.cache)
        began = told = time.monotonic()
        done: dict[int, Kept | str] = {}
        for i in range(rank, len(series), size):
            done[i] = self._one(series[i], masks[i])
            now = time.monotonic()
            if now - told > TOLD_EVERY:
                told, share = now, len(done) / len(range(rank, len(series), size))
                left = (now - began) * (1 / share - 1) / 60
                self.say(f"{round(share * len(series))} of {len(series)} series read, {left:.0f} min left")
        if size > 1 and self.team:
            done = {i: kept for part in self.team.gather(done) for i, kept in part.items()}
        return [done[i] for i in range(len(series))]

    def _one(self, series: Series, mask: Path | None) -> Kept | str:
        try:
            with memory_errors():
                if self.cache is None:
                    return InMemory(*self._on_grid(series, mask))
                return self._in_folder(series, mask, self.cache)
        except StudyError as error:
            return str(error)
        except MemoryError:
            return OUT_OF_MEMORY

    def _on_grid(self, series: Series, mask: Path | None) -> Arrays:
        volume = series.load()
        grid = to_grid(volume, self.spec, series.view)
        structures = None if mask is None else _structures_on_grid(mask, volume, grid, self.joint)
        return grid.image.half().numpy(), structures

    def _in_folder(self, series: Series, mask: Path | None, folder: Path) -> InFolder:
        """Kept under the inputs' state on disk, so that a changed input is read anew."""
        state = state_on_disk(series.path, *([mask] if mask else []))
        made_from = (series.series_id, series.view, self.spec, self.joint.values, state, *([TRUTH] if mask else []))
        key = hashlib.sha256(repr(made_from).encode()).hexdigest()[:20]
        kept = InFolder(folder / f"{key}.image.npy", folder / f"{key}.truth.npy" if mask else None)
        files = [path for path in (kept.image, kept.structures) if path]
        if not all(file.is_file() for file in files):
            for file, array in zip((kept.image, kept.structures), self._on_grid(series, mask), strict=True):
                if file is not None and array is not None:
                    with atomic(file) as temporary, temporary.open("wb") as out:
                        np.save(out, array)
        return kept


def _sweep(folder: Path) -> None:
    """Remove what killed processes left half-written; what is new may be another run's."""
    for path in folder.glob(f"{PART}*"):
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > _STALE:
                path.unlink()


def _structures_on_grid(path: Path, volume: Volume, grid: GridImage, joint: Joint) -> np.ndarray:
    """A mask, nearest-neighbour, on the grid of its image.

    A cell between two voxels takes one and the other in turn, like the squares of a chessboard: were it always the same
    side, truth would lie a quarter of a millimetre beside an image of pixels half as large as the cells.
    """
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
        turn = np.where((d + rows + columns) % 2 == 0, -TIE, TIE)
        at = np.rint(to_voxel[:3, :3] @ index + to_voxel[:3, 3:] + turn).astype(int)
        inside = ((at >= 0) & (at < np.array(mask.shape)[:, None])).all(0)
        out[d].reshape(-1)[inside] = mask.data[tuple(at[:, inside])].astype(np.uint8)
    return out
