"""Class weights, masked loss, temperatures and thresholds: blanks and one-class labels change nothing."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch.nn import functional

from orthodx.networks.heads.pooled import masked_bce
from orthodx.training.diagnosis.calibration import fit_temperature, fit_thresholds, positive_weights

NAN = np.nan


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def drawn(n, temperature, seed=0):
    """Logits that are `temperature` times too large, and truths that follow the right ones."""
    rng = np.random.default_rng(seed)
    right = rng.normal(0, 2, (n, 1))
    return right * temperature, (rng.random((n, 1)) < sigmoid(right)).astype(float)


def youden(p, y, threshold):
    called = p >= threshold
    return called[y == 1].mean() + (~called)[y == 0].mean() - 1


def test_a_rare_positive_counts_as_much_as_all_negatives_together():
    truth = np.full((30, 5), NAN)
    truth[:10, 0] = [1, 1, *[0] * 8]
    truth[:, 1] = [1, *[0] * 29]
    truth[:, 2] = [0, *[1] * 29]
    truth[:5, 3] = 1
    weights = positive_weights(truth)
    assert weights.dtype == np.float32
    assert weights.tolist() == pytest.approx([4, 10, 0.1, 1, 1])


def test_known_cells_are_averaged_and_blank_ones_give_no_gradient():
    logits = torch.tensor([[2.0, -1.0], [0.5, float("inf")]], requires_grad=True)
    truth = torch.tensor([[1.0, 0.0], [0.0, NAN]])
    weight = torch.tensor([3.0, 1.0])
    loss = masked_bce(logits, truth, weight)
    known = [functional.softplus(torch.tensor(x)) for x in (-2.0, -1.0, 0.5)]
    assert float(loss.detach()) == pytest.approx(float(3 * known[0] + known[1] + known[2]) / 3, rel=1e-6)
    loss.backward()
    assert logits.grad[1, 1] == 0
    assert (logits.grad[truth.isfinite()] != 0).all()


def test_a_batch_of_blanks_is_0_and_can_be_stepped():
    logits = torch.zeros(2, 3, requires_grad=True)
    loss = masked_bce(logits * 2, torch.full((2, 3), NAN), torch.ones(3))
    loss.backward()
    assert float(loss.detach()) == 0
    assert torch.equal(logits.grad, torch.zeros(2, 3))


def test_low_precision_logits_are_weighed_in_float32():
    loss = masked_bce(torch.full((1, 1), 90.0).bfloat16(), torch.zeros(1, 1), torch.ones(1))
    assert loss.dtype == torch.float32
    assert float(loss) == pytest.approx(90)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_temperature_of_overconfident_logits_is_found(temperature):
    logits, truth = drawn(4000, temperature)
    truth[::7] = NAN
    assert fit_temperature(logits, truth) == pytest.approx([temperature], rel=0.1)


def test_calibrated_probabilities_come_true_and_keep_their_order():
    logits, truth = drawn(4000, 3.0, seed=1)
    calibrated = sigmoid(logits / fit_temperature(logits, truth))
    high = calibrated > 0.8
    assert truth[high].mean() == pytest.approx(calibrated[high].mean(), abs=0.03)
    assert sigmoid(logits)[high].mean() > truth[high].mean() + 0.05
    np.testing.assert_array_equal(np.argsort(calibrated, 0), np.argsort(logits, 0))


def test_a_label_with_one_class_or_few_cases_keeps_its_logits():
    logits, truth = (np.tile(x, (1, 5)) for x in drawn(40, 3.0))
    truth[:, 1], truth[:, 2], truth[9:, 3], logits[:, 4] = 1, NAN, NAN, 0
    temperatures = fit_temperature(logits, truth)
    assert temperatures[0] > 1.5
    assert temperatures[1:].tolist() == [1, 1, 1, 1]


def test_classes_told_apart_perfectly_do_not_become_certain():
    logits = np.linspace(-1, 1, 20)[:, None]
    probability = sigmoid(logits / fit_temperature(logits, (logits > 0).astype(float)))
    assert 0.9 < probability.max() < 0.9999


def test_a_threshold_lies_midway_between_the_classes():
    p = np.array([[0.1, 0.9], [0.2, 0.3], [0.3, 0.8], [0.7, 0.2], [0.9, 0.1], [NAN, 0.5]])
    y = np.array([[0, NAN], [0, 0], [0, 1], [1, 0], [1, 0], [0, NAN]])
    found = fit_thresholds(p, y, ["ACL", "MM"])
    assert found == pytest.approx({"ACL": 0.5, "MM": 0.55})
    assert all(type(t) is float for t in found.values())


def test_a_label_that_cannot_be_fitted_gets_one_half_and_is_named():
    p = np.array([[0.1, 0.9, 0.1, 0.4, 0.2], [0.2, 0.8, 0.2, 0.4, 0.7]])
    y = np.array([[0, 1, NAN, 0, 1], [0, 1, NAN, 1, 0]])
    said = []
    found = fit_thresholds(p, y, ["none", "all", "blank", "constant", "reversed"], say=said.append)
    assert set(found.values()) == {0.5}
    assert said == [
        "none: threshold 0.5, not fitted: all 2 known cases are negative in validation",
        "all: threshold 0.5, not fitted: all 2 known cases are positive in validation",
        "blank: threshold 0.5, not fitted: none is known in validation",
        "constant: threshold 0.5, not fitted: no threshold is better than chance in validation",
        "reversed: threshold 0.5, not fitted: no threshold is better than chance in validation",
    ]


def test_a_label_no_better_than_chance_at_the_specificity_asked_for_keeps_its_threshold():
    y = np.repeat([0.0, 1.0], 20)[:, None]
    p = np.where(y == 1, 0.6, 0.2)
    p[[0, 1, 2], 0] = 0.95, 0.96, 0.97  # three healthy ones above all ill ones
    said = []
    kept = {"otherwise": {"MM": 0.3}, "say": said.append}
    assert fit_thresholds(p, y, ["MM"], specificity=0.9, **kept) == {"MM": 0.3}
    assert said == [
        "MM: threshold 0.3, not fitted: no threshold with a specificity of 0.9 is better than chance in validation"
    ]
    assert fit_thresholds(p, y, ["MM"], specificity=0.8, **kept) == pytest.approx({"MM": 0.4})


probabilities = arrays(np.float64, st.integers(2, 30), elements=st.floats(0, 1))


@settings(max_examples=150, deadline=None)
@given(probabilities, st.data())
def test_no_other_threshold_is_better(p, data):
    y = data.draw(arrays(np.float64, len(p), elements=st.sampled_from((0.0, 1.0))))
    threshold = fit_thresholds(p[:, None], y[:, None], ["ACL"], say=lambda line: None)["ACL"]
    assert 0 < threshold < 1
    inside = p[(p > 1e-9) & (p < 1 - 1e-9)]
    gaps = np.diff(np.unique(p))
    if 0 < y.sum() < len(y) and (gaps > 1e-9).all() and len(gaps):
        best = max(youden(p, y, t) for t in (*inside, *(np.unique(p)[1:] - gaps / 2)))
        assert best <= max(youden(p, y, threshold), 0) + 1e-12


@settings(max_examples=60, deadline=None)
@given(arrays(np.float32, st.integers(1, 30), elements=st.floats(-30, 30, width=32)), st.data())
def test_any_temperature_is_positive_and_never_worse_than_none(logits, data):
    y = data.draw(arrays(np.float64, len(logits), elements=st.sampled_from((0.0, 1.0, NAN))))
    (temperature,) = fit_temperature(logits[:, None], y[:, None])
    assert 0.1 <= temperature <= 10
    if np.nansum(y == 1) > 0 and np.nansum(y == 0) > 0:
        positives, negatives, z = (y == 1).sum(), (y == 0).sum(), logits.astype(float)[~np.isnan(y)]
        target = np.where(y == 1, (positives + 1) / (positives + 2), 1 / (negatives + 2))[~np.isnan(y)]

        def loss(t):
            return np.mean(np.logaddexp(0, z / t) - target * z / t)

        assert loss(temperature) <= loss(1.0) + 1e-12
