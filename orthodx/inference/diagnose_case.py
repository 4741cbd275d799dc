"""What became of one study in `orthodx diagnose`, and what its tables say of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orthodx.studies.discover import Found
from orthodx.studies.nameless import nameless
from orthodx.studies.study import Study

ABOUT_COLUMNS = ("patient_id", "study_id", "views", "model")
STATUS_COLUMNS = ("study_id", "status", "reason", "views", "strangeness", "seconds")


@dataclass
class StudyCase:
    """What became of one study (or of an input that never became one). source and reason may name folders."""

    patient_id: str
    study_id: str
    source: str
    status: str  # ok, warned or failed
    reason: str
    views: str
    seconds: float
    probabilities: dict[str, float] = field(default_factory=dict)
    positive: list[str] = field(default_factory=list)  # none of a strange study
    above: list[str] = field(default_factory=list)  # labels at or above their threshold, whatever the study
    answers: list[dict[str, Any]] = field(default_factory=list)
    explanation: list[dict[str, Any]] = field(default_factory=list)
    strangeness: float | None = None  # above 1: unlike what the model has learned from, and no answer

    def row(self, keep_paths: bool, given: Iterable[Path] = (), study: Study | None = None) -> dict[str, Any]:
        """What files say of it. given: further paths that the reason may name. study: its own, if it has become one."""
        row, series = dict(self.__dict__), () if study is None else study.series
        if not keep_paths:
            paths = [path for one in series for path in (*one.paths, one.path.resolve().parent)]
            ids = {self.study_id, self.patient_id, *(one.series_id for one in series)}
            row["reason"] = nameless(self.reason, (row.pop("source"), *given, *paths), ids)
        return row

    @classmethod
    def of(cls, kept: Mapping[str, Any], source: str = "") -> StudyCase:
        """The case that a receipt tells of."""
        return cls(**{name: value for name, value in kept.items() if name not in ("at", "source")}, source=source)


def refused(found: Found) -> list[StudyCase]:
    """The inputs that never became a study, nor a part of one."""
    studies = {study.study_id for study in found.studies}
    lost = [bad for bad in found.refused if bad.study_id not in studies]
    return [StudyCase("", bad.study_id, bad.source, "failed", bad.reason, "", 0.0) for bad in lost]


def lacking(found: Found, study: Study) -> dict[str, str]:
    """What a study should have and has not: where that is -> what is told of it."""
    own = [bad for bad in found.refused if bad.study_id == study.study_id]
    return {bad.source: f"{bad.source}: left out, {bad.reason}" for bad in own}
