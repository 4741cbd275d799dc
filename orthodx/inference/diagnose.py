"""`orthodx diagnose`: studies in; a probability for each abnormality out. One model load, one study at a time."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from itertools import islice
from pathlib import Path
from typing import Any

from orthodx.bundles.bundle import open_bundle
from orthodx.errors import NoInputError, OrthodxError, StudyError, UsageError
from orthodx.inference import explanation
from orthodx.inference.device import pick_device
from orthodx.inference.study import Study, studies_of
from orthodx.inference.study_reader import Reading, StudyReader
from orthodx.joints import JOINTS, View
from orthodx.studies.discover import find_series, safe_name
from orthodx.studies.labels import read_records
from orthodx.studies.manifest import write_table
from orthodx.studies.read_ahead import read_ahead
from orthodx.studies.records import Record
from orthodx.studies.run_record import sha256, state_on_disk, write_json, write_run
from orthodx.studies.series import Series
from orthodx.studies.volume import Volume

PREDICTIONS = "predictions.csv"
ABOUT_COLUMNS = ("patient_id", "study_id", "views", "model")
STATUS_COLUMNS = ("study_id", "source", "status", "reason", "views", "seconds")


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


def diagnose(
    studies: Sequence[Path], out: str | Path, *, model: str | Path = "knee-small", ehr: Path | None = None,
    explain: Path | None = None, view: View | None = None, device: str = "auto", workers: int = 1,
    resume: bool = False, tell: Callable[[StudyCase, int, int], None] = lambda case, done, total: None,
    note: Callable[[str], None] = lambda line: None, command: Sequence[str] = (),
) -> list[StudyCase]:  # fmt: skip
    """Diagnose every study found in `studies` and write the table `out`.

    out: a CSV, or a folder, there or with a slash at its end, for `predictions.csv`; beside it `<stem>.status.csv`
    and `<stem>.run.json`.
    ehr: table of health records, a row a study. explain: folder for `explanation.csv`, `<study>.json` and a picture
    for each positive label. view: read every series as this view. workers: images read in advance. resume: keep
    finished studies of an earlier run with the same model, series and record. tell: called after each study with
    (case, done, total). note: told facts worth knowing. Returns one `StudyCase` a study. Raises `NoInputError` when
    there was nothing to read, `BundleError` for a model that cannot diagnose, `UsageError` for options that
    cannot be followed.
    """
    started = datetime.now(timezone.utc)
    out = table_at(out)
    _spare_inputs(out, [*studies, *([ehr] if ehr else [])])
    reader = StudyReader(open_bundle(model), pick_device(device))
    records = _records(ehr, reader)
    found = find_series(studies, view)
    groups = studies_of(found.series)
    if not groups and not found.refused:
        raise NoInputError(
            f"no MR series in {', '.join(map(str, studies))}",
            hint="give a folder of DICOM or NIfTI, or a manifest.csv",
        )
    notes = _unmatched(records, groups, ehr)
    for line in notes:
        note(line)
    job = _Job(reader, out, explain, records)
    total = len(groups) + len(found.refused)
    for source, reason in found.refused:
        job.cases.append(StudyCase("", "", source, "failed", reason, "", 0.0))
        tell(job.cases[-1], len(job.cases), total)
    kept = {g.study_id: job.finished(g) for g in groups} if resume else {}
    reads = read_ahead([s for g in groups if not kept.get(g.study_id) for s in g.series], workers)
    for study in groups:
        case = kept.get(study.study_id)
        if case is None:
            own = islice(reads, len(study.series))
            case = job.do(study, own)
            deque(own, 0)  # what a refused study did not take
        job.cases.append(case)
        tell(case, len(job.cases), total)
        job.write_tables()
    job.write_tables()
    info = reader.bundle.info
    write_run(
        _beside(out, "run.json"),
        command=command,
        started=started,
        facts={
            "model": {
                "name": info.name, "version": info.version, "sha256": reader.bundle.digest,
                "labels": list(reader.labels), "thresholds": reader.thresholds,
                "label_fraction": reader.info.label_fraction, "from_scratch": reader.info.from_scratch,
            },
            "device": str(reader.device),
            "inputs": [
                {"study_id": s.study_id, "series_id": s.series_id,
                 "sha256": sha256(s.path) if s.path.is_file() else "DICOM folder"}
                for s in found.series
            ],
            "ehr": None if ehr is None else {"name": ehr.name, "sha256": sha256(ehr)},
            "notes": notes,
            "counts": {s: sum(c.status == s for c in job.cases) for s in ("ok", "warned", "failed")},
        },
    )  # fmt: skip
    if all(c.status == "failed" for c in job.cases):
        raise NoInputError("no study could be read", hint=f"the reasons are in {_beside(out, 'status.csv')}")
    return job.cases


class _Job:
    """One run over many studies: what it reads with, where it writes, what came of each study so far."""

    def __init__(self, reader: StudyReader, out: Path, explain: Path | None, records: dict[str, Record]) -> None:
        self.reader, self.out, self.explain, self.records = reader, out, explain, records
        self.cases: list[StudyCase] = []
        self._model = reader.bundle.digest

    def do(self, study: Study, reads: Iterable[tuple[Series, Callable[[], Volume]]]) -> StudyCase:
        """The main path: each series read -> one answer -> explained, with a receipt for `resume`."""
        began = time.perf_counter()
        case = StudyCase(study.patient_id, study.study_id, study.source, "ok", "", "", 0.0)
        notes: list[str] = []
        try:
            study.require_one_patient()
            readings = [r for one in reads if (r := self._reading(*one, notes)) is not None]
            if not readings:
                raise StudyError("; ".join(notes))
            answer = self.reader.answer(readings, self.records.get(study.study_id))
            case.views = "+".join(str(v) for v in View if any(r.view == v for r in readings))
            case.probabilities = dict(zip(answer.labels, map(float, answer.probability), strict=True))
            case.positive = [name for name, there in zip(answer.labels, answer.positive, strict=True) if there]
            if self.explain is not None:
                info = self.reader.bundle.info
                meanings = JOINTS[info.joint].abnormalities if info.joint in JOINTS else {}
                explanation.explain(self.explain, study, answer, readings, info.name, meanings)
                case.explanation = explanation.rows(study.study_id, answer)
            case.status, case.reason = ("warned", "; ".join(notes)) if notes else ("ok", "")
        except StudyError as error:
            case.status, case.reason = "failed", _line(error)
        case.seconds = round(time.perf_counter() - began, 2)
        if case.status != "failed":
            write_json(self._receipt(study), {**self._made_from(study), "case": case.__dict__})
        return case

    def _reading(self, series: Series, load: Callable[[], Volume], notes: list[str]) -> Reading | None:
        """One series; one that cannot be read is left out, and `notes` says why."""
        if not self.reader.knows(series.view):
            notes.append(f"{series.series_id} left out: the model reads no {series.view} series")
            return None
        try:
            reading = self.reader.read(series.series_id, load(), series.view, with_heat=self.explain is not None)
        except StudyError as error:
            notes.append(f"{series.series_id} left out: {_line(error)}")
            return None
        except MemoryError:
            notes.append(f"{series.series_id} left out: out of memory; close other programs or crop the image")
            return None
        if series.oblique:
            notes.append(f"{series.series_id} is oblique: its view is uncertain")
        return reading

    def finished(self, study: Study) -> StudyCase | None:
        """The case of an earlier run, if its receipt is whole and of the same model, series and record."""
        try:
            kept = json.loads(self._receipt(study).read_text())
            if not kept.items() >= self._made_from(study).items():
                return None
            case = StudyCase(**kept["case"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None
        return case if self.explain is None or self._is_explained(case) else None

    def _is_explained(self, case: StudyCase) -> bool:
        assert self.explain is not None
        drawn = explanation.pictures(self.explain, case.study_id, case.positive).values()
        files = (self.explain / f"{case.study_id}.json", *drawn)
        return bool(case.explanation) and all(file.is_file() for file in files)

    def _receipt(self, study: Study) -> Path:
        return self.out.parent / f".{self.out.stem}.done" / f"{study.study_id}.json"

    def _made_from(self, study: Study) -> dict[str, Any]:
        record = repr(self.records.get(study.study_id)).encode()  # hashed: a receipt betrays no patient
        return {
            "model": self._model,
            "record": hashlib.sha256(record).hexdigest()[:20],
            "inputs": [[s.series_id, str(s.view), state_on_disk(s.path)] for s in study.series],
        }

    def write_tables(self) -> None:
        """Predictions, status and explanation of all studies so far."""
        labels, model = self.reader.labels, self.reader.bundle.info.name
        done = [c for c in self.cases if c.status != "failed"]
        write_table(
            self.out, [{**c.__dict__, "model": model, **c.probabilities} for c in done], (*ABOUT_COLUMNS, *labels)
        )
        write_table(_beside(self.out, "status.csv"), [c.__dict__ for c in self.cases], STATUS_COLUMNS)
        if self.explain is not None:
            rows = [row for c in done for row in c.explanation]
            write_table(self.explain / explanation.TABLE, rows, explanation.COLUMNS)


def table_at(out: str | Path) -> Path:
    """The CSV that `--out` means; raises `UsageError` where it names neither a CSV nor a folder."""
    path = Path(out)
    if path.is_dir() or str(out).endswith(("/", os.sep)):
        return path / PREDICTIONS
    if path.suffix.lower() != ".csv":
        raise UsageError(f"--out: '{out}' is no CSV", hint=f"name a table like {PREDICTIONS}, or a folder: {out}/")
    return path


def _spare_inputs(out: Path, inputs: Sequence[Path]) -> None:
    if out.exists() and any(out.samefile(path) for path in inputs if path.exists()):
        raise UsageError(f"--out: {out} is an input", hint="name another table")


def _beside(out: Path, name: str) -> Path:
    """`<stem>.<name>`, where `evaluate` looks for it."""
    return out.with_name(f"{out.stem}.{name}")


def _records(ehr: Path | None, reader: StudyReader) -> dict[str, Record]:
    """study_id, as studies are called here -> record."""
    if ehr is None:
        return {}
    if not reader.reads_records:
        raise UsageError(
            f"{reader.bundle.info.name} reads no health records",
            hint="leave out --ehr, or fit a model with 'orthodx finetune --task diagnose --ehr CSV'",
        )
    if not ehr.is_file():
        raise UsageError(f"--ehr: {ehr} is not there", hint="check the path")
    records: dict[str, Record] = {}
    for name, record in read_records(ehr).items():
        if safe_name(name) in records:
            raise StudyError(f"{ehr.name}: study_id '{name}' reads like another one", hint="use letters and digits")
        records[safe_name(name)] = record
    return records


def _unmatched(records: dict[str, Record], groups: Sequence[Study], ehr: Path | None) -> list[str]:
    """One line about records of studies that are not here, if there are any."""
    here = {study.study_id for study in groups}
    strangers = [name for name in records if name not in here]
    if not strangers or ehr is None:
        return []
    more = f" and {len(strangers) - 4} more" if len(strangers) > 4 else ""
    return [f"{ehr.name}: {len(strangers)} rows match no study here: {', '.join(strangers[:4])}{more}"]


def _line(error: OrthodxError) -> str:
    return f"{error}; {error.hint}" if error.hint else str(error)
