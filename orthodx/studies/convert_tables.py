"""The tables of `convert`: what became of every series, of this run and of earlier ones into the same folder."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from orthodx.studies.manifest import COLUMNS, MANIFEST
from orthodx.studies.manifest_edits import write_edited
from orthodx.studies.receipts import Receipts
from orthodx.studies.run_record import RUN
from orthodx.studies.shards import Shard
from orthodx.studies.tables import read_table, write_table

MANIFEST_COLUMNS = (*COLUMNS, "ti", "etl", "echo", "part", "modality", "warnings")
SERIES_COLUMNS = ("study_id", "series_id", "status", "reason", "modality", "part", "echo", "slices", "files")
THERE = ("converted", "kept")
SERIES, FAILURES = "series.csv", "failures.csv"
TABLES = (MANIFEST, SERIES, FAILURES, RUN)
FAILURE_COLUMNS = ("study_id", "series_id", "files", "reason")


@dataclass
class Outcome:
    """What became of one series. label and reason are for the terminal; the tables get `reason` without file names."""

    study_id: str
    series_id: str
    status: str  # converted, kept (by --resume), skipped or refused
    label: str
    reason: str
    files: int
    row: dict[str, Any] = field(default_factory=dict)
    names: tuple[str, ...] = ()  # file names that `reason` may hold

    @property
    def nameless_reason(self) -> str:
        """The reason without file names, which may hold UIDs and dates, and without the label."""
        reason = self.reason
        for name in sorted(self.names, key=len, reverse=True):
            reason = reason.replace(name, "one file")
        return reason


def write_tables(
    out: Path,
    receipts: Receipts,
    outcomes: Sequence[Outcome],
    shard: Shard | None,
    *,
    columns: Sequence[str],
    renamed: Mapping[str, str],
) -> list[dict[str, Any]]:
    """The tables: all series of this run, and those of earlier runs into the same folder; the rows of `series.csv`.

    columns: of the manifest. renamed: what series of earlier runs were called -> what they are called now.
    """
    if shard is not None and not outcomes:
        return _rows(out / SERIES)  # what others wrote stays
    results = receipts.results().items()
    rows = {row["series_id"]: row for case, row in results if row and case not in renamed}
    rows |= {o.series_id: o.row for o in outcomes if o.status in THERE}
    write_edited(out / MANIFEST, receipts, rows, columns, renamed)
    own = [{**replace(o, row={}).__dict__, **_shown(o)} for o in outcomes]
    listed = [*_listed_before(out / SERIES, outcomes, shard, rows), *own]
    if shard is not None:
        listed.sort(key=lambda row: (row["series_id"] != "", row["study_id"], row["series_id"]))
    write_table(out / SERIES, listed, SERIES_COLUMNS)
    write_table(out / FAILURES, [x for x in listed if x["status"] == "refused"], FAILURE_COLUMNS)
    return own if shard is None else listed


def _listed_before(
    table: Path, outcomes: Sequence[Outcome], shard: Shard | None, converted: Container[str]
) -> list[dict[str, Any]]:
    """What earlier runs into the folder listed, of series that are not in this one; and what other shards did.

    converted: the series that there are; those that are called otherwise now are not listed any more.
    """
    here = {outcome.series_id for outcome in outcomes}
    rows = [row for row in _rows(table) if row["status"] not in THERE or row["series_id"] in converted]
    mine = [row for row in rows if shard is not None and shard.has(row.get("study_id", ""))]
    return [row for row in rows if row not in mine and (row.get("series_id") or shard) and row["series_id"] not in here]


def _rows(table: Path) -> list[dict[str, Any]]:
    """The rows of a table of ours; none where it is not there, or has none."""
    if not table.is_file():
        return []
    return [{str(k): v for k, v in row.items()} for row in read_table(table, empty=True).to_dict("records")]


def _shown(outcome: Outcome) -> dict[str, Any]:
    row = outcome.row
    return {
        "reason": outcome.nameless_reason,
        **{c: row.get(c, "") for c in ("modality", "part", "echo", "slices")},
    }
