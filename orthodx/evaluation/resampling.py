"""Intervals from resampling patients, the unit of every claim."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

BLOCK = 4_000_000  # weights held at once: 32 MB


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


@dataclass(frozen=True, eq=False)
class PatientBootstrap:
    """Bootstrap of any weighted statistic over patients, all resamples at once.

    patient: (n,) index of each case's patient, 0 .. patients - 1. A statistic takes weights (r, n), how often
    each case stands in each of r resamples, and returns (r,) values. Equal seeds draw equal patients, so two
    statistics of one cohort are resampled in pairs.
    """

    patient: np.ndarray
    resamples: int = 2000
    seed: int = 0

    def weights(self) -> Iterator[np.ndarray]:
        """Blocks of weights (r, n) float64, in all `resamples` rows."""
        rng, patients = np.random.default_rng(self.seed), int(self.patient.max()) + 1
        rows = max(1, BLOCK // max(patients, len(self.patient)))
        for start in range(0, self.resamples, rows):
            r = min(rows, self.resamples - start)
            drawn = rng.integers(patients, size=(r, patients)) + patients * np.arange(r)[:, None]
            counts = np.bincount(drawn.ravel(), minlength=r * patients).reshape(r, patients)
            yield counts[:, self.patient].astype(float)

    def intervals(self, *statistics: Callable[[np.ndarray], np.ndarray]) -> list[tuple[float, float]]:
        """Percentile 95 % intervals; resamples in which a statistic is undefined (NaN) are left out of its own.

        One patient gives no interval (NaN).
        """
        if int(self.patient.max()) < 1:
            return [(float("nan"), float("nan"))] * len(statistics)
        drawn = [[statistic(w) for statistic in statistics] for w in self.weights()]
        return [percentiles(np.concatenate(values)) for values in zip(*drawn, strict=True)]


def percentiles(drawn: np.ndarray) -> tuple[float, float]:
    """The 2.5 and 97.5 percentiles of the defined values; NaN where fewer than half are defined."""
    kept = drawn[~np.isnan(drawn)]
    if len(kept) < max(2, len(drawn) / 2):
        return float("nan"), float("nan")
    low, high = np.quantile(kept, [0.025, 0.975])
    return float(low), float(high)
