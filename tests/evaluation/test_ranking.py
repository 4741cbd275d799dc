"""AUROC against DeLong's own data, scipy and brute force; average precision and ROC against scikit-learn."""

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from orthodx.evaluation.estimates import average
from orthodx.evaluation.ranking import auroc, auroc_interval, average_precision, roc_points

# DeLong, DeLong and Clarke-Pearson 1988: ovarian cancer and bowel obstruction; albumin, total protein, K-G score
# and the outcome, as printed in the SAS/STAT documentation of PROC LOGISTIC, example "Comparing ROC Curves".
OVARIAN = """
    3.0 5.8 10 0 3.2 6.3 5 1 3.9 6.8 3 1 2.8 4.8 6 0 3.2 5.8 3 1 0.9 4.0 5 0 2.5 5.7 8 0 1.6 5.6 5 1 3.8 5.7 5 1
    3.7 6.7 6 1 3.2 5.4 4 1 3.8 6.6 6 1 4.1 6.6 5 1 3.6 5.7 5 1 4.3 7.0 4 1 3.6 6.7 4 0 2.3 4.4 6 1 4.2 7.6 4 0
    4.0 6.6 6 0 3.5 5.8 6 1 3.8 6.8 7 1 3.0 4.7 8 0 4.5 7.4 5 1 3.7 7.4 5 1 3.1 6.6 6 1 4.1 8.2 6 1 4.3 7.0 5 1
    4.3 6.5 4 1 3.2 5.1 5 1 2.6 4.7 6 1 3.3 6.8 6 0 1.7 4.0 7 0 3.7 6.1 5 1 3.3 6.3 7 1 4.2 7.7 6 1 3.5 6.2 5 1
    2.9 5.7 9 0 2.1 4.8 7 1 2.8 6.2 8 0 4.0 7.0 7 1 3.3 5.7 6 1 3.7 6.9 5 1 3.6 6.6 5 1"""


def cohort(seed, n=80, ties=True):
    rng = np.random.default_rng(seed)
    positive = rng.random(n) < 0.4
    scores = rng.normal(positive * 1.0)
    return np.round(scores, 1) if ties else scores, positive, np.arange(n)


def brute_delong(a, b, positive):
    """Areas and covariance of two scores by the definition: every positive against every negative."""
    areas, v10, v01 = [], [], []
    for s in (a, b):
        psi = (s[positive][:, None] > s[~positive]) + 0.5 * (s[positive][:, None] == s[~positive])
        areas.append(psi.mean())
        v10.append(psi.mean(1))
        v01.append(psi.mean(0))
    return areas, np.cov(v10) / positive.sum() + np.cov(v01) / (~positive).sum()


def test_the_published_example_of_delong():
    albumin, protein, kg, outcome = np.array(OVARIAN.split(), float).reshape(-1, 4).T
    benefit = outcome == 0
    who = np.arange(len(outcome))
    tests = {n: auroc(s, benefit, who, len(who)) for n, s in (("alb", -albumin), ("tp", -protein), ("kg", kg))}
    printed = {"alb": (0.7366, 0.0927, 0.5549, 0.9182), "tp": (0.6478, 0.1000, 0.4518, 0.8439),
               "kg": (0.7258, 0.1028, 0.5243, 0.9273)}  # fmt: skip
    for name, numbers in printed.items():
        e = tests[name]
        assert (e.value, e.error, *e.interval()) == pytest.approx(numbers, abs=5.1e-5)
    difference = tests["tp"].minus(tests["kg"])
    assert (difference.value, difference.error, difference.p()) == pytest.approx((-0.0780, 0.1046, 0.4561), abs=5.1e-5)


@pytest.mark.parametrize("seed", range(5))
def test_area_is_mann_whitney_and_covariance_is_the_definition(seed):
    a, positive, who = cohort(seed)
    b = a + np.random.default_rng(seed + 99).normal(0, 0.7, len(a)).round(1)
    one, two = (auroc(s, positive, who, len(who)) for s in (a, b))
    u = stats.mannwhitneyu(a[positive], a[~positive]).statistic
    assert one.value == pytest.approx(u / positive.sum() / (~positive).sum(), abs=1e-9)
    assert one.value == pytest.approx(roc_auc_score(positive, a), abs=1e-9)
    areas, covariance = brute_delong(a, b, positive)
    assert [one.value, two.value] == pytest.approx(areas, abs=1e-9)
    assert [one.error**2, two.error**2] == pytest.approx(np.diag(covariance), abs=1e-9)
    spread = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    assert one.minus(two).error ** 2 == pytest.approx(spread, abs=1e-9)


def test_repeated_cases_of_a_patient_add_no_certainty():
    scores, positive, who = cohort(3)
    once = auroc(scores, positive, who, 80)
    thrice = auroc(np.tile(scores, 3), np.tile(positive, 3), np.tile(who, 3), 80)
    assert (thrice.value, thrice.error) == pytest.approx((once.value, once.error), abs=1e-9)


def test_the_interval_stays_inside_and_is_never_a_point():
    high = auroc_interval(auroc(np.array([1.0, 2, 3, 5, 4, 6]), np.array([0, 0, 0, 0, 1, 1], bool), np.arange(6), 6))
    assert 0 < high[0] < high[1] < 1
    perfect = auroc(np.arange(30.0), np.arange(30) >= 20, np.arange(30), 30)
    assert auroc_interval(perfect) == pytest.approx((0.025 ** (1 / 10), 1.0))  # ten disjoint pairs
    worst = auroc(-np.arange(30.0), np.arange(30) >= 20, np.arange(30), 30)
    assert auroc_interval(worst) == pytest.approx((0.0, 1 - 0.025 ** (1 / 10)))


def test_one_class_has_no_area():
    e = auroc(np.arange(5.0), np.ones(5, bool), np.arange(5), 5)
    assert np.isnan([e.value, *auroc_interval(e)]).all()


def test_macro_average_keeps_the_correlation_of_labels():
    scores, positive, who = cohort(1)
    e = auroc(scores, positive, who, 80)
    assert average([e, e]).error == pytest.approx(e.error)  # the same label twice is no second witness


@pytest.mark.parametrize("seed", range(3))
def test_weighted_average_precision_and_roc_equal_scikit_learn_on_repeated_rows(seed):
    scores, positive, _ = cohort(seed)
    weights = np.random.default_rng(seed + 50).multinomial(80, np.full(80, 1 / 80), size=4).astype(float)
    found = average_precision(scores, positive)(weights)
    grid = np.linspace(0, 1, 7)
    curves = roc_points(scores, positive, weights, grid)
    for w, ap, curve in zip(weights.astype(int), found, curves, strict=True):
        s, y = np.repeat(scores, w), np.repeat(positive, w)
        assert ap == pytest.approx(average_precision_score(y, s), abs=1e-9)
        fpr, tpr, _ = roc_curve(y, s, drop_intermediate=False)
        assert np.interp(0.37, fpr, tpr) == pytest.approx(
            roc_points(scores, positive, w[None].astype(float), np.array([0.37]))[0, 0]
        )
        assert (np.diff(curve) >= -1e-12).all()
