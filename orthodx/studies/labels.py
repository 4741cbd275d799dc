"""`labels.csv` and `ehr.csv`, one row a study: what is known of it, and what its patient's record says."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from orthodx.errors import StudyError
from orthodx.studies.keys import study_key
from orthodx.studies.link import OWN, by_study_id
from orthodx.studies.readable import readable
from orthodx.studies.records import RECORD_COLUMNS, Record
from orthodx.studies.tables import read_table

LABELS_FILE, RECORDS_FILE = "labels.csv", "ehr.csv"
LABEL_FIX = "write 1, 0, or nothing where it is unknown"
UNITS = {
    "age": ("years", "year", "yrs", "y"),
    "height": ("cm",),
    "weight": ("kg",),
}  # of a record; the first is its name
OTHER_UNITS = {"m", "mm", "in", "inch", "inches", "ft", "feet", "lb", "lbs", "pounds", "g", "st", "months", "days"}
_LABEL = {"": np.nan, "0": 0.0, "1": 1.0, "0.0": 0.0, "1.0": 1.0, "0,0": 0.0, "1,0": 1.0}


@dataclass(frozen=True, eq=False)
class Labels:
    """Truth of N studies about L labels.

    study_ids: N ids. names: L labels. values: (N, L) float32; 1 there, 0 not there, NaN unknown. absent: those
    of `names` that the table has no column for; their values are all NaN.
    """

    study_ids: tuple[str, ...]
    names: tuple[str, ...]
    values: np.ndarray
    absent: tuple[str, ...] = ()

    @cached_property
    def _row(self) -> dict[str, int]:
        return {study_key(study): i for i, study in enumerate(self.study_ids)}

    def of(self, studies: Sequence[str]) -> np.ndarray:
        """(n, L) float32 of these studies; a study that is not in the table is unknown, all NaN."""
        out = np.full((len(studies), len(self.names)), np.nan, np.float32)
        for i, study in enumerate(map(study_key, studies)):
            if study in self._row:
                out[i] = self.values[self._row[study]]
        return out


def read_labels(path: Path, names: Sequence[str], link: Path | None = None) -> Labels:
    """Labels `names` from a table; other columns are not looked at, blank cells are unknown.

    link: what `convert --link` wrote, by which the table may name studies in a hospital's words. Raises
    `StudyError` where no name is a column, a study stands twice, or a cell is not 1, 0 or blank.
    """
    table = read_by_study(path, names, link)
    refuse_repeated(table, path)
    there = [name for name in names if name in table.columns]
    if not there:
        have = ", ".join(c for c in table.columns if c != "study_id") or "none"
        raise StudyError(
            f"{path.name}: has no column for any of {', '.join(names)}", hint=f"name the columns so; it has: {have}"
        )
    values = np.full((len(table), len(names)), np.nan, np.float32)
    for name in there:
        values[:, names.index(name)], bad = label_values(table[name])
        if bad.any():
            at = table.index[bad][0]
            more = f" (and {bad.sum() - 1} more)" if bad.sum() > 1 else ""
            raise StudyError(
                f"{_place(path, table, at)}: {name} is '{table.at[at, name].strip()}'{more}", hint=LABEL_FIX
            )
    return Labels(tuple(table["study_id"]), tuple(names), values, tuple(n for n in names if n not in there))


def label_columns(path: Path, known: Sequence[str] = (), link: Path | None = None) -> tuple[str, ...]:
    """Columns of a table of labels that are no ids. known: labels that are found however they are spelled."""
    return tuple(c for c in read_by_study(path, known, link).columns if not c.endswith("_id"))


def read_records(path: Path, link: Path | None = None) -> dict[str, Record]:
    """study_id -> record; `Patient Type` is patient_type, `Height (cm)` height, an absent column unknown, others are
    not looked at.

    Raises `StudyError` where none of them is there, a study stands twice, a cell cannot be true, or a column is of
    another unit.
    """
    table = _without_units(read_by_study(path, RECORD_COLUMNS, link), path)
    refuse_repeated(table, path)
    if not set(RECORD_COLUMNS) & set(table.columns):
        raise StudyError(f"{path.name}: has no column of a record", hint=f"name them {', '.join(RECORD_COLUMNS)}")
    records = {}
    for at, row in zip(table.index, table.to_dict("records"), strict=True):
        try:
            records[str(row["study_id"])] = Record.of_text({str(k): v for k, v in row.items()})
        except StudyError as error:
            raise StudyError(f"{_place(path, table, at)}: {error}", hint=error.hint) from error
    return records


def _without_units(table: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Columns such as `Age (years)` under their own names."""
    plain = {column: re.sub(r"[\W_]+", "", column.casefold()) for column in table.columns}
    names: dict[str, str] = {}
    for name, units in UNITS.items():
        if name in table.columns:
            continue
        told = {column: text.removeprefix(name) for column, text in plain.items() if text.startswith(name)}
        known = [column for column, unit in told.items() if unit in units]
        strange = [column for column, unit in told.items() if unit in OTHER_UNITS]
        if strange and not known:
            raise StudyError(f"{path.name}: the column '{strange[0]}' is not in {units[0]}",
                             hint=f"give {name} in {units[0]}")  # fmt: skip
        if known:
            names[known[0]] = name
    return table.rename(columns=names)


def read_by_study(path: Path, known: Sequence[str] = (), link: Path | None = None) -> pd.DataFrame:
    """A table of text with a column study_id of `study_key`s, by `read_table`. known: further columns it may have.
    link: turns the names of a hospital into ids.

    Raises `StudyError` without that column.
    """
    table = read_table(path, ("study_id", "patient_id", "series_id", *known, *(OWN if link else ())))
    if link is not None:
        table = by_study_id(table, link, path.name)
    if "study_id" not in table.columns:
        raise StudyError(f"{path.name}: has no column 'study_id'", hint="one row a study, named by study_id")
    table["study_id"] = table["study_id"].map(study_key)
    return table.map(readable)


def refuse_repeated(table: pd.DataFrame, path: Path) -> None:
    """Raises `StudyError` where a study of the table stands twice, or a row names none."""
    nameless = table.index[table["study_id"] == ""]
    if len(nameless):
        raise StudyError(f"{path.name}: row {nameless[0] + 2} names no study", hint="fill in study_id")
    repeated = table["study_id"][table["study_id"].duplicated()]
    if len(repeated):
        raise StudyError(f"{path.name}: study_id '{repeated.iloc[0]}' stands twice", hint="keep one row a study")


def label_values(cells: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """Cells of text -> (n,) float 1, 0 or NaN for unknown, and (n,) bool: those that say something else."""
    text = cells.str.strip()
    return text.map(_LABEL).to_numpy(float), (~text.isin(list(_LABEL))).to_numpy(bool)


def _place(path: Path, table: pd.DataFrame, at: int) -> str:
    """File, row as a spreadsheet counts it, and study."""
    return f"{path.name}: row {at + 2} (study '{table.at[at, 'study_id']}')"
