"""`manifest.csv`: one row a series."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from orthodx.errors import StudyError
from orthodx.studies.keys import study_key
from orthodx.studies.tables import read_table

MANIFEST = "manifest.csv"
SYNTHETIC = "orthodx synth"  # the converter of what no scanner made
COLUMNS = (
    "patient_id", "study_id", "series_id", "path", "joint", "laterality", "view", "oblique", "center",
    "field_strength", "field_strength_raw", "vendor", "sequence", "tr", "te", "fat_suppressed", "rows",
    "columns", "slices", "converter",
)  # fmt: skip
VISIT_COLUMNS = ("visit", "days")  # of patients seen more than once: from 1, and since the first visit
REQUIRED = ("patient_id", "study_id", "series_id", "path")
NAMED = ("study_id", "series_id")  # blanks in these would be joined


def read_manifest(path: Path, needs: Sequence[str] = NAMED) -> tuple[list[dict[str, Any]], list[tuple[int, str]]]:
    """Rows of a manifest, ids as `study_key`; and the rows left out: number, as a spreadsheet counts, and why.

    A row in which one of `needs` is blank is left out. A blank patient_id is unknown. Raises `StudyError` for a missing
    column or a repeated series_id.
    """
    table = read_table(path, (*COLUMNS, *VISIT_COLUMNS))
    missing = [c for c in REQUIRED if c not in table.columns]
    if missing:
        raise StudyError(f"{path.name}: has no column '{missing[0]}'", hint=f"needed: {', '.join(REQUIRED)}")
    ids = ["patient_id", "study_id", "series_id"]
    table[ids] = table[ids].map(study_key)
    rows, faults = [], []
    for at, row in zip(table.index, table.to_dict("records"), strict=True):
        blank = next((name for name in needs if not row[name].strip()), None)
        if blank is None:
            rows.append({str(k): v for k, v in row.items()})
        else:
            faults.append((at + 2, f"names no {blank.removesuffix('_id')}; fill in {blank}"))
    seen = [row["series_id"] for row in rows]
    repeated = [name for i, name in enumerate(seen) if name in seen[:i]] if len(set(seen)) < len(seen) else []
    if repeated:
        raise StudyError(f"{path.name}: series_id '{repeated[0]}' stands twice", hint="make the ids unique")
    return rows, faults
