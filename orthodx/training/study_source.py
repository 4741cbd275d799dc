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
from orthodx.studies.run_record import sha256
from orthodx.studies.series import Series
from orthodx.training.augmentation import Augmentation
from orthodx.training.diagnosis.splits import Case
from orthodx.training.kept_series import Keeping, Kept
from orthodx.training.left_out import LeftOut


class StudySource:
    """Random crops of series; `source[i, view]` -> image (1, D, H, W) in [-1, 1], structures (D, H, W) uint8.

    Each series is read once and kept on the model's grid as float16 and uint8 (`Keeping`). masks: a file a series,
    values of the joint's structures; where there is none they are all 0. augment: crops are changed (`Augmentation`).
    A series that cannot be used is passed over and listed in `refused` with the reason, after those given; raises
    `NoInputError` if none is left.
    """

    def __init__(
        self,
        series: Sequence[Series],
        masks: Sequence[Path | None],
        keeping: Keeping,
        crop: tuple[int, int, int],
        seed: int,
        refused: Sequence[LeftOut] = (),
        augment: bool = False,
    ) -> None:
        self.augmentation = Augmentation(crop) if augment else None
        self.crop, self.seed, self.joint = crop, seed, keeping.joint
        self.names: list[str] = []
        self.contents: list[str] = []  # with masks what both files hold, else the names
        self.studies = set[str]()
        self.cases: dict[str, Case] = {}
        self.items: dict[View, list[Kept]] = {view: [] for view in View}
        self.refused = list(refused)
        for one, mask, kept in zip(series, masks, keeping.all(series, masks), strict=True):
            if isinstance(kept, str):
                self.refused.append(LeftOut.of(one, kept))
            else:
                self.items[one.view].append(kept)
                self.names.append(f"{one.view} {one.series_id}")
                self._remember(one, mask)
        if not any(self.items.values()):
            reason = f": {self.refused[0].line}" if self.refused else ""
            raise NoInputError(f"no series to train on{reason}", hint="give series that 'orthodx segment' can read")

    def _remember(self, series: Series, mask: Path | None) -> None:
        """What was read, so that a run goes on with the same, and validation is of others."""
        images = frozenset[str]() if mask is None else frozenset([series.content])
        self.studies.add(series.study_id)
        bare = series.stack is None and not series.row  # called like its file or folder, as another patient's may be
        study = f"{series.study_id} ({series.path.parent})" if bare else series.study_id
        before = self.cases.get(study)
        self.cases[study] = Case(
            study_id=study,
            patient_id="" if bare else series.patient_id,
            center="",
            labels=(),
            images=images | (before.images if before else frozenset()),
        )
        self.contents.append(" ".join([self.names[-1], *images, *([] if mask is None else [sha256(mask)])]))

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
        want = self.augmentation.wider if self.augmentation else self.crop
        sizes = zip(image.shape, self.crop, want, strict=True)
        starts = [int(rng.integers(max(have - n, 0) + 1)) - (wide - n) // 2 for have, n, wide in sizes]
        found = _cut(image, starts, want, -1).float()
        structures = torch.zeros(want, dtype=torch.uint8) if labels is None else _cut(labels, starts, want, 0)
        if self.augmentation:
            found, structures = self.augmentation(found, structures, view, int(rng.integers(2**31)))
        return found[None], structures


def _cut(array: np.ndarray, starts: Sequence[int], size: Sequence[int], beyond: float) -> Tensor:
    """A part of an array as its own, filled up with `beyond` where it reaches over an end."""
    ends = [start + n for start, n in zip(starts, size, strict=True)]
    found = torch.from_numpy(np.array(array[tuple(slice(max(a, 0), b) for a, b in zip(starts, ends, strict=True))]))
    sides = zip(starts, ends, array.shape, strict=True)
    pad = [n for start, end, have in list(sides)[::-1] for n in (max(-start, 0), max(end - have, 0))]
    return functional.pad(found, pad, value=beyond) if any(pad) else found
