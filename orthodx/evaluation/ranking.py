"""How well probabilities rank the positive above the negative: AUROC, average precision, ROC curve."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import stats

from orthodx.evaluation.estimates import Linear


def auroc(scores: np.ndarray, positive: np.ndarray, patient: np.ndarray, patients: int) -> Linear:
    """Area under the ROC curve with DeLong's variance, clustered by patient.

    scores: (n,) float; positive: (n,) bool; patient: (n,) index below `patients`. NaN with one class only.
    Midranks as in Sun and Xu 2014; DeLong et al. 1988 eq. 3-5; patients with several cases: Obuchowski 1997.
    """
    m, n = int(positive.sum()), int((~positive).sum())
    if m == 0 or n == 0:
        return Linear(float("nan"), np.full(patients, np.nan), 0)
    ranks = stats.rankdata(scores)
    above = (ranks[positive] - stats.rankdata(scores[positive])) / n  # share of negatives below each positive
    below = 1 - (ranks[~positive] - stats.rankdata(scores[~positive])) / m  # share of positives above each negative
    area = float(above.mean())
    parts = np.zeros(patients)
    smallest = patients
    for placement, who in ((above, patient[positive]), (below, patient[~positive])):
        clusters = len(np.unique(who))
        smallest = min(smallest, clusters)
        scale = np.sqrt(clusters / (clusters - 1)) / len(who) if clusters > 1 else np.nan
        parts += np.bincount(who, placement - area, minlength=patients) * scale
    return Linear(area, parts, smallest)


def auroc_interval(estimate: Linear) -> tuple[float, float]:
    """95 % interval of an AUROC: DeLong's variance on the logit scale; exact where the area is 0 or 1.

    The logit keeps the interval inside [0, 1] and its coverage near 95 % for areas close to 1 (Pepe 2003, 5.2.4;
    Qin and Hotilovac 2008). At 0 or 1 the variance is zero; then k disjoint positive-negative pairs of patients
    are k independent successes, and Clopper and Pearson's bound holds: alpha/2 ^ (1/k).
    """
    area = estimate.value
    if np.isnan(area):
        return float("nan"), float("nan")
    if area in (0.0, 1.0):
        bound = 0.025 ** (1 / max(1, estimate.smallest))
        return (bound, 1.0) if area == 1.0 else (0.0, 1 - bound)
    return _back(_logit(estimate), float(stats.norm.ppf(0.975)))


def areas_differ(one: Linear, other: Linear) -> tuple[float, float, float]:
    """95 % interval of `one` - `other`, and p that they are equal, for groups that may be small or share patients.

    p is Student's t on the logit scale with the degrees of freedom of the smallest class; on the plain scale the
    skewness of small groups gives far too many small p. The interval joins the two areas' own intervals, less
    what they share (square-and-add, Zou and Donner 2008). NaN where an area is 0 or 1: it has no variance.
    """
    if not (0 < one.value < 1 and 0 < other.value < 1 and one.error > 0 and other.error > 0):
        return float("nan"), float("nan"), float("nan")
    a, b = _logit(one), _logit(other)
    gap = a.minus(b)
    reach = float(stats.t.ppf(0.975, max(1, gap.smallest - 1)))
    (low_a, high_a), (low_b, high_b) = _back(a, reach), _back(b, reach)
    shared = float(one.parts @ other.parts) / (one.error * other.error)
    down, up = one.value - low_a, high_a - one.value
    less, more = other.value - low_b, high_b - other.value
    value = one.value - other.value
    low = value - np.sqrt(down**2 + more**2 - 2 * shared * down * more)
    high = value + np.sqrt(up**2 + less**2 - 2 * shared * up * less)
    return float(low), float(high), gap.cautious()[2]


def _logit(estimate: Linear) -> Linear:
    """The same estimate on the logit scale, by the delta method."""
    slope = estimate.value * (1 - estimate.value)
    return Linear(float(np.log(estimate.value / (1 - estimate.value))), estimate.parts / slope, estimate.smallest)


def _back(estimate: Linear, reach: float) -> tuple[float, float]:
    """Logit estimate +- reach standard errors, as areas."""
    ends = (estimate.value - reach * estimate.error, estimate.value + reach * estimate.error)
    low, high = (float(1 / (1 + np.exp(-x))) for x in ends)
    return low, high


def average_precision(scores: np.ndarray, positive: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Average precision as a function of case weights (r, n) -> (r,); ties share one step, as in scikit-learn."""
    cumulate = _cumulator(scores, positive)

    def statistic(weights: np.ndarray) -> np.ndarray:
        true, false = cumulate(weights)
        with np.errstate(invalid="ignore", divide="ignore"):
            precision = np.where(true + false > 0, true / (true + false), 0.0)
            steps = np.diff(true, axis=1, prepend=0.0)
            return (steps * precision).sum(1) / true[:, -1]

    return statistic


def roc_points(scores: np.ndarray, positive: np.ndarray, weights: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """Sensitivity at each false-positive rate of `grid` (g,), for every row of weights (r, n): (r, g)."""
    true, false = _cumulator(scores, positive)(weights)
    with np.errstate(invalid="ignore"):
        tpr, fpr = (np.pad(x / x[:, -1:], ((0, 0), (1, 0))) for x in (true, false))
    kept = ~(np.isnan(tpr).any(1) | np.isnan(fpr).any(1))
    lane = 2.0 * np.arange(int(kept.sum()))[:, None]  # one interpolation for all rows, each in its own lane
    flat = np.interp((lane + grid).ravel(), (lane + fpr[kept]).ravel(), tpr[kept].ravel())
    return flat.reshape(-1, len(grid))


def _cumulator(scores: np.ndarray, positive: np.ndarray) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Weights (r, n) -> true and false positives (r, distinct scores) at falling thresholds."""
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.flatnonzero(np.diff(scores[order])), len(order) - 1)
    hit = positive[order].astype(float)

    def cumulate(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        sorted_weights = weights[:, order]
        return tuple(np.cumsum(sorted_weights * h, axis=1)[:, last] for h in (hit, 1 - hit))  # type: ignore

    return cumulate
