"""What a person has changed in a manifest that `convert` wrote: it stays, however often that is written anew.

Beside the receipts lie the manifest as it was last written, to tell changes by, and the changes known so far.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from orthodx.errors import StudyError
from orthodx.studies.manifest import VISIT_COLUMNS
from orthodx.studies.receipts import Receipts
from orthodx.studies.run_record import write_json
from orthodx.studies.tables import read_table, write_table

AS_WRITTEN, NEXT, KNOWN = ".manifest.csv", ".manifest-next.csv", ".manifest-edits.json"  # among the receipts
OPTIONAL = ("center", "description")  # that options of `convert` decide
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

    def to(self, rows: Mapping[str, Row]) -> list[Row]:
        """The rows as they are wanted."""
        kept = [{**row, **self.cells.get(name, {})} for name, row in rows.items() if name not in self.removed]
        return [*kept, *(row for name, row in self.added.items() if name not in rows)]

    def called(self, renamed: Mapping[str, str]) -> Edits:
        """The same of series under the names that they have now. renamed: old -> new."""
        return replace(
            self,
            cells={renamed.get(name, name): own for name, own in self.cells.items()},
            removed=frozenset(renamed.get(name, name) for name in self.removed),
            added={name: row for name, row in self.added.items() if name not in renamed},
        )


def read_edits(manifest: Path, receipts: Receipts, columns: Sequence[str]) -> Edits:
    """What differs from what was written; nothing where the manifest is gone. columns: that `convert` writes.

    Raises `StudyError` for a manifest that cannot be read, or whose rows are not told apart.
    """
    if not manifest.is_file():
        return Edits()
    theirs, header = _rows(manifest, columns)
    files = [receipts.folder / name for name in (AS_WRITTEN, NEXT)]
    copies = [_rows(file, columns)[0] for file in files]
    unlike: tuple[str, ...] = ()
    if not any(file.is_file() for file in files):  # of a version that kept none
        told = {row["series_id"]: row for row in receipts.results().values() if row}
        copies, unlike = [{name: {c: _text(v) for c, v in row.items()} for name, row in told.items()}], OPTIONAL
    known = _read_known(receipts.folder / KNOWN)
    cells, ours = dict(known.cells), {name for copy in copies for name in copy}
    for name, row in theirs.items():
        written = [copy[name] for copy in copies if name in copy]
        away = {c: cell for c, cell in cells.get(name, {}).items() if c not in row and c in OPTIONAL}
        now = {c: v for c, v in row.items() if c not in unlike and all(v != one.get(c, "") for one in written)}
        if written:
            cells[name] = away | now
    added = {name: row for name, row in theirs.items() if name not in ours}
    gone = (frozenset(copies[0]) | known.removed) - theirs.keys()
    return Edits({n: c for n, c in cells.items() if c}, tuple(c for c in header if c not in columns), gone, added)


def write_edited(
    manifest: Path, receipts: Receipts, rows: Mapping[str, Row], columns: Sequence[str], renamed: Mapping[str, str]
) -> None:
    """The manifest of these rows, with what was changed in the one that is there.

    Ended at any point, it leaves what was written told from what was changed. renamed: what series were called -> what
    they are called now.
    """
    edits = read_edits(manifest, receipts, columns).called(renamed)
    write_json(receipts.folder / KNOWN, {"cells": edits.cells, "removed": sorted(edits.removed)})
    copy = receipts.folder / NEXT
    write_table(copy, list(rows.values()), columns)
    own = [c for c in edits.columns if c not in OPTIONAL or any(c in cells for cells in edits.cells.values())]
    write_table(manifest, edits.to(rows), (*columns, *own))
    copy.replace(receipts.folder / AS_WRITTEN)


def _read_known(path: Path) -> Edits:
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        return Edits({str(k): dict(v) for k, v in told["cells"].items()}, removed=frozenset(told["removed"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return Edits()


def _rows(table: Path, columns: Sequence[str]) -> tuple[dict[str, Row], list[str]]:
    """Series -> row, and the header; nothing where there is no table."""
    if not table.is_file():
        return {}, []
    found = read_table(table, (*columns, "description", *VISIT_COLUMNS), empty=True)
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
