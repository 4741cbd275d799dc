"""The linear layer of stage I: what it may rest on, and what it is like out of fold."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from orthodx.training.diagnosis.linear import _not_negative, fit_linear

RNG = np.random.default_rng(0)
FOLDS = [(np.flatnonzero(np.arange(120) % 4 != k), np.flatnonzero(np.arange(120) % 4 == k)) for k in range(4)]


def data(slope):
    x = RNG.normal(size=(120, 4))
    y = (x[:, 0] * slope + RNG.normal(size=120) > 0).astype(float)
    return x, np.stack([y, 1 - y], 1)


def test_coefficients_are_scikit_learns_where_none_would_be_negative():
    x, truth = data(2.0)
    x = x[:, :1]
    coefficients, intercept = _not_negative(x, truth[:, 0], np.ones(120), 0.5)
    expected = LogisticRegression(C=0.5, tol=1e-8).fit(x, truth[:, 0])
    assert coefficients == pytest.approx(expected.coef_[0], abs=1e-3)
    assert intercept == pytest.approx(expected.intercept_[0], abs=1e-3)


def test_evidence_speaks_for_its_label_alone_and_never_against_it():
    x, truth = data(2.0)
    coefficients, _, outside = fit_linear(x, truth, np.ones(120), FOLDS, [x] * 4, [slice(0, 2), slice(0, 2)])
    assert (coefficients[:, 2:] == 0).all()
    assert (coefficients >= 0).all()
    assert coefficients[0, 0] > 0.1
    assert coefficients[1, 0] == 0  # it would count against the second label
    assert roc_auc_score(truth[:, 0], outside[:, 0]) > 0.85


def test_without_named_evidence_every_column_may_count_either_way():
    x, truth = data(2.0)
    coefficients, _, outside = fit_linear(x, truth, np.ones(120), FOLDS, [x] * 4)
    assert coefficients[0, 0] > 0.1 > -0.1 > coefficients[1, 0]
    assert roc_auc_score(truth[:, 1], outside[:, 1]) > 0.85
