"""How much two measurements of what did not change differ, and what that says of a change.

Errors are proportional to what is measured, so they are kept on a scale where they are alike: ratios (logarithm) of
volumes and thickness, odds (logit) of probabilities. Of n pairs without change the error is the root mean square of
their differences, as the reproducibility coefficient of QIBA (Raunig et al., Stat Methods Med Res 2015;24:27); a change
has the interval of Student's t round it, with as many degrees of freedom as there are patients: several pairs of one
patient are not as good as pairs of several.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import special, stats

from orthodx.errors import StudyError
from orthodx.evaluation.measures import PROBABILITY
from orthodx.studies.tables import read_table, write_table

FEWEST_PATIENTS = 5
SURE = 1e-4  # probabilities nearer to 0 or 1 count as this
KEY = ("view", "target", "measure")
COLUMNS = (*KEY, "scale", "sd_of_change", "pairs", "patients")
Key = tuple[str, str, str]


@dataclass(frozen=True, kw_only=True)
class Error:
    """sd: of the difference of two measurements, on the scale of its measure. pairs, patients: behind it."""

    sd: float
    pairs: int
    patients: int

    @property
    def reach(self) -> float:
        """Half the 95 % interval of a change, on its scale."""
        return float(stats.t.ppf(0.975, self.patients)) * self.sd


def scale_of(measure: str) -> str:
    """ "odds" or "ratio"."""
    return "odds" if measure == PROBABILITY else "ratio"


def scaled(value: float, measure: str) -> float:
    """A measurement on the scale of its error; NaN where it has none."""
    if measure == PROBABILITY:
        return float(special.logit(np.clip(value, SURE, 1 - SURE)))
    return float(np.log(value)) if value > 0 else float("nan")


def unscaled(value: float, measure: str) -> float:
    """The way back."""
    return float(special.expit(value) if measure == PROBABILITY else np.exp(value))


def difference(row: Mapping[str, Any]) -> float:
    """Later minus first of a row of changes, on the scale of its measure."""
    return scaled(row["later"], row["measure"]) - scaled(row["first"], row["measure"])


def errors_of(rows: Iterable[Mapping[str, Any]]) -> dict[Key, Error]:
    """The error of every view, target and measure that `FEWEST_PATIENTS` have without change, not all alike."""
    found: dict[Key, list[tuple[str, float]]] = {}
    for row in rows:
        if not np.isnan(value := difference(row)):
            found.setdefault((row["view"], row["target"], row["measure"]), []).append((row["patient_id"], value))
    out = {}
    for key, pairs in found.items():
        patients, values = len({patient for patient, _ in pairs}), np.array([value for _, value in pairs])
        if patients >= FEWEST_PATIENTS and values.any():
            out[key] = Error(sd=float(np.sqrt(np.mean(values**2))), pairs=len(pairs), patients=patients)
    return out


def interval(row: Mapping[str, Any], error: Error | None) -> tuple[float, float]:
    """The 95 % interval of a row's change, in its own unit; NaN where there is no error or nothing to compare."""
    change = difference(row)
    if error is None or np.isnan(change):
        return float("nan"), float("nan")
    at, measure = scaled(row["first"], row["measure"]) + change, row["measure"]
    low, high = (unscaled(at + sign * error.reach, measure) - row["first"] for sign in (-1, 1))
    return low, high


def write_errors(path: Path, errors: Mapping[Key, Error]) -> None:
    """As a table of `COLUMNS`."""
    rows = [
        {
            **dict(zip(KEY, key, strict=True)),
            "scale": scale_of(key[2]),
            "sd_of_change": round(e.sd, 6),
            "pairs": e.pairs,
            "patients": e.patients,
        }
        for key, e in errors.items()
    ]
    write_table(path, rows, COLUMNS)


def read_errors(path: Path) -> dict[Key, Error]:
    """The errors of `write_errors`; raises `StudyError`, naming the row, for anything else.

    A table of an earlier version says nothing of patients: there each pair counts as one.
    """
    table = read_table(path, COLUMNS)
    if missing := [c for c in (*KEY, "sd_of_change", "pairs") if c not in table.columns]:
        raise StudyError(
            f"{path.name}: has no column '{missing[0]}'", hint="give the error.csv of orthodx followup --no-change"
        )
    if "patients" not in table.columns:
        table["patients"] = table["pairs"]
    numbers = table[["sd_of_change", "pairs", "patients"]].apply(pd.to_numeric, errors="coerce")
    out = {}
    for at, row in table.iterrows():
        sd, pairs, patients = numbers.loc[at]
        if not (0 <= sd < 100 and pairs >= patients >= 1):
            raise StudyError(
                f"{path.name} row {int(at) + 2}: no error and numbers of pairs and patients",
                hint="all are numbers",
            )
        error = Error(sd=float(sd), pairs=int(pairs), patients=int(patients))
        out[row["view"], row["target"], row["measure"]] = error
    return out
