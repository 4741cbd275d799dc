"""Pairs of visits, and everything that is measured in both."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from orthodx.errors import StudyError
from orthodx.evaluation.measures import PROBABILITY, Measured, compare
from orthodx.evaluation.visits import Followed, Visit
from orthodx.joints import Joint
from orthodx.studies.keys import file_name
from orthodx.studies.mask_files import read_labels_file
from orthodx.studies.receipts import Receipts
from orthodx.studies.run_record import sha256


@dataclass(frozen=True)
class Pair:
    """Two visits of a joint: the first one and a later one, or two on one day."""

    patient_id: str
    laterality: str
    first: Visit
    later: Visit

    @property
    def days(self) -> float | None:
        """Between the two."""
        return None if self.later.days is None or self.first.days is None else self.later.days - self.first.days

    @property
    def name(self) -> str:
        """What people call it."""
        side = f", {self.laterality}" if self.laterality else ""
        return f"{self.patient_id}{side}: {self.first.study_id} to {self.later.study_id}"


def pairs_of(joint: Followed) -> Iterator[Pair]:
    """Each later visit with the first one; then those later ones that are of one day, one after the other."""
    who, visits = (joint.patient_id, joint.laterality), joint.visits
    for later in visits[1:]:
        yield Pair(*who, visits[0], later)
    for one, two in itertools.pairwise(visits[1:]):
        if one.days is not None and one.days == two.days:
            yield Pair(*who, one, two)


@dataclass(frozen=True, eq=False)
class PairMeasurer:
    """A pair -> its rows, and why some are missing.

    masks: `file_name` of a series -> its file. receipts: of what was measured in masks; `resume` keeps what was
    measured in the same ones.
    """

    joint: Joint
    masks: Mapping[str, Path]
    chances: pd.DataFrame | None
    receipts: Receipts
    resume: bool

    def __call__(self, pair: Pair) -> tuple[list[dict[str, Any]], list[tuple[str, str | None]]]:
        out: list[dict[str, Any]] = []
        problems: list[tuple[str, str | None]] = []
        for view in [v for v in pair.first.series if v in pair.later.series]:
            try:
                out += [_row(pair, view, one) for one in self._in_masks(pair, view)]
            except StudyError as error:
                problems.append((f"{pair.name}: {error}", error.hint))
            except MemoryError:
                problems.append((f"{pair.name}: out of memory", "use fewer --workers"))
        if self.chances is not None and {pair.first.study_id, pair.later.study_id} <= set(self.chances.index):
            one, two = (self.chances.loc[visit.study_id] for visit in (pair.first, pair.later))
            known = [name for name in self.chances.columns if not np.isnan(one[name]) and not np.isnan(two[name])]
            told = [Measured(target=n, measure=PROBABILITY, first=one[n], later=two[n]) for n in map(str, known)]
            out += [_row(pair, "", each) for each in told]
        return out, problems

    def _in_masks(self, pair: Pair, view: str) -> list[Measured]:
        series = [visit.series[view] for visit in (pair.first, pair.later)]
        files = [self.masks[file_name(one)] for one in series]
        case, made_from = " to ".join(series), {"masks": [sha256(path) for path in files]}
        kept = self.receipts.find(case, made_from) if self.resume else None
        if kept is not None:
            return [Measured(**one) for one in kept]
        found = compare(*(read_labels_file(path) for path in files), self.joint)[0]
        self.receipts.write(case, made_from, (), [vars(one) for one in found])
        return found


def _row(pair: Pair, view: str, measured: Measured) -> dict[str, Any]:
    ids = {"patient_id": pair.patient_id, "laterality": pair.laterality}
    studies = {"first_study": pair.first.study_id, "study_id": pair.later.study_id}
    return {**ids, **studies, "days": pair.days, "view": view, **vars(measured)}
