"""Studies with their labels and records, each series cut to the region that is read, for training a diagnosis."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from orthodx.errors import NoInputError, StudyError, UsageError
from orthodx.grid.region import RegionSpec, joint_region
from orthodx.grid.spec import GridSpec
from orthodx.joints import View
from orthodx.studies.discover import find_series
from orthodx.studies.labels import LABELS_FILE, read_labels, read_records
from orthodx.studies.records import Record
from orthodx.studies.run_record import state_on_disk
from orthodx.studies.series import Series
from orthodx.studies.writing import atomic
from orthodx.training.splits import Case


@dataclass(frozen=True)
class SeriesRegion:
    """One series' region, kept on disk as float16 (D, H, W). content: SHA-256 of its voxels."""

    path: Path
    content: str

    def load(self) -> np.ndarray:
        """(D, H, W) float16, memory-mapped."""
        return np.load(self.path, mmap_mode="r")


@dataclass(frozen=True, kw_only=True)
class StudyCase:
    """labels: (L,) 1, 0 or NaN. views: the regions of each view's series; at least one view has one."""

    study_id: str
    patient_id: str
    center: str
    labels: np.ndarray
    record: Record | None
    views: dict[View, tuple[SeriesRegion, ...]] = field(default_factory=dict)

    @property
    def case(self) -> Case:
        """What a split looks at."""
        images = frozenset(one.content for regions in self.views.values() for one in regions)
        return Case(
            study_id=self.study_id, patient_id=self.patient_id, center=self.center, labels=self.labels.tolist(),
            images=images,
        )  # fmt: skip


def open_cases(
    studies: Sequence[Path], names: Sequence[str], grid: GridSpec, region: RegionSpec, cache: Path, *,
    labels: Path | None = None, ehr: Sequence[Path] = (), say: Callable[[str], None] = print,
) -> list[StudyCase]:  # fmt: skip
    """The labelled studies among `studies`, by study_id.

    labels: table; without it the `labels.csv` beside the manifest. ehr: tables, of which the first that has a study
    counts. cache: folder of the regions, where a later run finds them. Series and studies that cannot be used are told
    to `say` and left out. Raises `NoInputError` if no study is left, `StudyError` for a table that cannot be read.
    """
    table = read_labels(labels or _labels_of(studies), names)
    if table.absent:
        say(f"no column for {', '.join(table.absent)}: unknown in every study")
    records: dict[str, Record] = {}
    for path in reversed(ehr):
        records |= read_records(path)
    found = find_series(studies)
    for source, reason in found.refused:
        say(f"left out: {source}: {reason}")
    by_study: dict[str, list[Series]] = {}
    for one in found.series:
        by_study.setdefault(one.study_id, []).append(one)
    unknown = sorted(set(by_study) - set(table.study_ids))
    if unknown:
        say(f"{len(unknown)} studies have no labels and are left out, such as '{unknown[0]}'")
    pictureless = sorted(set(table.study_ids) - set(by_study))
    if pictureless:
        say(f"{len(pictureless)} labelled studies have no image here, such as '{pictureless[0]}'")
    out = []
    for study, series in sorted(by_study.items()):
        if study in unknown:
            continue
        views: dict[View, list[SeriesRegion]] = {}
        for one in series:
            try:
                kept = _kept(one, grid, region, cache)
            except StudyError as error:
                say(f"left out: {one.series_id}: {error}")
                continue
            views.setdefault(one.view, []).append(kept)
        if views:
            values = table.of([study])[0]
            first = series[0]
            out.append(
                StudyCase(
                    study_id=study, patient_id=first.patient_id, center=str(first.row.get("center", "")),
                    labels=values, record=records.get(study), views={v: tuple(r) for v, r in views.items()},
                )
            )  # fmt: skip
    if not out:
        name = LABELS_FILE if labels is None else labels.name
        strangers = set(by_study) <= set(unknown)
        hint = f"study_id must agree with {name}" if strangers else "each was left out for the reason above"
        raise NoInputError(f"no labelled study in {', '.join(map(str, studies))}", hint=hint)
    return out


def beside(studies: Sequence[Path], name: str) -> Path | None:
    """The table of that name with the first of `studies`, or beside it, if there is one."""
    return next((root / name for root in (studies[0], studies[0].parent) if (root / name).is_file()), None)


def _labels_of(studies: Sequence[Path]) -> Path:
    found = beside(studies, LABELS_FILE)
    if found is None:
        raise UsageError(f"no {LABELS_FILE} beside {studies[0]}", hint="put it there, or give it with --labels")
    return found


def _kept(series: Series, grid: GridSpec, region: RegionSpec, cache: Path) -> SeriesRegion:
    """The series' region from the cache, or read and put there; a changed input is read anew."""
    made_from = (series.series_id, series.view, grid, region, state_on_disk(series.path))
    path = cache / f"{hashlib.sha256(repr(made_from).encode()).hexdigest()[:24]}.npy"
    if not path.is_file():
        image = joint_region(series.load(), grid, series.view, region).image.half().numpy()
        with atomic(path) as temporary, temporary.open("wb") as out:
            np.save(out, image)
    return SeriesRegion(path, hashlib.sha256(np.load(path, mmap_mode="r").tobytes()).hexdigest())
