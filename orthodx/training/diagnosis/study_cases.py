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
from orthodx.joints import Joint, View
from orthodx.networks.device import OUT_OF_MEMORY, memory_errors
from orthodx.requests import GroupBy
from orthodx.studies.discover import among, find_series
from orthodx.studies.keys import study_key
from orthodx.studies.labels import LABELS_FILE, label_columns, read_labels, read_records
from orthodx.studies.manifest import SYNTHETIC
from orthodx.studies.readable import counted
from orthodx.studies.records import Record
from orthodx.studies.run_record import state_on_disk
from orthodx.studies.series import Series
from orthodx.studies.study import Study
from orthodx.studies.writing import atomic
from orthodx.training.diagnosis.splits import Case
from orthodx.training.left_out import Leave, LeftOut


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
    """labels: (L,) 1, 0 or NaN. views: the regions of each view's series; at least one view has one.

    synthetic: its manifest says that orthodx synth made it.
    """

    study_id: str
    patient_id: str
    center: str
    labels: np.ndarray
    record: Record | None
    views: dict[View, tuple[SeriesRegion, ...]] = field(default_factory=dict)
    synthetic: bool = False

    @property
    def case(self) -> Case:
        """What a split looks at."""
        images = frozenset(one.content for regions in self.views.values() for one in regions)
        return Case(
            study_id=self.study_id,
            patient_id=self.patient_id,
            center=self.center,
            labels=self.labels.tolist(),
            images=images,
        )


def open_cases(
    studies: Sequence[Path],
    names: Sequence[str],
    grid: GridSpec,
    region: RegionSpec,
    cache: Path,
    *,
    labels: Path,
    ehr: Sequence[Path] = (),
    only: Path | None = None,
    group_by: GroupBy | None = None,
    link: Path | None = None,
    say: Callable[[str], None] = print,
    leave: Leave = lambda one: None,
) -> list[StudyCase]:
    """The labelled studies among `studies`, by study_id.

    labels: table. ehr: tables, of which the first that has a study counts. only: table of the studies to open, of all.
    group_by: what makes NIfTI files without a manifest one study. link: of the tables' names of studies. cache: folder
    of the regions, where a later run finds them. Series and studies that cannot be used are left out and told to
    `leave`. Raises `NoInputError` if no study is left, `StudyError` for a table that cannot be read.
    """
    table = read_labels(labels, names, link)
    if table.absent:
        say(f"no column for {', '.join(table.absent)}: unknown in every study")
    records: dict[str, Record] = {}
    for path in reversed(ehr):
        records |= read_records(path, link)
    found = among(find_series(studies, group_by=group_by), only)
    for line in found.notes:
        say(line)
    for bad in found.refused:
        leave(LeftOut(bad.source, bad.reason))
    here = {study_key(study.study_id) for study in found.studies}
    known = {study_key(study) for study in table.study_ids}
    if unknown := sorted(here - known):
        say(f"{counted(len(unknown), 'studies have')} no labels, left out, such as '{unknown[0]}'")
    if pictureless := sorted(known - here if only is None else ()):
        say(f"{counted(len(pictureless), 'studies')} with labels and no image here, such as '{pictureless[0]}'")
    labelled = [study for study in found.studies if study_key(study.study_id) in known]
    out = []
    for study in sorted(labelled, key=lambda study: study.study_id):
        try:
            study.refuse_both_sides()
        except StudyError as error:
            leave(LeftOut(study.source, error.line))
            continue
        views = _views(study, grid, region, cache, leave)
        if views:
            out.append(
                StudyCase(
                    study_id=study.study_id,
                    patient_id=study.patient_id,
                    center=study.center,
                    labels=table.of([study.study_id])[0],
                    record=records.get(study_key(study.study_id)),
                    views=views,
                    synthetic=all(one.row.get("converter") == SYNTHETIC for one in study.series),
                )
            )
    if not out:
        agree = "each was left out for the reason above" if labelled else f"study_id must agree with {labels.name}"
        raise NoInputError(f"no labelled study in {', '.join(map(str, studies))}", hint=agree)
    return out


def _views(
    study: Study, grid: GridSpec, region: RegionSpec, cache: Path, leave: Leave
) -> dict[View, tuple[SeriesRegion, ...]]:
    """The regions of each view's series; what cannot be read is told and left out."""
    views: dict[View, list[SeriesRegion]] = {}
    for one in study.series:
        try:
            with memory_errors():
                kept = _kept(one, grid, region, cache)
        except StudyError as error:
            leave(LeftOut.of(one, error.line))
            continue
        except MemoryError:
            leave(LeftOut.of(one, OUT_OF_MEMORY))
            continue
        views.setdefault(one.view, []).append(kept)
    return {view: tuple(regions) for view, regions in views.items()}


def labels_in(table: Path, joint: Joint, say: Callable[[str], None], link: Path | None = None) -> tuple[str, ...]:
    """What a table of labels teaches: the joint's abnormalities that it has columns for, or, of a joint that names
    none, all of them. Other columns are told.
    """
    columns = label_columns(table, joint.codes, link)
    names = tuple(code for code in joint.codes if code in columns) if joint.codes else columns
    strangers = [column for column in columns if column not in names]
    if not names:
        raise UsageError(
            f"{table.name}: has no column for any of {', '.join(joint.codes)}",
            hint=f"name the columns so, or give --joint; it has: {', '.join(columns) or 'none'}",
        )
    if strangers:
        say(f"{table.name}: {', '.join(strangers)}: no abnormality of the {joint.name}, not learned")
    return names


def beside(studies: Sequence[Path], name: str) -> Path | None:
    """The table of that name with the first of `studies`, or beside it, if there is one."""
    return next((root / name for root in (studies[0], studies[0].parent) if (root / name).is_file()), None)


def others_table(studies: Sequence[Path], labels: Path | None, say: Callable[[str], None]) -> Path | None:
    """The table of labels of further studies: in their own folder, else the one given, else beside the folder."""
    own = (studies[0].parent if studies[0].is_file() else studies[0]) / LABELS_FILE
    if not own.is_file():
        return labels or beside(studies, LABELS_FILE)
    if labels is not None and labels.resolve() != own.resolve():
        say(f"{studies[0].name} has a {LABELS_FILE} of its own, which is read instead of --labels")
    return own


def table_of(studies: Sequence[Path], labels: Path | None) -> Path:
    """The table of labels: the one given, or `labels.csv` beside the studies. Raises `UsageError` for none."""
    if labels is not None and not labels.is_file():
        raise UsageError(f"--labels: {labels} is not there", hint="check the path")
    found = labels or beside(studies, LABELS_FILE)
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
