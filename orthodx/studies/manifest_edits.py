"""What a person has changed in a manifest that `convert` wrote: it stays, however often that is written anew.

Beside the receipts lie the manifest as it was last written, to tell changes by, and the changes known so far.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orthodx.errors import StudyError
from orthodx.studies.manifest import VISIT_COLUMNS
from orthodx.studies.receipts import Receipts
from orthodx.studies.run_record import write_json
from orthodx.studies.tables import read_table, write_table

AS_WRITTEN, KNOWN = ".manifest.csv", ".manifest-edits.json"  # among the receipts
Row = dict[str, Any]


@dataclass(frozen=True)
class Edits:
    """cells: series -> column -> what was written there. columns: added ones. removed: series taken out. added: rows of
    series that `convert` does not know.
    """

    cells: dict[str, dict[str, str]] = field(default_factory=dict)
    columns: tuple[str, ...] = ()
    removed: frozenset[str] = frozenset()
    added: dict[str, Row] = field(default_factory=dict)

    def to(self, rows: Mapping[str, Row], renamed: Mapping[str, str]) -> list[Row]:
        """The rows as they are wanted. renamed: what a series was called -> what it is called now."""
        cells = {renamed.get(name, name): own for name, own in self.cells.items()}
        kept = [{**row, **cells.get(name, {})} for name, row in rows.items() if name not in self.removed]
        return [*kept, *(row for name, row in self.added.items() if name not in rows and name not in renamed)]


def read_edits(manifest: Path, receipts: Receipts, columns: Sequence[str]) -> Edits:
    """What differs from what was written; nothing where the manifest is gone. columns: that `convert` writes.

    Raises `StudyError` for a manifest that cannot be read, or whose rows are not told apart.
    """
    if not manifest.is_file():
        return Edits()
    theirs, header = _rows(manifest, columns)
    copy = receipts.folder / AS_WRITTEN
    if copy.is_file():
        ours, known = _rows(copy, columns)
    else:  # of a version that kept none
        told = {row["series_id"]: row for row in receipts.results().values() if row}
        ours = {name: {column: _text(cell) for column, cell in row.items()} for name, row in told.items()}
        known = list(columns)
    try:
        cells = json.loads((receipts.folder / KNOWN).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        cells = {}
    for name, row in theirs.items():
        if name in ours:
            cells[name] = {c: cell for c, cell in row.items() if cell != ours[name].get(c, "")}
    added = {name: row for name, row in theirs.items() if name not in ours}
    gone = frozenset(ours.keys() - theirs.keys())
    return Edits({n: c for n, c in cells.items() if c}, tuple(c for c in header if c not in known), gone, added)


def write_edited(
    manifest: Path, receipts: Receipts, rows: Mapping[str, Row], columns: Sequence[str], renamed: Mapping[str, str]
) -> None:
    """The manifest of these rows, with what was changed in the one that is there."""
    edits = read_edits(manifest, receipts, columns)
    write_json(receipts.folder / KNOWN, {renamed.get(name, name): cells for name, cells in edits.cells.items()})
    write_table(manifest, edits.to(rows, renamed), (*columns, *(c for c in edits.columns if c not in columns)))
    write_table(receipts.folder / AS_WRITTEN, list(rows.values()), columns)  # last: what it lacks was added by them


def _rows(table: Path, columns: Sequence[str]) -> tuple[dict[str, Row], list[str]]:
    """Series -> row, and the header."""
    found = read_table(table, (*columns, *VISIT_COLUMNS), empty=True)
    header = list(map(str, found.columns))
    if "series_id" not in header:
        raise StudyError(f"{table.name}: has no column 'series_id'", hint="name it so, or move the file away")
    if (twice := found["series_id"].duplicated()).any():
        name = found["series_id"][twice].iloc[0]
        raise StudyError(f"{table.name}: series_id '{name}' stands twice", hint="keep one row a series")
    return {row["series_id"]: {str(k): v for k, v in row.items()} for row in found.to_dict("records")}, header


def _text(cell: Any) -> str:
    """A value as it stands in a table."""
    return "" if cell is None else str(cell)
