"""The one file that undoes the ids: hashed ids beside what a hospital calls the same studies. Opt-in, private.

It is written by `convert --link` with the rights of its owner only, never into a folder of results, and read where a
user's own tables name studies in a hospital's words.
"""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

import pydicom

from orthodx.errors import StudyError, UsageError
from orthodx.studies.keys import study_key
from orthodx.studies.tables import read_table, write_table

if TYPE_CHECKING:
    import pandas as pd

    from orthodx.studies.dicom import Named

OWN = ("StudyInstanceUID", "AccessionNumber", "SeriesInstanceUID", "folder", "PatientID")  # looked for in this order
COLUMNS = ("study_id", "series_id", "patient_id", *OWN)
Studies = Mapping[str, frozenset[str]]  # a name -> the hashed study_ids it may mean


def require_apart(link: Path, out: Path) -> None:
    """Raise `UsageError` for a link that would travel with the results, or be written over what is none."""
    if link.resolve().is_relative_to(out.resolve()):
        raise UsageError(f"{link}: the link lies in the output folder", hint="keep it elsewhere: it undoes the ids")
    if link.exists():
        _rows(link)


def write_link(link: Path, named: Iterable[Named]) -> None:
    """Write or complete the link, one row a series; only its owner can read it."""
    rows = {row["series_id"]: row for row in (_rows(link) if link.exists() else ())}
    rows |= {one.series_id: _row(one) for one in named}
    write_table(link, [rows[name] for name in sorted(rows)], COLUMNS, private=True)


def by_study_id(table: pd.DataFrame, link: Path, name: str) -> pd.DataFrame:
    """A table of a user with the hashed study_id of each row, and without the hospital's columns.

    Rows are known by study_id, or by the first of `OWN` that the table has. A row of no study here is called after its
    place. name: of the table. Raises `StudyError` for a table without any of these, and for a name of several studies.
    """
    by = next((column for column in ("study_id", *OWN) if column in table.columns), None)
    if by is None:
        raise StudyError(f"{name}: has no column to find its studies by", hint=f"one of study_id, {', '.join(OWN)}")
    known = _studies(link, link.stat().st_mtime_ns)
    meant: list[str] = []
    for at, cell in table[by].items():
        found: frozenset[str] = known[by].get(study_key(cell), frozenset())
        if len(found) > 1:
            raise StudyError(
                f"{name}: row {int(str(at)) + 2}: its {by} is that of {len(found)} studies",
                hint="name studies by StudyInstanceUID or AccessionNumber",
            )
        absent = f"row {int(str(at)) + 2} of {name}" if str(cell).strip() else ""
        meant.append(next(iter(found), absent))
    kept = table.drop(columns=[column for column in ("study_id", *OWN) if column in table.columns])
    kept.insert(0, "study_id", meant)
    return kept


@lru_cache(maxsize=4)
def _studies(link: Path, changed: int) -> Mapping[str, Studies]:
    """Column -> name -> studies. Of folders every part of the path is a name; a study_id may be any name at all."""
    found: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for row in _rows(link):
        study = study_key(row["study_id"])
        for column in OWN:
            names = {row[column], *(PurePath(row[column]).parts if column == "folder" else ())}
            for name in filter(None, map(study_key, names)):
                found[column][name].add(study)
                found["study_id"][name].add(study)
        found["study_id"][study] = {study}
    return {column: {name: frozenset(ids) for name, ids in found[column].items()} for column in ("study_id", *OWN)}


def _row(named: Named) -> dict[str, Any]:
    uids, file = named.stack.kind.uids, named.stack.frames[0].file
    with warnings.catch_warnings(), file.open() as stream:
        warnings.simplefilter("ignore")
        header = pydicom.dcmread(stream, specific_tags=["AccessionNumber"], stop_before_pixels=True, force=True)
    return {
        "study_id": named.study_id,
        "series_id": named.series_id,
        "patient_id": named.patient_id,
        "PatientID": uids.patient,
        "AccessionNumber": str(header.get("AccessionNumber") or ""),
        "StudyInstanceUID": uids.study,
        "SeriesInstanceUID": uids.series,
        "folder": str(file.folder.resolve()),
    }


def _rows(link: Path) -> list[dict[str, str]]:
    """The rows of a link; `StudyError` for any other file."""
    table = read_table(link, COLUMNS, empty=True)
    if missing := [column for column in COLUMNS if column not in table.columns]:
        raise StudyError(f"{link}: no link (it has no column '{missing[0]}')", hint="give what 'convert --link' wrote")
    return [{str(k): str(v) for k, v in row.items()} for row in table.to_dict("records")]
