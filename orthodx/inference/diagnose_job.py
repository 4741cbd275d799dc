"""One run of `orthodx diagnose` at work: each study read, answered, explained and told of in the tables."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from orthodx.errors import StudyError, UsageError
from orthodx.inference import answers, explanation
from orthodx.inference.answers import ANSWERS, answer_rows
from orthodx.inference.diagnose_case import ABOUT_COLUMNS, STATUS_COLUMNS, StudyCase, lacking, refused
from orthodx.inference.model_choice import other_joint
from orthodx.inference.plausibility import strange
from orthodx.inference.study_reader import Reading, StudyReader
from orthodx.joints import View
from orthodx.networks.device import OUT_OF_MEMORY, memory_errors
from orthodx.requests import DiagnoseRequest
from orthodx.studies.claim import Owner, Place, claimed, turn
from orthodx.studies.discover import Found
from orthodx.studies.identity import pseudonym, whereabouts
from orthodx.studies.keys import file_name, study_key
from orthodx.studies.nameless import nameless
from orthodx.studies.placing import places, world_box
from orthodx.studies.read_ahead import read_ahead
from orthodx.studies.receipts import Receipts
from orthodx.studies.records import Record
from orthodx.studies.run_record import RUN, content_of
from orthodx.studies.series import Series
from orthodx.studies.shards import Seldom, shard_of
from orthodx.studies.study import Study
from orthodx.studies.tables import write_table
from orthodx.studies.volume import Volume

Reads = Iterable[tuple[Series, Callable[[], Volume]]]


class Job:
    """One run over many studies: what it reads with, and where it writes."""

    def __init__(
        self, reader: StudyReader, request: DiagnoseRequest, out: Path, records: dict[str, Record], everything: Found
    ) -> None:
        """everything: this run's studies, and those of other shards."""
        self.reader, self.request, self.out, self.explain, self.records = reader, request, out, request.explain, records
        self.everything, self.shard, self.due = everything, shard_of(request.shard), Seldom()
        self.table = Place(out.parent, out.stem)
        self.receipts = Receipts(self.table.receipts, {"model": reader.bundle.digest})

    @contextlib.contextmanager
    def place(self, studies: Sequence[Study]) -> Iterator[None]:
        """The table, and the folder of explanations if there is one, held for this run; the folder is one table's."""
        by, resume = "orthodx diagnose", self.request.resume
        asked = self.request
        options = {
            "model": self.reader.bundle.digest,
            "view": str(asked.view or ""),
            "group_by": str(asked.group_by or ""),
        }
        tables = [self.out, *(beside(self.out, name) for name in (ANSWERS, "status.csv", RUN))]
        owner = Owner(by=by, options=options, outputs=tables, resume=resume, shard=self.shard)
        with claimed(self.table, owner) as name, contextlib.ExitStack() as stack:
            if self.explain is not None:
                told = [self.explain / explanation.TABLE]
                told += [path for one in studies for path in explanation.files(self.explain, one.study_id, ())]
                owner = Owner(by=f"{by} {name}", outputs=told, resume=None, shard=self.shard)
                stack.enter_context(claimed(Place(self.explain), owner))
            yield

    def all(self, found: Found, tell: Callable[[StudyCase, int, int], None]) -> list[StudyCase]:
        """Every study of this run, one after the other; the tables are whole after each."""
        cases, keep = refused(found), self.request.keep_paths
        total = len(found.studies) + len(cases)
        rows = [case.row(keep, self.request.studies) for case in cases]
        for i, case in enumerate(cases):
            tell(case, i + 1, total)
        before = self._earlier(found.studies)
        kept = {study.study_id: self.finished(study) for study in found.studies} if self.request.resume else {}
        todo = [series for study in found.studies if not kept.get(study.study_id) for series in study.series]
        reads = read_ahead(todo, self.request.workers)
        for study in found.studies:
            earlier = kept.get(study.study_id)
            own = islice(reads, 0 if earlier else len(study.series))
            cases.append(earlier or self.do(study, own))
            rows.append(cases[-1].row(keep, self._paths(study), study))
            deque(own, 0)  # what a refused study did not take
            tell(cases[-1], len(cases), total)
            if not earlier:
                self.write_tables(rows, before)
        self.write_tables(rows, before, last=True)
        return cases

    def together(self, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """The rows of this run with those of all shards so far, in the order of one run."""
        first = [case.row(self.request.keep_paths, self.request.studies) for case in refused(self.everything)]
        order = {study.study_id: i for i, study in enumerate(self.everything.studies)}
        own = [row for row in rows if row["study_id"] in order]
        names = {row["study_id"] for row in own}
        done = [row for row in self._earlier(()) if row["study_id"] not in names]
        return [*first, *sorted([*own, *done], key=lambda row: order.get(row["study_id"], len(order)))]

    def shown(self, notes: Sequence[str], found: Found) -> list[str]:
        """Notes as the record has them."""
        given: list[str | Path] = [*self.request.studies, *(one.source for one in found.refused)]
        ids = {name for one in found.series for name in (one.study_id, one.series_id)}
        return list(notes) if self.request.keep_paths else [nameless(line, given, ids) for line in notes]

    def _earlier(self, studies: Sequence[Study]) -> list[dict[str, Any]]:
        """The rows of earlier runs into this table, of studies that are not in this one."""
        here = {file_name(study.study_id) for study in studies}
        return [row for name, row in self.receipts.results().items() if name not in here]

    def earlier_inputs(self, studies: Sequence[Study]) -> list[dict[str, str]]:
        """What the record says of the images behind these rows."""
        told = []
        for study_id in (row["study_id"] for row in self._earlier(studies)):
            for series_id, _, content in self.receipts.made_from(study_id).get("inputs", ()):
                told.append({"study_id": study_id, "series_id": series_id, "sha256": content})
        return told

    def spare_others(self, studies: Sequence[Study]) -> None:
        """Raise `UsageError` where the answer to another study of the same name would be lost."""
        for study in studies:
            before = self.receipts.result(study.study_id) or {}
            at, known = _whereabouts(study), before.get("at", "")
            if at and known and at != known and not self._same_images(study):
                raise UsageError(
                    f"--out: {self.out} has an answer to another study called '{study.study_id}'",
                    hint="name another table, or the studies in a manifest.csv",
                )

    def _same_images(self, study: Study) -> bool:
        """Whether the answer there is to these very images."""
        return self.receipts.made_from(study.study_id).get("inputs") == self._made_from(study)["inputs"]

    def do(self, study: Study, reads: Reads) -> StudyCase:
        """One study, with a receipt for `resume`; one that cannot be read says why, and the others go on."""
        began = time.perf_counter()
        case = StudyCase(study.patient_id, study.study_id, study.source, "ok", "", "", 0.0)
        try:
            notes = self._answer(study, reads, case)
            case.status, case.reason = ("warned", "; ".join(notes)) if notes else ("ok", "")
        except StudyError as error:
            case.status, case.reason = "failed", error.line
        case.seconds = round(time.perf_counter() - began, 2)
        result = {**case.row(self.request.keep_paths, self._paths(study), study), "at": _whereabouts(study)}
        if case.status == "failed":
            self.receipts.fail(study.study_id, self._made_from(study), result)
        else:
            self.receipts.write(study.study_id, self._made_from(study), self._files(case), result)
        return case

    def _paths(self, study: Study) -> list[Any]:
        """What the reason of its case may name."""
        return [*self.request.studies, *lacking(self.everything, study)]

    def _answer(self, study: Study, reads: Reads, case: StudyCase) -> list[str]:
        """The main path: each series read -> one answer -> explained; what a reader should know."""
        study.refuse_both_sides()
        notes = [*other_joint(study.series, self.reader.bundle), *lacking(self.everything, study).values()]
        boxes: list[np.ndarray] = []
        readings = [r for one in reads if (r := self._reading(*one, notes, boxes)) is not None]
        if len(places(boxes)) > 1:
            notes.append("its series lie apart: if they are of two joints, give each a study_id of its own")
        if not readings:
            raise StudyError("; ".join(notes))
        answer = self.reader.answer(readings, self.records.get(study_key(study.study_id)))
        case.views = "+".join(str(v) for v in View if any(r.view == v for r in readings))
        case.probabilities = dict(zip(answer.labels, map(float, answer.probability), strict=True))
        case.answers = answer_rows(study.study_id, answer, {r.view for r in readings}, self.reader.bundle.info.joint)
        case.strangeness = None if answer.strangeness is None else round(answer.strangeness, 3)
        notes += strange(case.strangeness, self.reader.bundle.info.name)
        case.above = [name for name, there in zip(answer.labels, answer.positive, strict=True) if there]
        case.positive = [] if answer.strange else case.above
        if self.explain is not None:
            explanation.explain(self.explain, study, answer, readings, self.reader)
            case.explanation = explanation.rows(study.study_id, answer)
        return notes

    def _reading(
        self, series: Series, load: Callable[[], Volume], notes: list[str], boxes: list[np.ndarray]
    ) -> Reading | None:
        """One series, its box added to `boxes`; one that cannot be read is left out, and `notes` says why."""
        if not self.reader.knows(series.view):
            notes.append(f"{series.series_id} left out: the model reads no {series.view} series")
            return None
        try:
            with memory_errors():
                volume = load()
                reading = self.reader.read(series.series_id, volume, series.view, with_heat=self.explain is not None)
        except StudyError as error:
            notes.append(f"{series.series_id} left out: {error.line}")
            return None
        except MemoryError:
            notes.append(f"{series.series_id} left out: {OUT_OF_MEMORY}")
            return None
        boxes.append(world_box(volume.affine, volume.shape))
        if series.oblique:
            notes.append(f"{series.series_id} is oblique: its view is uncertain")
        notes += (f"{series.series_id}: {doubt}" for doubt in series.doubts)
        return reading

    def finished(self, study: Study) -> StudyCase | None:
        """The case of an earlier run, if its receipt is of the same model, series and record, its files whole."""
        kept = self.receipts.find(
            study.study_id,
            self._made_from(study),
            needs=lambda case: self._files(StudyCase.of(case)),
        )
        if kept is None or "above" not in kept:  # of a version that told less
            return None
        return StudyCase.of(kept, study.source)

    def _files(self, case: StudyCase) -> list[Path]:
        return [] if self.explain is None else explanation.files(self.explain, case.study_id, case.above)

    def _made_from(self, study: Study) -> dict[str, Any]:
        record = self.records.get(study_key(study.study_id))
        return {
            "patient_id": study.patient_id,
            "record": "" if record is None else pseudonym(repr(record), 20),  # a plain hash of so little can be guessed
            "inputs": [[s.series_id, str(s.view), content_of(s)] for s in study.series],
            **({"lacking": pseudonym(repr(sorted(gone)), 20)} if (gone := lacking(self.everything, study)) else {}),
            **({"sides": sides} if len(sides := study.sides) > 1 else {}),
        }

    def write_tables(
        self, rows: Sequence[dict[str, Any]], before: Sequence[dict[str, Any]], last: bool = False
    ) -> None:
        """Predictions, status and explanation of these studies; of shards, of all of them, now and then and `last`."""
        if self.shard is not None and not (last or self.due()):
            return
        with turn(self.table, self.shard):
            self._write_tables([*rows, *before] if self.shard is None else self.together(rows))

    def _write_tables(self, rows: Sequence[dict[str, Any]]) -> None:
        labels, model = self.reader.labels, self.reader.bundle.info.name
        done = [row for row in rows if row["status"] != "failed"]
        chances = [{**row, "model": model, **row["probabilities"]} for row in done]
        write_table(self.out, chances, (*ABOUT_COLUMNS, *labels))
        told = [one for row in done for one in row.get("answers", ())]
        write_table(beside(self.out, ANSWERS), told, answers.COLUMNS)
        columns = (*STATUS_COLUMNS, "source") if self.request.keep_paths else STATUS_COLUMNS
        write_table(beside(self.out, "status.csv"), rows, columns)
        if self.explain is not None:
            told = [one for row in done for one in row["explanation"]]
            write_table(self.explain / explanation.TABLE, told, explanation.COLUMNS)


def beside(out: Path, name: str) -> Path:
    """`<stem>.<name>`, where `evaluate` looks for it."""
    return out.with_name(f"{out.stem}.{name}")


def _whereabouts(study: Study) -> str:
    """A keyed hash of where the images of a study lie whose name is that of their folder; blank for others."""
    bare = [one for one in study.series if one.stack is None and not one.row]
    return whereabouts(bare[0].path.resolve().parent) if bare else ""
