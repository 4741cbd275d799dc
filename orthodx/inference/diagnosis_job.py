"""What is done with each study of a diagnosis run, and what is written of it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orthodx.errors import StudyError
from orthodx.inference import explanation
from orthodx.inference.study import Study
from orthodx.inference.study_reader import Reading, StudyReader
from orthodx.joints import JOINTS, View
from orthodx.studies.identity import pseudonym
from orthodx.studies.manifest import write_table
from orthodx.studies.records import Record
from orthodx.studies.run_record import state_on_disk, write_json
from orthodx.studies.series import Series
from orthodx.studies.volume import Volume

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


class Job:
    """One run over many studies: what it reads with, and where it writes."""

    def __init__(self, reader: StudyReader, out: Path, explain: Path | None, records: dict[str, Record]) -> None:
        self.reader, self.out, self.explain, self.records = reader, out, explain, records
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
                meanings = JOINTS[info.joint].meanings if info.joint in JOINTS else {}
                explanation.explain(self.explain, study, answer, readings, info.name, self.reader.heat_is, meanings)
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
        record = self.records.get(study.study_id)
        return {
            "model": self._model,
            "patient_id": study.patient_id,
            "record": "" if record is None else pseudonym(repr(record), 20),  # a plain hash of so little can be guessed
            "inputs": [[s.series_id, str(s.view), state_on_disk(s.path)] for s in study.series],
        }

    def write_tables(self, cases: Sequence[StudyCase]) -> None:
        """Predictions, status and explanation of these studies."""
        labels, model = self.reader.labels, self.reader.bundle.info.name
        done = [c for c in cases if c.status != "failed"]
        write_table(
            self.out, [{**c.__dict__, "model": model, **c.probabilities} for c in done], (*ABOUT_COLUMNS, *labels)
        )
        write_table(beside(self.out, "status.csv"), [c.__dict__ for c in cases], STATUS_COLUMNS)
        if self.explain is not None:
            rows = [row for c in done for row in c.explanation]
            write_table(self.explain / explanation.TABLE, rows, explanation.COLUMNS)


def beside(out: Path, name: str) -> Path:
    """`<stem>.<name>`, where `evaluate` looks for it."""
    return out.with_name(f"{out.stem}.{name}")


def _line(error: StudyError) -> str:
    return f"{error}; {error.hint}" if error.hint else str(error)
