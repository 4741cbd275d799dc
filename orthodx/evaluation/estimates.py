"""Estimates that know what each patient adds to their error, so that any two of one cohort can be compared.

The variance of an estimate is the sum of its squared patient parts, and that of a difference the sum of the
squared differences: groups that share patients, paired models and averages over labels need no formula of
their own. For AUROC this is exactly DeLong's variance (Biometrics 1988), clustered as in Obuchowski 1997.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats


@dataclass(frozen=True, eq=False)
class Linear:
    """A value with its patient parts.

    parts: (patients,) signed share of each patient in the error, zero for those not used; NaN throughout where
    the spread is unknown. smallest: fewest patients in any class behind it, which bounds the degrees of freedom.
    """

    value: float
    parts: np.ndarray
    smallest: int

    @property
    def error(self) -> float:
        """Standard error."""
        return float(np.sqrt(np.sum(self.parts**2)))

    def minus(self, other: Linear) -> Linear:
        """The difference of two estimates of one cohort."""
        return Linear(self.value - other.value, self.parts - other.parts, min(self.smallest, other.smallest))

    def interval(self) -> tuple[float, float]:
        """Value +- 1.96 standard errors."""
        reach = float(stats.norm.ppf(0.975)) * self.error
        return self.value - reach, self.value + reach

    def p(self) -> float:
        """Two-sided p that the value is zero, normal; NaN where there is no spread."""
        return float(2 * stats.norm.sf(abs(self.value) / self.error)) if self.error > 0 else float("nan")

    def cautious(self) -> tuple[float, float, float]:
        """Interval and p by Student's t with `smallest` - 1 degrees of freedom, for groups that may be small."""
        if not self.error > 0:
            return self.value, self.value, float("nan")
        freedom = max(1, self.smallest - 1)
        reach = float(stats.t.ppf(0.975, freedom)) * self.error
        return self.value - reach, self.value + reach, float(2 * stats.t.sf(abs(self.value) / self.error, freedom))


def average(estimates: Sequence[Linear]) -> Linear:
    """Mean of several estimates of one cohort (macro average)."""
    return Linear(
        float(np.mean([e.value for e in estimates])),
        np.mean([e.parts for e in estimates], axis=0),
        min(e.smallest for e in estimates),
    )


def mean_of_patients(values: np.ndarray, patient: np.ndarray, patients: int) -> Linear:
    """Mean of patient means. values: (n,), NaN left out; patient: (n,) index below `patients`."""
    known = ~np.isnan(values)
    count = np.bincount(patient[known], minlength=patients)
    used = count > 0
    n = int(used.sum())
    if n == 0:
        return Linear(float("nan"), np.full(patients, np.nan), 0)
    means = np.bincount(patient[known], values[known], minlength=patients)[used] / count[used]
    parts = np.full(patients, np.nan if n < 2 else 0.0)
    if n >= 2:
        parts[used] = (means - means.mean()) / np.sqrt(n * (n - 1))
    return Linear(float(means.mean()), parts, n)
