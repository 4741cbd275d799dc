"""Intervals from resampling patients, the unit of every claim."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Estimate:
    """A mean with its 95 % interval and the number of patients behind it; NaN where there is none."""

    value: float
    low: float
    high: float
    patients: int


def patient_mean(values: Sequence[float], patients: Sequence[str], *, resamples: int = 2000, seed: int = 0) -> Estimate:
    """Mean of patient means with a percentile bootstrap interval over patients; NaN values are left out.

    Several values of one patient are averaged first. One patient gives no interval (NaN). Source: Efron and
    Tibshirani 1993, ch. 13.
    """
    if len(values) != len(patients):
        raise ValueError(f"{len(values)} values for {len(patients)} patients")
    by_patient: dict[str, list[float]] = {}
    for value, patient in zip(values, patients, strict=True):
        if not np.isnan(value):
            by_patient.setdefault(patient, []).append(value)
    means = np.array([np.mean(v) for v in by_patient.values()])
    nan = float("nan")
    if len(means) < 2:
        return Estimate(float(means[0]) if len(means) else nan, nan, nan, len(means))
    rng = np.random.default_rng(seed)
    drawn = means[rng.integers(len(means), size=(resamples, len(means)))].mean(1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Estimate(float(means.mean()), float(low), float(high), len(means))
