"""Wilson against statsmodels' sister implementations by hand; Brier, calibration error, net benefit by hand."""

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, confusion_matrix

from orthodx.evaluation.operating import at_threshold, brier, calibration_error, net_benefit, proportion


def wilson(k, n, z=1.959963984540054):
    """Wilson 1927 written out."""
    p = k / n
    middle, half = p + z**2 / (2 * n), z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    return (middle - half) / (1 + z**2 / n), (middle + half) / (1 + z**2 / n)


@pytest.mark.parametrize(("k", "n"), [(0, 12), (12, 12), (81, 263), (3, 10)])
def test_the_interval_is_wilsons(k, n):
    found = proportion(np.arange(n) < k, np.arange(n))
    assert (found.low, found.high) == pytest.approx(wilson(k, n), abs=1e-9)


def test_repeated_cases_of_a_patient_do_not_narrow_it():
    once = proportion(np.arange(10) < 7, np.arange(10))
    twice = proportion(np.tile(np.arange(10) < 7, 2), np.tile(np.arange(10), 2))
    assert (twice.low, twice.high) == (once.low, once.high)
    assert twice.n == 20


def test_the_four_shares_are_those_of_the_confusion_matrix():
    rng = np.random.default_rng(0)
    positive, scores = rng.random(200) < 0.3, rng.random(200)
    (tn, fp), (fn, tp) = confusion_matrix(positive, scores >= 0.6)
    found = at_threshold(scores, positive, np.arange(200), 0.6)
    wanted = {
        "sensitivity": tp / (tp + fn),
        "specificity": tn / (tn + fp),
        "ppv": tp / (tp + fp),
        "npv": tn / (tn + fn),
    }
    assert {k: v.value for k, v in found.items()} == pytest.approx(wanted)
    assert net_benefit(scores, positive, 0.6) == pytest.approx((tp - fp * 0.6 / 0.4) / 200)


def test_a_share_of_none_is_unknown():
    found = at_threshold(np.array([0.1, 0.2]), np.array([False, False]), np.arange(2), 0.5)
    assert np.isnan(found["sensitivity"].value)
    assert found["specificity"].value == 1.0


def test_brier_and_calibration_error():
    rng = np.random.default_rng(1)
    positive, scores = rng.random(50) < 0.5, rng.random(50)
    ones = np.ones((1, 50))
    assert brier(scores, positive)(ones)[0] == pytest.approx(brier_score_loss(positive, scores), abs=1e-9)
    scores, positive = np.array([0.05, 0.05, 0.95, 1.0]), np.array([0, 1, 1, 1], bool)
    by_hand = (2 * abs(0.05 - 0.5) + 2 * abs(0.975 - 1.0)) / 4
    assert calibration_error(scores, positive)(np.ones((1, 4)))[0] == pytest.approx(by_hand, abs=1e-9)
