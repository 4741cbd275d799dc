"""Planes that place a thin structure differently: the mask takes what is expected to overlap best, bones stay."""

import numpy as np
import pytest
import torch

from orthodx.grid.canonical import from_grid, to_grid
from orthodx.grid.spec import GridSpec
from orthodx.inference.decision import HAZE, LEAST, MOST, best_threshold, by_expected_overlap, mask_of
from orthodx.joints import KNEE, View
from orthodx.studies.volume import Volume

CLASS = {name: k for k, name in enumerate(KNEE.names.values(), start=1)}


def blob(peak, seed=0, shape=(10, 40, 40), width=5.0):
    """Probabilities that fall from a middle."""
    at = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1) - np.array(shape) / 2
    rough = np.random.default_rng(seed).normal(0, 0.02, shape)
    return torch.from_numpy(np.clip(peak * np.exp(-np.square(at).sum(-1) / (2 * width**2)) + rough, 0, 1)).float()


def expected_dice(chance, threshold, draws=200):
    """Mean Dice of a mask with truths drawn cell by cell: no formula."""
    mask, rng = (chance >= threshold).numpy(), np.random.default_rng(1)
    truths = (rng.random((draws, *chance.shape)) < np.where(chance > HAZE, chance, 0)).reshape(draws, -1)
    mask = mask.ravel()
    return float(np.mean(2 * (truths & mask).sum(1) / (truths.sum(1) + mask.sum())))


@pytest.mark.parametrize("peak", [0.35, 0.5, 0.7])
def test_no_other_threshold_overlaps_better_on_average(peak):
    chance = blob(peak)
    best = best_threshold(chance)
    assert LEAST <= best < MOST
    reached = expected_dice(chance, best)
    for other in np.arange(LEAST, MOST + 0.001, 0.05):
        assert reached >= expected_dice(chance, other) - 0.004, other
    assert best == pytest.approx(reached / 2, abs=0.02), "half of the Dice that can be had"


def test_sure_structures_are_taken_as_they_are():
    sure = (blob(1.0, width=8) > 0.5).float() * 0.98 + 0.001
    assert ((sure >= best_threshold(sure)) == (sure >= MOST)).all()


def test_what_is_hardly_anywhere_stays_away():
    assert best_threshold(torch.zeros(4, 20, 20)) == MOST
    few = torch.zeros(4, 20, 20)
    few[0, 0, :30] = 0.3
    assert best_threshold(few) == MOST


def unsure(name, peak=0.4):
    """Probabilities (12, D, H, W) of one structure, background elsewhere."""
    out = torch.zeros(12, 10, 40, 40)
    out[CLASS[name]] = blob(peak)
    out[0] = 1 - out[CLASS[name]]
    return out


def test_only_soft_structures_are_weighed():
    assert by_expected_overlap(unsure("acl"), KNEE)[CLASS["acl"]] > 1.2
    assert by_expected_overlap(unsure("patella"), KNEE).tolist() == [1.0] * 12


def test_several_planes_find_what_none_is_sure_of(monkeypatch):
    monkeypatch.setattr("orthodx.inference.decision.as_anatomy", lambda labels, *_: labels)
    image = np.random.default_rng(0).random((10, 40, 40)).astype(np.float32)
    volume = Volume(image, np.diag([3.0, 1.0, 1.0, 1.0]) @ np.eye(4), "x")
    grid = to_grid(volume, GridSpec(pixel_mm=1.0), View.SAGITTAL)
    value = {name: v for v, name in KNEE.names.items()}
    shown = torch.zeros(12, *grid.image.shape)
    shown[0] = 1
    top, left = ((n - 40) // 2 for n in shown.shape[2:])
    for name, peak in (("acl", 0.48), ("patella", 0.48)):
        probabilities = shown.clone()
        probabilities[CLASS[name], :, top : top + 40, left : left + 40] = blob(peak)
        probabilities[0] = 1 - probabilities[CLASS[name]]
        alone = mask_of(probabilities, grid, volume, KNEE)
        together = mask_of(probabilities, grid, volume, KNEE, several=True)
        assert (alone == value[name]).sum() < 60, "noise at the peak"
        assert ((together == value[name]).sum() > 300) == (name == "acl")
        assert together.shape == volume.shape


def test_weights_are_those_of_the_classes_at_each_cell():
    volume = Volume(np.random.default_rng(0).random((6, 32, 32)).astype(np.float32), np.diag([3.0, 1, 1, 1]), "x")
    grid = to_grid(volume, GridSpec(pixel_mm=1.0), View.SAGITTAL)
    p = torch.rand(3, *grid.image.shape).softmax(0)
    weights = torch.tensor([1.0, 1.3, 0.8])
    np.testing.assert_array_equal(from_grid(p, grid, weights), from_grid(p * weights[:, None, None, None], grid))
