"""Logistic regression of every label, with the strength of regularisation chosen out of fold."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

STRENGTHS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)  # inverse regularisation tried
Folds = Sequence[tuple[np.ndarray, np.ndarray]]  # rows that train, rows that are kept apart


def fit_linear(
    vectors: np.ndarray, truth: np.ndarray, weight: np.ndarray, folds: Folds, apart: Sequence[np.ndarray],
    evidence: Sequence[slice] | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
    """Logistic regression of every label: coefficients (L, W), intercepts (L,), out-of-fold logits (M, L).

    vectors: (M, W). truth: (M, L) 1, 0 or NaN. weight: (M,). folds: (train, test) rows, patients apart. apart:
    vectors (M, W) as each fold sees them. evidence: the columns that speak for each label, where a head says so: its
    answer then rests on them alone, and they never count against it. The strength of regularisation is the one of
    `STRENGTHS` with the lowest out-of-fold cross-entropy.
    """
    coefficients = np.zeros((truth.shape[1], vectors.shape[1]))
    intercepts, outside = np.zeros(truth.shape[1]), np.zeros(truth.shape)
    for label in range(truth.shape[1]):
        known = ~np.isnan(truth[:, label])
        fit = partial(_logistic, weight=weight, evidence=None if evidence is None else evidence[label])
        y = truth[:, label] == 1
        best = np.inf
        for strength in STRENGTHS:
            logits = np.zeros(len(vectors))
            for (train, test), own in zip(folds, apart, strict=True):
                logits[test] = _apply(own[test], *fit(own, y, rows=train[known[train]], strength=strength))
            loss = np.logaddexp(0, np.where(y, -logits, logits))[known] @ weight[known]
            if loss < best:
                best, outside[:, label], chosen = loss, logits, strength
        coefficients[label], intercepts[label] = fit(vectors, y, rows=np.flatnonzero(known), strength=chosen)
    return coefficients, intercepts, outside


def _apply(vectors: np.ndarray, coefficients: np.ndarray, intercept: float) -> np.ndarray:
    return vectors @ coefficients + intercept


def _logistic(
    vectors: np.ndarray, y: np.ndarray, *, weight: np.ndarray, rows: np.ndarray, strength: float,
    evidence: slice | None,
) -> tuple[np.ndarray, float]:  # fmt: skip
    """Coefficients (W,) and intercept; of one class only, its smoothed share alone."""
    y, weight = y[rows], weight[rows]
    positive = float(weight[y].sum())
    if not y.any() or y.all():
        share = (positive + 1) / (float(weight.sum()) + 2)
        return np.zeros(vectors.shape[1]), float(np.log(share / (1 - share)))
    if evidence is None:
        from sklearn.linear_model import LogisticRegression  # takes a second to load

        model = LogisticRegression(C=strength, max_iter=2000).fit(vectors[rows], y, sample_weight=weight)
        return model.coef_[0], float(model.intercept_[0])
    coefficients = np.zeros(vectors.shape[1])
    coefficients[evidence], intercept = _not_negative(vectors[rows, evidence], y.astype(float), weight, strength)
    return coefficients, intercept


def _not_negative(x: np.ndarray, y: np.ndarray, weight: np.ndarray, strength: float) -> tuple[np.ndarray, float]:
    """The same logistic regression, with coefficients of at least 0."""
    from scipy.optimize import minimize

    def loss(p: np.ndarray) -> tuple[float, np.ndarray]:
        z = x @ p[:-1] + p[-1]
        slope = weight * (1 / (1 + np.exp(-z)) - y)
        value = weight @ (np.logaddexp(0, z) - y * z) + p[:-1] @ p[:-1] / (2 * strength)
        return float(value), np.append(x.T @ slope + p[:-1] / strength, slope.sum())

    bounds = [(0, None)] * x.shape[1] + [(None, None)]
    found = minimize(loss, np.zeros(x.shape[1] + 1), jac=True, bounds=bounds, method="L-BFGS-B").x
    return found[:-1], float(found[-1])
