"""The user's site map: which center a series comes from, by its tags or its study id. It wins over the tag.

A CSV with a column `center` and any of `institution`, `station`, `serial`, `vendor`, `study_id`, `patient_id`.
The first row whose filled cells all agree (case and outer blanks aside) names the center; a row with
only a center fits every series.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orthodx.errors import StudyError, UsageError
from orthodx.studies.tables import read_table

_TAGS = {"institution": "InstitutionName", "station": "StationName", "serial": "DeviceSerialNumber"}
_COLUMNS = {"center", "vendor", "study_id", "patient_id", *_TAGS}


@dataclass(frozen=True)
class SiteMap:
    """Rows in order: (conditions, center)."""

    rows: tuple[tuple[dict[str, str], str], ...] = ()

    def center(self, facts: Mapping[str, Any], row: Mapping[str, Any]) -> str | None:
        """The mapped name of a series, or None where no row fits. row: its manifest row."""
        known = {c: str(facts.get(tag, "")) for c, tag in _TAGS.items()}
        known |= {c: str(row.get(c, "")) for c in ("vendor", "study_id", "patient_id")}
        for wanted, center in self.rows:
            if all(known[c].strip().casefold() == v for c, v in wanted.items()):
                return center
        return None


def read_site_map(path: Path) -> SiteMap:
    """Read the CSV; raises `UsageError` for a missing or unknown column or an empty center."""
    if not path.is_file():
        raise UsageError(f"{path}: no such site map", hint="give a CSV with a column 'center'")
    try:
        table = read_table(path, _COLUMNS)
    except StudyError as error:
        raise UsageError(str(error), hint=error.hint) from error
    unknown = [c for c in table.columns if c not in _COLUMNS]
    if "center" not in table.columns or unknown:
        wrong = f"unknown column '{unknown[0]}'" if unknown else "no column 'center'"
        raise UsageError(f"{path.name}: {wrong}", hint=f"columns are {', '.join(sorted(_COLUMNS))}")
    rows = []
    for at, record in zip(table.index, table.to_dict("records"), strict=True):
        center = str(record.pop("center")).strip()
        if not center:
            raise UsageError(f"{path.name}: row {at + 2} names no center", hint="fill it or delete the row")
        rows.append(({str(c): str(v).strip().casefold() for c, v in record.items() if str(v).strip()}, center))
    return SiteMap(tuple(rows))
