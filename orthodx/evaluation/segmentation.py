"""The numbers of a segmentation report: per structure and over all, by group, and against the rest."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from orthodx.evaluation.estimates import Linear, mean_of_patients
from orthodx.evaluation.operating import proportion
from orthodx.evaluation.resampling import patient_mean
from orthodx.evaluation.rows import ALL_STRUCTURES, REST, Row
from orthodx.evaluation.segment_scores import ABSENT, FALSE, METRICS, MISSED, SCORED
from orthodx.requests.evaluation import Settings
from orthodx.studies.readable import counted

TASK = "segmentation"
COMPARED = ("dice", "nsd")  # metrics that are tested between groups: defined for missed structures too
CHOSEN = "best minus worst group, chosen by looking: biased upwards, not tested"


def by_study(scores: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Mean of the series of each study, undefined ones left out: columns study_id, patient_id, `metric`."""
    kept = scores[scores[metric].notna()]
    return kept.groupby(["patient_id", "study_id"], sort=False, as_index=False)[metric].mean()


def with_all_structures(scores: pd.DataFrame) -> pd.DataFrame:
    """The scores with, for each series, the mean over its structures as one more structure."""
    defined = [m for m in (*COMPARED, "hd95_mm", "assd_mm") if m in scores.columns]
    ids = ["patient_id", "study_id", "series_id"]
    mean = scores.groupby(ids, sort=False, as_index=False)[defined].mean()
    return pd.concat([scores, mean.assign(structure=ALL_STRUCTURES, state=SCORED)], ignore_index=True)


def score_segmentation(scores: pd.DataFrame, settings: Settings) -> list[Row]:
    """Rows over all series: every structure that stands in any mask or truth, then their mean."""
    rows: list[Row] = []
    for structure, part in with_all_structures(scores).groupby("structure", sort=False):
        if (part["state"] != ABSENT).any():
            rows += structure_rows(part, {"task": TASK, "target": str(structure)}, settings)
    return rows


def structure_rows(part: pd.DataFrame, facts: dict[str, Any], settings: Settings) -> list[Row]:
    """Every metric with its patient-bootstrap interval, the detection rate, and the counts of empty cases."""
    rows = []
    for metric in METRICS:
        if part[metric].notna().any():
            means = by_study(part, metric)
            e = patient_mean(
                means[metric].tolist(), means["patient_id"].tolist(), resamples=settings.resamples, seed=settings.seed
            )
            rows.append(Row(metric=metric, value=e.value, low=e.low, high=e.high, n=e.patients, **facts))
    if facts["target"] == ALL_STRUCTURES:
        return rows
    present = part[part["state"].isin((SCORED, MISSED))]
    found = proportion(present["detected"].to_numpy(bool), present["patient_id"].to_numpy(str))
    rows.append(Row(metric="detection_rate", value=found.value, low=found.low, high=found.high, n=found.n, **facts))
    for state in (MISSED, FALSE, ABSENT):
        count = int((part["state"] == state).sum())
        rows.append(Row(metric=state.replace(" ", "_"), value=count, n=len(part), **facts))
    return rows


def score_segment_groups(scores: pd.DataFrame, groups: dict[str, np.ndarray], settings: Settings) -> list[Row]:
    """Rows of every group; groups: grouping -> (rows of `scores`,) group. p values are not yet adjusted."""
    rows: list[Row] = []
    for grouping, group in groups.items():
        named = with_all_structures(scores)
        of_series = dict(zip(scores["series_id"], group, strict=True))
        named["group"] = named["series_id"].map(of_series)
        for structure, part in named.groupby("structure", sort=False):
            if (part["state"] != ABSENT).any():
                rows += _grouping(part, {"task": TASK, "target": str(structure), "grouping": grouping}, settings)
    return rows


def _grouping(part: pd.DataFrame, facts: dict[str, Any], settings: Settings) -> Iterator[Row]:
    patients = {p: i for i, p in enumerate(part["patient_id"].unique())}
    means: dict[str, dict[str, Linear]] = {m: {} for m in COMPARED}
    for name in sorted(part["group"].unique()):
        inside = part[part["group"] == name]
        here = {**facts, "group": name}
        few = inside.loc[inside["dice"].notna(), "patient_id"].nunique()
        if few < settings.min_cell:
            yield Row(metric="dice", n=few, note=f"n too small: {counted(few, 'patients')}", **here)
            continue
        yield from structure_rows(inside, here, settings)
        rest = part[part["group"] != name]
        for metric in COMPARED:
            ours = means[metric][name] = linear_mean(inside, metric, patients)
            other = linear_mean(rest, metric, patients)
            if other.smallest >= settings.min_cell:
                difference = ours.minus(other)
                low, high, p = difference.cautious()
                yield Row(metric=metric, against=REST, value=difference.value, low=low, high=high, n=few, p=p, **here)
    for metric, have in means.items():
        if len(have) > 1:
            best, worst = (pick(have, key=lambda g: have[g].value) for pick in (max, min))
            gap = have[best].minus(have[worst])
            low, high, _ = gap.cautious()
            yield Row(
                metric=f"{metric}_gap", group=best, against=worst, value=gap.value, low=low, high=high,
                n=len(patients), note=CHOSEN, **facts,
            )  # fmt: skip


def linear_mean(part: pd.DataFrame, metric: str, patients: dict[str, int]) -> Linear:
    """Mean of patient means of study means, with each patient's part. patients: id -> index."""
    means = by_study(part, metric)
    index = means["patient_id"].map(patients).to_numpy(int)
    return mean_of_patients(means[metric].to_numpy(float), index, len(patients))
