"""`manifest.csv`: one row a series. Reading forgives spreadsheets; writing cannot harm them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from orthodx.errors import StudyError
from orthodx.studies.keys import study_key
from orthodx.studies.writing import atomic

MANIFEST = "manifest.csv"
COLUMNS = (
    "patient_id", "study_id", "series_id", "path", "joint", "laterality", "view", "oblique", "center",
    "field_strength", "field_strength_raw", "vendor", "sequence", "tr", "te", "fat_suppressed", "rows",
    "columns", "slices", "converter",
)  # fmt: skip
REQUIRED = ("patient_id", "study_id", "series_id", "path")
_FORMULA = re.compile(r"'*[=+\-@\t\r]")  # what a spreadsheet would run, or what we wrote so that it does not
_NUMBER = re.compile(r"[-+]\d+([.,]\d+)?")  # looks like one, and is none


def read_table(path: Path) -> pd.DataFrame:
    """A CSV as text columns: commas or semicolons, with or without BOM; blank stays "" and "NA" stays "NA".

    The quote that `write_table` puts before what looks like a formula is taken away. Raises `StudyError` for files
    that are not UTF-8, hold NUL bytes, or repeat a column.
    """
    raw = path.read_bytes()
    if b"\0" in raw:
        raise StudyError(f"{path.name}: holds NUL bytes", hint="save it as CSV (UTF-8)")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise StudyError(f"{path.name}: is not UTF-8 text", hint="save it as CSV (UTF-8)") from error
    first = text.splitlines()[0] if text.strip() else ""
    if not first:
        raise StudyError(f"{path.name}: is empty", hint="give a table with a header line")
    separator = ";" if first.count(";") > first.count(",") else ","
    names = [name.strip().strip('"') for name in first.split(separator)]
    twice = sorted({n for n in names if names.count(n) > 1})
    if twice:
        raise StudyError(f"{path.name}: the column '{twice[0]}' stands twice", hint="keep one of the two")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            table = pd.read_csv(file, sep=separator, dtype=str, keep_default_na=False, na_values=[])
    except (pd.errors.ParserError, ValueError) as error:
        raise StudyError(f"{path.name}: not a table ({error})", hint="check quotes and columns") from error
    table.columns = [_as_it_was(str(c).strip()) for c in table.columns]
    return table.map(lambda cell: _as_it_was(cell) if isinstance(cell, str) else "")


def read_manifest(path: Path) -> tuple[list[dict[str, Any]], list[tuple[int, str]]]:
    """Rows of a manifest, ids as `study_key`; and the rows left out: number, as a spreadsheet counts, and why.

    A row without study_id or series_id is left out: blanks would be joined. A blank patient_id is unknown. Raises
    `StudyError` for a missing column or a repeated series_id.
    """
    table = read_table(path)
    missing = [c for c in REQUIRED if c not in table.columns]
    if missing:
        raise StudyError(f"{path.name}: has no column '{missing[0]}'", hint=f"needed: {', '.join(REQUIRED)}")
    ids = ["patient_id", "study_id", "series_id"]
    table[ids] = table[ids].map(study_key)
    rows, faults = [], []
    for number, row in enumerate(table.to_dict("records"), start=2):
        if not any(row.values()):
            continue
        blank = next((name for name in ("study_id", "series_id") if not row[name]), None)
        if blank is None:
            rows.append({str(k): v for k, v in row.items()})
        else:
            faults.append((number, f"names no {blank.removesuffix('_id')}; fill in {blank}"))
    seen = [row["series_id"] for row in rows]
    repeated = [name for i, name in enumerate(seen) if name in seen[:i]] if len(set(seen)) < len(seen) else []
    if repeated:
        raise StudyError(f"{path.name}: series_id '{repeated[0]}' stands twice", hint="make the ids unique")
    return rows, faults


def write_table(path: Path, rows: Sequence[dict[str, Any]], columns: Sequence[str]) -> None:
    """Write rows as CSV atomically; text that a spreadsheet would run as a formula gets a leading quote."""
    names = [_harmless(c) for c in columns]
    table = pd.DataFrame([[_harmless(row.get(c, "")) for c in columns] for row in rows], columns=names)
    with atomic(path) as temporary:
        table.to_csv(temporary, index=False)


def _harmless(value: Any) -> Any:
    runs = isinstance(value, str) and _FORMULA.match(value) and not _NUMBER.fullmatch(value)
    return f"'{value}" if runs else value


def _as_it_was(text: str) -> str:
    return text[1:] if text.startswith("'") and _FORMULA.match(text) else text
