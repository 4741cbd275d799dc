"""Training samples from studies on disk: series on the model's grid, with their truth if there is one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from orthodx.errors import NoInputError, StudyError, UsageError
from orthodx.grid.canonical import to_grid
from orthodx.grid.spec import GridSpec
from orthodx.joints import View
from orthodx.studies.discover import find_series
from orthodx.studies.nifti import read_volume
from orthodx.studies.series import Series
from orthodx.studies.volume import Volume
from orthodx.synth.source import AnatomyBank, SyntheticSource


class StudySource:
    """Random crops of series; `source[i, view]` -> image (1, D, H, W) in [-1, 1], structures (D, H, W) uint8.

    Each series is read once and kept on the model's grid as float16 and uint8. truth: folder of masks
    named `<series_id>.nii.gz`; without it the structures are all 0.
    """

    def __init__(
        self,
        series: Sequence[Series],
        spec: GridSpec,
        crop: tuple[int, int, int],
        seed: int,
        truth: Path | None,
    ) -> None:
        self.crop, self.seed = crop, seed
        self.items: dict[View, list[tuple[Tensor, Tensor]]] = {view: [] for view in View}
        for one in series:
            volume = one.load()
            grid = to_grid(volume, spec, one.view)
            labels = torch.zeros(grid.image.shape, dtype=torch.uint8)
            if truth is not None:
                labels = _labels_on_grid(truth / f"{one.series_id}.nii.gz", volume, grid.affine, grid.image.shape)
            self.items[one.view].append((grid.image.half(), labels))

    def __getitem__(self, key: tuple[int, View]) -> tuple[Tensor, Tensor]:
        i, view = key
        if not self.items[view]:
            raise UsageError(f"no {view} series among the studies", hint="give studies of that view or another --view")
        rng = np.random.default_rng([self.seed, i, list(View).index(view)])
        image, labels = self.items[view][int(rng.integers(len(self.items[view])))]
        image, labels = image.float(), labels
        for axis, want in enumerate(self.crop):
            have = image.shape[axis]
            if have < want:
                pad = [0] * 6
                pad[5 - 2 * axis] = want - have
                image = functional.pad(image, pad, value=-1.0)
                labels = functional.pad(labels, pad)
            start = int(rng.integers(0, max(have - want, 0) + 1))
            image, labels = image.narrow(axis, start, want), labels.narrow(axis, start, want)
        return image[None].contiguous(), labels.contiguous()


def _labels_on_grid(path: Path, volume: Volume, affine: np.ndarray, shape: torch.Size) -> Tensor:
    """A mask, nearest-neighbour, on the grid of `affine` (index (d, h, w) -> RAS mm)."""
    mask = read_volume(path)
    if mask.shape != volume.shape or not np.allclose(mask.affine, volume.affine, atol=1e-2):
        raise StudyError(f"{path.name}: not on the grid of its image", hint="resample the mask onto the image")
    to_voxel = np.linalg.inv(mask.affine) @ affine
    index = np.indices(tuple(shape)).reshape(3, -1)
    at = np.rint(to_voxel[:3, :3] @ index + to_voxel[:3, 3:]).astype(int)
    inside = ((at >= 0) & (at < np.array(mask.shape)[:, None])).all(0)
    out = np.zeros(index.shape[1], np.uint8)
    out[inside] = mask.data[tuple(at[:, inside])].astype(np.uint8)
    return torch.from_numpy(out.reshape(tuple(shape)))


def open_source(
    studies: Sequence[Path], spec: GridSpec, crop: tuple[int, int, int], seed: int, *, truth: bool
) -> SyntheticSource | StudySource:
    """An anatomy bank gives endless synthetic images; anything else is read as studies.

    truth: masks are needed, in the folder `truth/` beside the manifest or the images.
    """
    if len(studies) == 1 and len(bank := AnatomyBank(studies[0])) > 0:
        return SyntheticSource(bank, spec, crop, seed)
    found = find_series(studies)
    if not found.series:
        raise NoInputError(
            f"nothing to train on in {', '.join(map(str, studies))}",
            hint="give studies, or a bank made by 'orthodx synth --bank'",
        )
    if not truth:
        return StudySource(found.series, spec, crop, seed, None)
    for root in (studies[0], studies[0].parent):
        if (root / "truth").is_dir():
            have = [s for s in found.series if (root / "truth" / f"{s.series_id}.nii.gz").is_file()]
            if have:
                return StudySource(have, spec, crop, seed, root / "truth")
    raise UsageError(f"no masks for the series of {studies[0]}", hint="put them into truth/<series_id>.nii.gz")
