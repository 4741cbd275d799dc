"""`manifest.csv`: one row a series. Reading forgives spreadsheets; writing cannot harm them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from orthodx.errors import StudyError
from orthodx.studies.writing import atomic

COLUMNS = (
    "patient_id", "study_id", "series_id", "path", "joint", "laterality", "view", "oblique", "center",
    "field_strength", "field_strength_raw", "vendor", "sequence", "tr", "te", "fat_suppressed", "rows",
    "columns", "slices", "converter",
)  # fmt: skip
REQUIRED = ("patient_id", "study_id", "series_id", "path")


def read_table(path: Path) -> pd.DataFrame:
    """A CSV as text columns: commas or semicolons, with or without BOM; blank stays "" and "NA" stays "NA".

    Raises `StudyError` for files that are not UTF-8, hold NUL bytes, or repeat a column.
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
    table.columns = [str(c).strip() for c in table.columns]
    return table


def read_manifest(path: Path) -> list[dict[str, Any]]:
    """Rows of a manifest; raises `StudyError` for a missing column or a repeated series_id."""
    table = read_table(path)
    missing = [c for c in REQUIRED if c not in table.columns]
    if missing:
        raise StudyError(f"{path.name}: has no column '{missing[0]}'", hint=f"needed: {', '.join(REQUIRED)}")
    repeated = table["series_id"][table["series_id"].duplicated()]
    if len(repeated):
        raise StudyError(f"{path.name}: series_id '{repeated.iloc[0]}' stands twice", hint="make the ids unique")
    return [{str(k): v for k, v in row.items()} for row in table.to_dict("records")]


def write_table(path: Path, rows: Sequence[dict[str, Any]], columns: Sequence[str]) -> None:
    """Write rows as CSV atomically; text that a spreadsheet would run as a formula gets a leading quote."""
    table = pd.DataFrame([{c: _harmless(row.get(c, "")) for c in columns} for row in rows], columns=list(columns))
    with atomic(path) as temporary:
        table.to_csv(temporary, index=False)


def _harmless(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value
