"""Training samples from studies on disk: series on the model's grid, with their truth if there is one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from orthodx.errors import NoInputError, UsageError
from orthodx.joints import View
from orthodx.studies.series import Series
from orthodx.training.kept_series import Keeping, Kept
from orthodx.training.left_out import LeftOut


class StudySource:
    """Random crops of series; `source[i, view]` -> image (1, D, H, W) in [-1, 1], structures (D, H, W) uint8.

    Each series is read once and kept on the model's grid as float16 and uint8 (`Keeping`). masks: a file a series,
    values of the joint's structures; where there is none they are all 0. A series that cannot be used is passed over
    and listed in `refused` with the reason, after those given; raises `NoInputError` if none is left.
    """

    def __init__(
        self,
        series: Sequence[Series],
        masks: Sequence[Path | None],
        keeping: Keeping,
        crop: tuple[int, int, int],
        seed: int,
        refused: Sequence[LeftOut] = (),
    ) -> None:
        self.crop, self.seed, self.joint = crop, seed, keeping.joint
        self.names: list[str] = []
        self.items: dict[View, list[Kept]] = {view: [] for view in View}
        self.refused = list(refused)
        for one, kept in zip(series, keeping.all(series, masks), strict=True):
            if isinstance(kept, str):
                self.refused.append(LeftOut.of(one, kept))
            else:
                self.items[one.view].append(kept)
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
        image, labels = self.items[view][int(rng.integers(len(self.items[view])))].arrays()
        starts = [
            int(rng.integers(0, max(have - want, 0) + 1)) for have, want in zip(image.shape, self.crop, strict=True)
        ]
        part = tuple(slice(start, start + want) for start, want in zip(starts, self.crop, strict=True))
        structures = torch.zeros(self.crop, dtype=torch.uint8) if labels is None else self._cut(labels, part, 0)
        return self._cut(image, part, -1)[None].float(), structures

    def _cut(self, array: np.ndarray, part: tuple[slice, ...], beyond: float) -> Tensor:
        """A crop of its own, filled up with `beyond` at the ends where the array is smaller."""
        found = torch.from_numpy(np.array(array[part]))
        pad = [n for have, want in zip(found.shape[::-1], self.crop[::-1], strict=True) for n in (0, want - have)]
        return functional.pad(found, pad, value=beyond) if any(pad) else found
