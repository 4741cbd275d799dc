"""Who trains and who tests: one split by patient for every arm, and the truth of those who test."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from orthodx.errors import NoInputError, UsageError
from orthodx.joints import Joint
from orthodx.requests import Task, TransferRequest
from orthodx.studies.discover import find_series, named_in, require_any
from orthodx.studies.keys import study_key
from orthodx.studies.labels import LABELS_FILE, read_by_study, read_labels
from orthodx.studies.manifest import COLUMNS
from orthodx.studies.mask_files import TRUTH
from orthodx.studies.readable import counted
from orthodx.studies.run_record import sha256
from orthodx.studies.series import Series
from orthodx.studies.study import Study
from orthodx.studies.tables import write_table
from orthodx.studies.truths import truths_of
from orthodx.studies.writing import atomic
from orthodx.training.diagnosis.splits import Case, person_index, refuse_leakage, split
from orthodx.training.diagnosis.study_cases import labels_in, others_table, table_of

SPLIT, TRAIN, TEST = "split", "train.csv", "test.csv"
Say = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class Parts:
    """One split, on disk in `folder`.

    train, test: tables of series, as `--only` reads them. tested_in: where the test studies lie. patients: who train or
    calibrate. inputs: hash of all images and ids, and of the truth that arms learn from. labels: the table of labels,
    None for masks.
    """

    folder: Path
    tested_in: tuple[Path, ...]
    patients: int
    tested: int
    inputs: str
    labels: Path | None = None

    @property
    def train(self) -> Path:
        """Series that train or calibrate."""
        return self.folder / TRAIN

    @property
    def test(self) -> Path:
        """Series that test."""
        return self.folder / TEST

    @property
    def truth(self) -> Path:
        """Labels, or the folder of masks, of the test studies."""
        return self.folder / (TRUTH if self.labels is None else LABELS_FILE)


@dataclass(frozen=True, eq=False)
class _Known:
    """Studies with their truth: studies, what a split looks at, and for masks the file of each series."""

    studies: list[Study]
    cases: list[Case]
    table: Path | None = None
    masks: Mapping[str, Path] = field(default_factory=dict)

    def truth(self, chosen: Iterable[int]) -> Iterator[tuple[str, str]]:
        """What is known of the chosen studies: (study, labels), (series, hash of its image and mask)."""
        for i in chosen:
            study = self.studies[i]
            yield study.study_id, repr([float(value) for value in self.cases[i].labels])
            for one in study.series:
                if (mask := self.masks.get(one.series_id)) is not None:
                    yield one.series_id, f"{one.content} {sha256(mask)}"


def part(request: TransferRequest, joint: Joint, say: Say) -> Parts:
    """Part the studies, and write both sides and the truth of the test studies into `out/split`.

    Raises `UsageError` where a patient or an image would be on both sides, where a side is empty, and where the folder
    holds another split.
    """
    known = _known(request.studies, request, joint, say)
    if request.test:
        own, train = _known(request.test, request, joint, say), np.arange(len(known.studies))
        test = np.arange(len(own.studies))
        refuse_leakage(known.cases, own.cases)
    else:
        own, train, test = known, *_sides(known.cases, request, say)
    learned = [*known.truth(train)]
    if request.validation is not None:
        validating = _known((request.validation,), request, joint, say)
        refuse_leakage([known.cases[i] for i in train], validating.cases)
        refuse_leakage([own.cases[i] for i in test], validating.cases)
        learned += validating.truth(range(len(validating.studies)))
    folder = request.out / SPLIT
    sides = {TRAIN: [known.studies[i] for i in train], TEST: [own.studies[i] for i in test]}
    for name, studies in sides.items():
        _write(folder / name, studies)
    parts = Parts(
        folder=folder,
        tested_in=request.test or request.studies,
        patients=len(set(person_index([known.cases[i] for i in train]))),
        tested=len(sides[TEST]),
        inputs=_digest([study for studies in sides.values() for study in studies], learned),
        labels=known.table,
    )
    if own.table is not None:
        _write_labels(own.table, parts.truth, sides[TEST], request.link)
    for study in sides[TEST] if own.table is None else ():
        for one in study.series:
            if (mask := own.masks.get(one.series_id)) is not None:
                with atomic(parts.truth / f"{one.file_name}.nii.gz") as temporary:
                    temporary.write_bytes(mask.read_bytes())
    return parts


def _known(paths: Sequence[Path], request: TransferRequest, joint: Joint, say: Say) -> _Known:
    """The studies among `paths` whose truth is known; what is left out is told."""
    found = find_series(paths)
    require_any(found, paths)
    for line in (*found.notes, *(f"left out: {bad.source}: {bad.reason}" for bad in found.refused)):
        say(line)
    studies = sorted(found.studies, key=lambda study: study.study_id)
    if request.task is Task.SEGMENT:
        masks = _masks(paths, found.series)
        known = [study for study in studies if any(one.series_id in masks for one in study.series)]
        if not known:
            raise NoInputError(f"no masks for the studies of {paths[0]}", hint="put them into truth/<series_id>.nii.gz")
        bare = [study.study_id for study in studies if study not in known]
        if bare:
            say(f"{counted(len(bare), 'studies')} without masks, left out, such as '{bare[0]}'")
        return _Known(known, [_case(study, ()) for study in known], None, masks)
    others = request.test and paths == request.test
    table = table_of(paths, others_table(paths, request.labels, say) if others else request.labels)
    names = labels_in(table, joint, say, request.link)
    values = read_labels(table, names, request.link).of([study.study_id for study in studies])
    answered = [i for i, answers in enumerate(values) if not np.isnan(answers).all()]
    if not answered:
        raise NoInputError(f"no study of {paths[0]} has a label in {table.name}", hint="study_id must agree")
    return _Known([studies[i] for i in answered], [_case(studies[i], values[i].tolist()) for i in answered], table)


def _masks(paths: Sequence[Path], series: Sequence[Series]) -> dict[str, Path]:
    """Series -> its mask.

    Raises `UsageError` where a series would have another id in its folder alone, as fine-tuning reads it.
    """
    out = {}
    for name, (alone, mask) in truths_of(paths, series).items():
        if mask is not None:
            if alone != name:
                raise UsageError(
                    f"two of the folders have a series '{alone}'", hint="give every series a name of its own"
                )
            out[name] = mask
    return out


def _case(study: Study, labels: Sequence[float]) -> Case:
    images = frozenset(one.content for one in study.series)
    return Case(study_id=study.study_id, patient_id=study.patient_id, center=study.center, labels=labels, images=images)


def _sides(cases: Sequence[Case], request: TransferRequest, say: Say) -> tuple[np.ndarray, np.ndarray]:
    """Indices of those who train, and of those who test: whole patients, of a share or of held-out centers."""
    parted = split(cases, request.test_share, request.seed, request.hold_out_center, say=say)
    if request.hold_out_center:
        return np.sort(np.concatenate([parted.train, parted.validation])), parted.held_out
    return parted.train, parted.validation


def _digest(studies: Sequence[Study], learned: Sequence[tuple[str, str]]) -> str:
    told = [(s.patient_id, s.study_id, one.series_id, str(one.view), one.content) for s in studies for one in s.series]
    return hashlib.sha256(repr([sorted(told), sorted(learned)]).encode()).hexdigest()


def _write(path: Path, studies: Sequence[Study]) -> None:
    """The series of a side, as in their manifest; paths from here. Refuses to write over another split."""
    rows = []
    for study in studies:
        for one in study.series:
            own = {"patient_id": study.patient_id, "study_id": study.study_id, "series_id": one.series_id}
            place = os.path.relpath(one.path, path.parent)
            rows.append({"view": str(one.view), "center": study.center, **one.row, **own, "path": place})
    if path.is_file() and named_in(path) != {study_key(study.study_id) for study in studies}:
        raise UsageError(
            f"{path} parts the patients in another way", hint="use the studies and options of then, or a new --out"
        )
    further = [name for name in dict.fromkeys(key for row in rows for key in row) if name not in COLUMNS]
    write_table(path, rows, (*COLUMNS, *further))


def _write_labels(table: Path, to: Path, studies: Sequence[Study], link: Path | None) -> None:
    """The labels of some studies, as they stand, by their ids."""
    wanted = {study_key(study.study_id) for study in studies}
    rows = read_by_study(table, link=link)
    kept = [row for row in rows.to_dict("records") if study_key(row["study_id"]) in wanted]
    write_table(to, [{str(k): v for k, v in row.items()} for row in kept], [str(c) for c in rows.columns])
