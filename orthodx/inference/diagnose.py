"""`orthodx diagnose`: studies in; a probability for each abnormality out. One model load, one study at a time."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from itertools import islice
from pathlib import Path
from typing import Any

from orthodx.errors import NoInputError, StudyError, UsageError
from orthodx.inference import explanation
from orthodx.inference.model_choice import chosen_bundle, other_joint
from orthodx.inference.patient_records import records_for, unmatched
from orthodx.inference.study_reader import Reading, StudyReader
from orthodx.joints import View
from orthodx.networks.device import memory_errors, pick_device
from orthodx.requests import DiagnoseRequest, takes
from orthodx.studies.discover import among, find_series, require_any
from orthodx.studies.identity import pseudonym
from orthodx.studies.keys import study_key
from orthodx.studies.read_ahead import read_ahead
from orthodx.studies.receipts import DONE, Receipts
from orthodx.studies.records import Record
from orthodx.studies.run_record import inputs_of, sha256, write_run
from orthodx.studies.series import Series
from orthodx.studies.study import Study
from orthodx.studies.tables import write_table
from orthodx.studies.volume import Volume

PREDICTIONS = "predictions.csv"
ABOUT_COLUMNS = ("patient_id", "study_id", "views", "model")
STATUS_COLUMNS = ("study_id", "source", "status", "reason", "views", "seconds")
Reads = Iterable[tuple[Series, Callable[[], Volume]]]


@dataclass
class StudyCase:
    """What became of one study (or of an input that never became one)."""

    patient_id: str
    study_id: str
    source: str
    status: str  # ok, warned or failed
    reason: str
    views: str
    seconds: float
    probabilities: dict[str, float] = field(default_factory=dict)
    positive: list[str] = field(default_factory=list)
    explanation: list[dict[str, Any]] = field(default_factory=list)


@takes(DiagnoseRequest)
def diagnose(
    request: DiagnoseRequest,
    *,
    tell: Callable[[StudyCase, int, int], None] = lambda case, done, total: None,
    note: Callable[[str], None] = lambda line: None,
    command: Sequence[str] = (),
) -> list[StudyCase]:
    """Diagnose every one of some studies; one `StudyCase` a study.

    Writes the table `out`, and beside it `<stem>.status.csv` and `<stem>.run.json`; with `explain` a folder of
    `explanation.csv`, `<study>.json` and a picture for each positive label. tell: called after each study with (case,
    done, total). note: told facts worth knowing. Raises `NoInputError` when there was nothing to read, `BundleError`
    for a model that cannot diagnose, `UsageError` for options that cannot be followed, `StudyError` for a damaged
    table of records.

    >>> cases = orthodx.diagnose("cohort", "predictions.csv", ehr="cohort/ehr.csv")
    >>> 0 <= cases[0].probabilities["ACL"] <= 1
    True
    """
    started, out = datetime.now(timezone.utc), table_at(request.out)
    _spare_others(out)
    found = among(find_series(request.studies, request.view, request.group_by), request.only)
    require_any(found, request.studies)
    bundle = chosen_bundle(request.model, request.joint, found.series, note)
    reader = StudyReader(bundle, pick_device(request.device))
    records = records_for(request.ehr, reader)
    notes = [*found.notes, *unmatched(records, found.studies, request.ehr)]
    for line in notes:
        note(line)
    _beside(out, "run.json").unlink(missing_ok=True)  # thresholds of an earlier run would be taken for this one's
    job = Job(reader, out, request.explain, records)
    total = len(found.studies) + len(found.refused)
    cases = [StudyCase("", bad.study_id, bad.source, "failed", bad.reason, "", 0.0) for bad in found.refused]
    for i, case in enumerate(cases):
        tell(case, i + 1, total)
    kept = {study.study_id: job.finished(study) for study in found.studies} if request.resume else {}
    todo = [series for study in found.studies if not kept.get(study.study_id) for series in study.series]
    reads = read_ahead(todo, request.workers)
    for study in found.studies:
        earlier = kept.get(study.study_id)
        own = islice(reads, 0 if earlier else len(study.series))
        cases.append(earlier or job.do(study, own))
        deque(own, 0)  # what a refused study did not take
        tell(cases[-1], len(cases), total)
        if not earlier:
            job.write_tables(cases)
    job.write_tables(cases)
    counts = {s: sum(c.status == s for c in cases) for s in ("ok", "warned", "failed")}
    facts = {**_facts(reader, found.series, request.ehr), "notes": notes, "counts": counts}
    write_run(_beside(out, "run.json"), command=command, started=started, facts=facts)
    if counts["failed"] == len(cases):
        raise NoInputError("no study could be read", hint=f"the reasons are in {_beside(out, 'status.csv')}")
    return cases


class Job:
    """One run over many studies: what it reads with, and where it writes."""

    def __init__(self, reader: StudyReader, out: Path, explain: Path | None, records: dict[str, Record]) -> None:
        self.reader, self.out, self.explain, self.records = reader, out, explain, records
        self.receipts = Receipts(out.parent / f".{out.stem}{DONE}", {"model": reader.bundle.digest})

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
        if case.status != "failed":
            self.receipts.write(study.study_id, self._made_from(study), self._files(case), case.__dict__)
        return case

    def _answer(self, study: Study, reads: Reads, case: StudyCase) -> list[str]:
        """The main path: each series read -> one answer -> explained; what a reader should know."""
        notes = other_joint(study.series, self.reader.bundle)
        readings = [r for one in reads if (r := self._reading(*one, notes)) is not None]
        if not readings:
            raise StudyError("; ".join(notes))
        answer = self.reader.answer(readings, self.records.get(study_key(study.study_id)))
        case.views = "+".join(str(v) for v in View if any(r.view == v for r in readings))
        case.probabilities = dict(zip(answer.labels, map(float, answer.probability), strict=True))
        case.positive = [name for name, there in zip(answer.labels, answer.positive, strict=True) if there]
        if self.explain is not None:
            explanation.explain(self.explain, study, answer, readings, self.reader)
            case.explanation = explanation.rows(study.study_id, answer)
        return notes

    def _reading(self, series: Series, load: Callable[[], Volume], notes: list[str]) -> Reading | None:
        """One series; one that cannot be read is left out, and `notes` says why."""
        if not self.reader.knows(series.view):
            notes.append(f"{series.series_id} left out: the model reads no {series.view} series")
            return None
        try:
            with memory_errors():
                reading = self.reader.read(series.series_id, load(), series.view, with_heat=self.explain is not None)
        except StudyError as error:
            notes.append(f"{series.series_id} left out: {error.line}")
            return None
        except MemoryError:
            notes.append(f"{series.series_id} left out: out of memory; close other programs or crop the image")
            return None
        if series.oblique:
            notes.append(f"{series.series_id} is oblique: its view is uncertain")
        notes += (f"{series.series_id}: {doubt}" for doubt in series.doubts)
        return reading

    def finished(self, study: Study) -> StudyCase | None:
        """The case of an earlier run, if its receipt is of the same model, series and record, its files whole."""
        kept = self.receipts.find(
            study.study_id, self._made_from(study), needs=lambda case: self._files(StudyCase(**case))
        )
        return None if kept is None else StudyCase(**kept)

    def _files(self, case: StudyCase) -> list[Path]:
        return [] if self.explain is None else explanation.files(self.explain, case.study_id, case.positive)

    def _made_from(self, study: Study) -> dict[str, Any]:
        record = self.records.get(study_key(study.study_id))
        return {
            "patient_id": study.patient_id,
            "record": "" if record is None else pseudonym(repr(record), 20),  # a plain hash of so little can be guessed
            "inputs": [[s.series_id, str(s.view), s.content] for s in study.series],
        }

    def write_tables(self, cases: Sequence[StudyCase]) -> None:
        """Predictions, status and explanation of these studies."""
        labels, model = self.reader.labels, self.reader.bundle.info.name
        done = [c for c in cases if c.status != "failed"]
        rows = [{**c.__dict__, "model": model, **c.probabilities} for c in done]
        write_table(self.out, rows, (*ABOUT_COLUMNS, *labels))
        write_table(_beside(self.out, "status.csv"), [c.__dict__ for c in cases], STATUS_COLUMNS)
        if self.explain is not None:
            told = [row for c in done for row in c.explanation]
            write_table(self.explain / explanation.TABLE, told, explanation.COLUMNS)


def table_at(out: str | Path) -> Path:
    """The CSV that `--out` means; raises `UsageError` where it names neither a CSV nor a folder."""
    path = Path(out)
    if path.is_dir() or str(out).endswith(("/", os.sep)):
        return path / PREDICTIONS
    if path.suffix.lower() != ".csv":
        raise UsageError(f"--out: '{out}' is no CSV", hint=f"name a table like {PREDICTIONS}, or a folder: {out}/")
    return path


def _beside(out: Path, name: str) -> Path:
    """`<stem>.<name>`, where `evaluate` looks for it."""
    return out.with_name(f"{out.stem}.{name}")


def _spare_others(out: Path) -> None:
    """Raise `UsageError` where a table that is none of predictions, an input perhaps, would be written over."""
    if out.exists() and not out.read_text(encoding="utf-8", errors="replace").startswith(",".join(ABOUT_COLUMNS)):
        raise UsageError(f"--out: {out} is there and holds no predictions", hint="name another table")


def _facts(reader: StudyReader, series: Sequence[Series], ehr: Path | None) -> dict[str, Any]:
    """What `run.json` says of model, device and inputs; `evaluate` reads thresholds and training facts from it."""
    info = reader.bundle.info
    return {
        "model": {
            "name": info.name,
            "version": info.version,
            "sha256": reader.bundle.digest,
            "labels": list(reader.labels),
            "thresholds": reader.thresholds,
            "label_fraction": reader.info.label_fraction,
            "from_scratch": reader.info.from_scratch,
            "encoder": next(iter(reader.info.encoders.values())).name,
        },
        "joint": info.joint.to_json(),
        "device": str(reader.device),
        "inputs": inputs_of(series),
        "ehr": None if ehr is None else {"name": ehr.name, "sha256": sha256(ehr)},
    }
