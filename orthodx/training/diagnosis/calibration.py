"""From logits to honest answers: classes weighed, blanks left out, temperature and threshold of every label.

Temperatures and thresholds are fitted on validation studies and kept with the model. A NaN truth is unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import numpy as np

MOST_WEIGHT = 10.0
COOLEST, HOTTEST = 0.1, 10.0
ENOUGH = 10  # known cases below which a temperature would be noise
UNDECIDED = 0.5
SAME = 1e-9  # differences below are rounding


def positive_weights(truth: np.ndarray) -> np.ndarray:
    """(L,) float32: what a positive of each label counts, so that both classes weigh the same.

    truth: (N, L) 1, 0 or NaN. Negatives a positive, from 1/`MOST_WEIGHT` to `MOST_WEIGHT`; 1 where a class is absent.
    """
    positives, negatives = (truth == 1).sum(0), (truth == 0).sum(0)
    weight = np.clip(negatives / np.maximum(positives, 1), 1 / MOST_WEIGHT, MOST_WEIGHT)
    return np.where((positives > 0) & (negatives > 0), weight, 1.0).astype(np.float32)


def fit_temperature(logits: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """(L,) temperature T of each label: sigmoid(logit / T) is the calibrated probability (Guo et al. 2017).

    logits: (N, L). truth: (N, L) 1, 0 or NaN. T minimises the cross-entropy of the known cases between `COOLEST`
    and `HOTTEST`; 1 where fewer than `ENOUGH` are known, a class is absent, or nothing is gained.
    """
    return np.array([_temperature(z, y) for z, y in zip(logits.T, truth.T, strict=True)])


def fit_thresholds(
    probability: np.ndarray,
    truth: np.ndarray,
    names: Sequence[str],
    *,
    say: Callable[[str], None] = print,
    specificity: float = 0.0,
    otherwise: Mapping[str, float] = MappingProxyType({}),
) -> dict[str, float]:
    """Threshold t of each label, 0 < t < 1, so that `probability >= t` has the greatest Youden's J.

    specificity: the least; where no t between two probabilities has so much, t is the highest of these. otherwise: the
    threshold of a label that cannot be fitted, instead of 0.5: of one class, whose probabilities part nothing, or that
    is no better than chance at such a specificity. `say` is told.

    probability: (N, L), calibrated as it will be used. truth: (N, L) 1, 0 or NaN. names: L labels. J =
    sensitivity + specificity - 1 (Youden 1950); t lies midway between neighbouring probabilities, of equal ones
    nearest to 0.5.
    """
    out = {}
    for name, p, y in zip(names, probability.T, truth.T, strict=True):
        threshold, why = _threshold(*_known(p, y), specificity)
        if why:
            threshold = otherwise.get(name, UNDECIDED)
            say(f"{name}: threshold {threshold}, not fitted: {why} in validation")
        out[name] = threshold
    return out


def _known(values: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Finite values with a truth, float64, and that truth as bool."""
    known = np.isfinite(values) & ~np.isnan(truth)
    return values[known].astype(float), truth[known] == 1


def _temperature(logits: np.ndarray, truth: np.ndarray) -> float:
    from scipy.optimize import minimize_scalar

    z, y = _known(logits, truth)
    positives, negatives = int(y.sum()), int((~y).sum())
    if len(y) < ENOUGH or not positives or not negatives:
        return 1.0
    # Platt's targets (1999): classes that are told apart perfectly do not drive T to 0
    target = np.where(y, (positives + 1) / (positives + 2), 1 / (negatives + 2))

    def loss(log_t: float) -> float:
        x = z / np.exp(log_t)
        return float(np.mean(np.logaddexp(0, x) - target * x))

    found = minimize_scalar(loss, bounds=(np.log(COOLEST), np.log(HOTTEST)), method="bounded")
    return float(np.exp(found.x)) if found.fun < loss(0.0) - SAME else 1.0


def _threshold(p: np.ndarray, y: np.ndarray, least: float) -> tuple[float, str]:
    """The threshold of one label's known cases, and why it could not be fitted, if so."""
    if not len(y):
        return UNDECIDED, "none is known"
    if y.all() or not y.any():
        return UNDECIDED, f"all {len(y)} known cases are {'positive' if y.all() else 'negative'}"
    values = np.unique(p)
    middle = (values[:-1] + values[1:]) / 2
    middle = middle[(middle > values[:-1]) & (middle > 0) & (middle < 1)]  # neighbours may touch in floating point
    positive, negative = np.sort(p[y]), np.sort(p[~y])
    sensitivity = 1 - np.searchsorted(positive, middle) / len(positive)
    specificity = np.searchsorted(negative, middle) / len(negative)
    j = sensitivity + specificity - 1
    if not len(j) or j.max() < SAME:
        return UNDECIDED, "no threshold is better than chance"
    allowed = specificity >= min(least, specificity.max())
    if j[allowed].max() < SAME:
        return UNDECIDED, f"no threshold with a specificity of {least:g} is better than chance"
    best = middle[allowed & (j > j[allowed].max() - SAME)]
    return float(best[np.abs(best - UNDECIDED).argmin()]), ""
