"""Differences, averages and intervals from the patients' own parts."""

import numpy as np
import pytest
from scipy import stats

from orthodx.evaluation.estimates import mean_of_patients
from orthodx.evaluation.operating import brier
from orthodx.evaluation.resampling import PatientBootstrap, percentiles


def test_the_mean_has_the_standard_error_of_textbooks():
    values = np.random.default_rng(0).normal(size=40)
    e = mean_of_patients(values, np.arange(40), 40)
    assert (e.value, e.error) == pytest.approx((values.mean(), stats.sem(values)))
    low, high, p = e.cautious()
    test = stats.ttest_1samp(values, 0)
    assert (low, high, p) == pytest.approx((*test.confidence_interval(), test.pvalue))


def test_a_difference_within_patients_is_a_paired_test():
    rng = np.random.default_rng(1)
    a = rng.normal(size=30)
    b = a + rng.normal(0.1, 0.3, 30)
    who = np.arange(30)
    difference = mean_of_patients(a, who, 30).minus(mean_of_patients(b, who, 30))
    assert difference.cautious()[2] == pytest.approx(stats.ttest_rel(a, b).pvalue)


def test_unknown_values_and_repeated_series_are_settled_before_the_mean():
    e = mean_of_patients(np.array([1.0, 0.0, 0.5, np.nan]), np.array([0, 0, 1, 2]), 3)
    assert (e.value, e.smallest) == (0.5, 2)
    assert np.isnan(mean_of_patients(np.array([np.nan]), np.array([0]), 1).value)
    assert np.isnan(mean_of_patients(np.array([0.4]), np.array([0]), 1).error)


def test_resamples_draw_patients_with_all_their_cases():
    bootstrap = PatientBootstrap(np.array([0, 0, 1, 2]), resamples=50, seed=4)
    weights = np.concatenate(list(bootstrap.weights()))
    assert weights.shape == (50, 4)
    assert (weights[:, 0] == weights[:, 1]).all()
    assert (weights[:, 1:].sum(1) == 3).all()


def test_blocks_draw_what_one_piece_draws(monkeypatch):
    patient = np.arange(7)
    whole = np.concatenate(list(PatientBootstrap(patient, 20, 1).weights()))
    monkeypatch.setattr("orthodx.evaluation.resampling.BLOCK", 21)
    assert (np.concatenate(list(PatientBootstrap(patient, 20, 1).weights())) == whole).all()


def test_the_bootstrap_agrees_with_scipy():
    rng = np.random.default_rng(2)
    scores, positive = rng.random(60), rng.random(60) < 0.4
    squared = (scores - positive) ** 2
    ((low, high),) = PatientBootstrap(np.arange(60), 5000, 0).intervals(brier(scores, positive))
    other = stats.bootstrap((squared,), np.mean, n_resamples=5000, method="percentile", rng=1).confidence_interval
    assert (low, high) == pytest.approx((other.low, other.high), abs=0.006)


def test_undefined_resamples_are_left_out_until_they_are_most():
    assert percentiles(np.array([1.0, 1.0, np.nan])) == (1.0, 1.0)
    assert np.isnan(percentiles(np.array([1.0, np.nan, np.nan]))).all()
