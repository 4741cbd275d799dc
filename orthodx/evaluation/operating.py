"""What a threshold does, and how far probabilities can be taken at their word."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from statsmodels.stats.proportion import proportion_confint

BINS = 10


@dataclass(frozen=True)
class Proportion:
    """A share with its Wilson 95 % interval; n cases counted."""

    value: float
    low: float
    high: float
    n: int


def proportion(hits: np.ndarray, patient: np.ndarray) -> Proportion:
    """Share of true in hits (n,), Wilson 1927. The interval counts patients (n,), not their repeated cases."""
    if not len(hits):
        return Proportion(float("nan"), float("nan"), float("nan"), 0)
    share, patients = float(np.mean(hits)), len(np.unique(patient))
    low, high = proportion_confint(share * patients, patients, alpha=0.05, method="wilson")
    return Proportion(share, float(low), float(high), len(hits))


def at_threshold(
    scores: np.ndarray, positive: np.ndarray, patient: np.ndarray, threshold: float
) -> dict[str, Proportion]:
    """Sensitivity, specificity, PPV and NPV of `scores >= threshold`. All arrays (n,)."""
    called = scores >= threshold
    parts = {
        "sensitivity": (called, positive),
        "specificity": (~called, ~positive),
        "ppv": (positive, called),
        "npv": (~positive, ~called),
    }
    return {name: proportion(what[among], patient[among]) for name, (what, among) in parts.items()}


def net_benefit(scores: np.ndarray, positive: np.ndarray, threshold: float) -> float:
    """True minus odds-weighted false positives, a case (Vickers and Elkin 2006)."""
    called, odds = scores >= threshold, threshold / (1 - threshold)
    return float(np.mean(called & positive) - np.mean(called & ~positive) * odds)


def brier(scores: np.ndarray, positive: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Mean squared error of the probability as a function of case weights (r, n) -> (r,)."""
    squared = (scores - positive) ** 2

    def statistic(weights: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore"):
            return weights @ squared / weights.sum(1)

    return statistic


def calibration_error(scores: np.ndarray, positive: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Expected calibration error over ten equal bins (Naeini 2015) as a function of weights (r, n) -> (r,)."""
    member = np.eye(BINS)[np.minimum((scores * BINS).astype(int), BINS - 1)]
    gap = member * (scores - positive)[:, None]

    def statistic(weights: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore"):
            return np.abs(weights @ gap).sum(1) / weights.sum(1)

    return statistic
