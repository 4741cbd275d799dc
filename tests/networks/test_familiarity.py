"""What a model has learned from is told from what it has not, on features whose spread is known."""

import numpy as np
import pytest
import torch

from orthodx.bundles.model_json import QualityCurve
from orthodx.inference.quality import Firmness, expected_dice, firmness, inputs_of_curve
from orthodx.joints import KNEE, View
from orthodx.networks.familiarity import pooled
from orthodx.trials.familiar import Known, fit_curve, fit_familiarity

WIDTH = 6


def series(rng, patients, mean=0.0):
    """Two series of each patient: correlated features, another level in each view."""
    mix = np.tril(np.ones((WIDTH, WIDTH)))
    for patient in range(patients):
        for level, view in enumerate((View.SAGITTAL, View.AXIAL)):
            yield Known(torch.from_numpy(mix @ rng.normal(mean, 1, WIDTH) + 10 * level), view, f"p{patient}")


@pytest.fixture(scope="module")
def fitted():
    return fit_familiarity(list(series(np.random.default_rng(0), 80)), "up_2", seed=0)


def test_one_in_twenty_known_series_is_strange_to_the_others(fitted):
    familiar, strangeness = fitted
    assert (strangeness > 1).mean() == pytest.approx(0.05, abs=0.01)
    fresh = [familiar.strangeness(one.features, one.view) for one in series(np.random.default_rng(1), 200)]
    assert np.mean(np.array(fresh) > 1) < 0.1
    assert familiar.config.channels == WIDTH // 2


def test_other_series_are_strange_and_so_is_the_level_of_another_view(fitted):
    familiar, _ = fitted
    others = [familiar.strangeness(one.features, one.view) for one in series(np.random.default_rng(2), 50, mean=4.0)]
    assert min(others) > 1
    own = next(iter(series(np.random.default_rng(3), 1)))
    assert familiar.strangeness(own.features, View.AXIAL) > 2


def test_a_margin_moves_the_limit():
    known = list(series(np.random.default_rng(0), 30))
    (one, near), (other, far) = (fit_familiarity(known, "up_2", seed=0, margin=margin) for margin in (1.0, 1.5))
    assert np.allclose(near, 1.5 * far)
    assert one.strangeness(known[0].features, known[0].view) == pytest.approx(
        1.5 * other.strangeness(known[0].features, known[0].view), rel=1e-4
    )


def test_padding_is_not_pooled():
    block, image = torch.zeros(1, 2, 4, 8, 8), torch.full((1, 1, 4, 16, 16), -1.0)
    block[..., :4], image[..., :8] = 3.0, 0.5
    block[:, 1, :2, :, :4] = 1.0
    assert torch.allclose(pooled(block, image), torch.tensor([3.0, 2.0, 0.0, 1.0]), atol=0.01)
    assert torch.isfinite(pooled(block, torch.full_like(image, -1.0))).all()


def test_firm_masks_promise_more():
    first = torch.full((len(KNEE.values), 2, 4, 4), 1e-3)
    first[0], first[1, :, :2] = 0.5, 0.98
    second = first.clone()
    second[1, :, 0], second[0, :, 0] = 0.2, 0.8
    found = firmness(first, second, (first + second) / 2, KNEE)
    assert set(found) == {1}
    assert found[1].agreement == pytest.approx(2 * 8 / (16 + 8))
    assert 0.5 < found[1].promised < 0.95
    alone = firmness(first, first, first, KNEE)[1]
    assert alone.agreement == 1
    assert alone.promised > found[1].promised


def test_a_curve_learns_what_masks_are_worth_and_never_that_strange_is_better():
    rng = np.random.default_rng(0)
    promised, strangeness = rng.uniform(0.2, 0.99, 300), rng.uniform(0.3, 3, 300)
    inputs = np.array([inputs_of_curve(Firmness(0.9, p), s) for p, s in zip(promised, strangeness, strict=True)])
    dice = np.clip(promised - 0.1 + 0.02 * strangeness, 0, 1)  # stranger is a little better here, by chance
    curve = fit_curve(inputs, dice, strangeness < 1)
    expected = np.array([curve.of(x) for x in inputs])
    assert np.corrcoef(expected, dice)[0, 1] > 0.95
    assert curve.weights[3] == 0
    usual = expected[strangeness < 1]
    assert (usual < curve.unsure_below / 0.85).mean() == pytest.approx(0.05, abs=0.02)
    assert fit_curve(inputs[:19], dice[:19], strangeness[:19] < 9) is None
    assert fit_curve(inputs, np.full(300, 0.9), strangeness < 1) is None


def test_without_a_curve_the_quality_is_the_agreement():
    firm = {1: Firmness(0.8, 0.5), 2: Firmness(0.8, 0.5)}
    curves = {"femur": QualityCurve(weights=(0.0, 0.0, 1.0, 0.0), unsure_below=0.4)}
    assert expected_dice(firm, None, curves, KNEE) == {1: pytest.approx(0.5), 2: 0.8}
