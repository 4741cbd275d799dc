"""Who was seen when: the studies of each patient in order, from days between or an order, never from dates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from orthodx.errors import StudyError
from orthodx.evaluation.notices import Notices, some
from orthodx.studies.keys import study_key
from orthodx.studies.laterality import side_or_word
from orthodx.studies.link import OWN, by_study_id
from orthodx.studies.manifest import VISIT_COLUMNS
from orthodx.studies.study import mixed_studies
from orthodx.studies.tables import read_table

VISIT, DAYS = VISIT_COLUMNS
AS_NUMBERS = "write days between as numbers, such as 0 and 365, or the order of the visits; never dates"


@dataclass(frozen=True)
class Visit:
    """One study of a patient. days: since the first one, None where only the order is known. series: view -> id."""

    study_id: str
    order: float
    days: float | None
    series: Mapping[str, str]


@dataclass(frozen=True)
class Followed:
    """One joint of a patient, seen twice or more. laterality: blank where it is unknown. visits: in order of time."""

    patient_id: str
    laterality: str
    visits: Sequence[Visit]


def visits_of(
    rows: Sequence[Mapping[str, Any]],
    views: Mapping[str, str],
    table: Path | None,
    notices: Notices,
    link: Path | None = None,
) -> list[Followed]:
    """Every joint that was seen twice or more; a left one is never held against a right one.

    rows: of a manifest. views: series -> its view. table: `study_id` with `days` or `visit`, else the manifest's own
    columns. link: what `convert --link` wrote, by which the table may name studies in a hospital's words. Studies
    without a number, without a patient or of several ones are named and left out. Raises `StudyError`
    where nothing tells the order.
    """
    source, told = ("the manifest", pd.DataFrame(rows)) if table is None else (table.name, _read(table, link))
    column = next((c for c in (DAYS, VISIT) if c in told.columns), None)
    if column is None:
        raise StudyError(
            f"{source} has no column '{DAYS}' or '{VISIT}'",
            hint=f"add one, or name a table with --visits; {AS_NUMBERS}",
        )
    orders = _numbers(told, column, source, notices)
    mixed = mixed_studies((row["study_id"], row["patient_id"]) for row in rows)
    for reason in mixed.values():
        notices.refuse(f"the manifest: {reason}", None)
    nameless = sorted({r["study_id"] for r in rows if not r["patient_id"]})
    if nameless:
        notices.refuse(f"{len(nameless)} studies name no patient: {some(nameless)}", "fill in patient_id")
    joints: dict[tuple[str, str], dict[str, dict[str, str]]] = {}
    sides = _sides(rows)
    for row in rows:
        if row["patient_id"] and row["study_id"] in orders and row["study_id"] not in mixed:
            patient = row["patient_id"]
            side = side_or_word(row) or (sides[patient][0] if len(sides[patient]) == 1 else "")
            series = joints.setdefault((patient, side), {}).setdefault(row["study_id"], {})
            if (view := views.get(row["series_id"])) is not None:
                series.setdefault(view, row["series_id"])
    out = []
    for (patient, side), studies in joints.items():
        if len(studies) > 1:
            order = sorted(studies, key=lambda study: orders[study])
            days = [orders[s] - orders[order[0]] if column == DAYS else None for s in order]
            visits = [Visit(s, orders[s], since, studies[s]) for s, since in zip(order, days, strict=True)]
            out.append(Followed(patient, side, visits))
    once = len({r["patient_id"] for r in rows if r["patient_id"]} - {one.patient_id for one in out})
    if once:
        notices.note(f"patients seen once only, who have no change: {once}")
    return out


def _sides(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Patient -> the sides that the manifest names."""
    out: dict[str, set[str]] = {}
    for row in rows:
        out.setdefault(row["patient_id"], set()).update({side_or_word(row)} - {""})
    return {patient: sorted(sides) for patient, sides in out.items()}


def _read(path: Path, link: Path | None) -> pd.DataFrame:
    table = read_table(path, ("study_id", *VISIT_COLUMNS, *(OWN if link else ())))
    if link is not None:
        table = by_study_id(table, link, path.name)
    if "study_id" not in table.columns:
        raise StudyError(f"{path.name}: has no column 'study_id'", hint=f"needed: study_id and {DAYS} or {VISIT}")
    table["study_id"] = table["study_id"].map(study_key)
    return table


def _numbers(told: pd.DataFrame, column: str, source: str, notices: Notices) -> dict[str, float]:
    """Study -> its place in time; what is no number, or two numbers, is refused."""
    number = pd.to_numeric(told[column], errors="coerce")
    out: dict[str, float] = {}
    bad: dict[str, str] = {}
    for study, text, value in zip(told["study_id"], told[column], number, strict=True):
        if not abs(value) < 1e6:
            bad[study] = f"'{text}'" if str(text).strip() else "blank"
        elif out.setdefault(study, float(value)) != float(value):
            bad[study] = f"both {out[study]:g} and {float(value):g}"
    if bad:
        what = some([f"{study}: {why}" for study, why in bad.items()])
        notices.refuse(f"{source}: {column} of {len(bad)} studies is no number ({what}); left out", AS_NUMBERS)
    return {study: value for study, value in out.items() if study not in bad}
