"""Rows of changes: with their intervals, and over all patients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy import stats

from orthodx.evaluation.measurement_error import Error, Key, difference, interval, unscaled
from orthodx.evaluation.measures import PROBABILITY

COLUMNS = (
    "patient_id", "laterality", "first_study", "study_id", "days", "view", "target", "measure", "first", "later",
    "change", "low", "high", "percent", "percent_low", "percent_high", "beyond_error", "common", "fit_mm",
)  # fmt: skip
COHORT_COLUMNS = ("view", "target", "measure", "patients", "mean", "low", "high", "unit", "p", "beyond_error")


def with_interval(row: Mapping[str, Any], errors: Mapping[Key, Error]) -> dict[str, Any]:
    """The row with its change, the 95 % interval of it, both in % of the first, and whether the error explains it."""
    low, high = interval(row, errors.get((row["view"], row["target"], row["measure"])))
    change = row["later"] - row["first"]
    out = {**row, "change": change, "low": low, "high": high}
    if row["measure"] != PROBABILITY and row["first"] > 0:
        out |= {
            k: 100 * v / row["first"] for k, v in (("percent", change), ("percent_low", low), ("percent_high", high))
        }
    return {**out, "beyond_error": "more" if low > 0 else "less" if high < 0 else ""}


def cohort_rows(changes: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The change of every measure to the last visit, over patients, with a Student's t interval and test of the mean.

    changes: none of one day, unless no change is what is looked for. Geometric means of ratios in %, and means of
    probabilities; two joints of a patient count once, by their mean.
    beyond_error: patients of whom a change is.
    """
    last: dict[Key, dict[tuple[str, str], Mapping[str, Any]]] = {}
    begins: dict[tuple[str, str], str] = {}
    for row in changes:
        joint = (row["patient_id"], row["laterality"])
        if begins.setdefault(joint, row["first_study"]) == row["first_study"]:  # not two later ones of one day
            last.setdefault((row["view"], row["target"], row["measure"]), {})[joint] = row
    out = []
    for key, rows in last.items():
        raw = key[2] == PROBABILITY
        each: dict[str, list[float]] = {}
        for (patient, _), row in rows.items():
            value = row["later"] - row["first"] if raw else difference(row)
            if not np.isnan(value):
                each.setdefault(patient, []).append(value)
        values = np.array([np.mean(both) for both in each.values()])
        if not len(values):
            continue
        mean, low, high, p = (float(values.mean()), *(float("nan"),) * 3)
        if len(values) > 1 and (se := float(stats.sem(values))) > 0:
            low, high = stats.t.interval(0.95, len(values) - 1, loc=mean, scale=se)
            p = float(stats.ttest_1samp(values, 0).pvalue)
        shown = [v if raw else 100 * (unscaled(v, key[2]) - 1) for v in (mean, low, high)]
        out.append({
            **dict(zip(("view", "target", "measure"), key, strict=True)), "patients": len(values),
            **dict(zip(("mean", "low", "high"), shown, strict=True)), "unit": "" if raw else "%", "p": p,
            "beyond_error": len({patient for (patient, _), row in rows.items() if row.get("beyond_error")}),
        })  # fmt: skip
    return out


def rounded(row: Mapping[str, Any]) -> dict[str, Any]:
    """Numbers as a reader wants them; blank where there is none."""
    out = {}
    for name, value in row.items():
        missing = value is None or (isinstance(value, float) and np.isnan(value))
        out[name] = "" if missing else float(f"{value:.5g}") if isinstance(value, float) else value
    return out
