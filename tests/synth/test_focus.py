"""Crops taken on purpose show the lesion, or the place where it could be, also in mirrored and bent knees."""

import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from orthodx.errors import UsageError
from orthodx.grid.spec import GridSpec
from orthodx.joints import View
from orthodx.synth import grammar
from orthodx.synth.anatomy_bank import AnatomyBank
from orthodx.synth.deformation import random_deformation
from orthodx.synth.focus import Focus
from orthodx.synth.knee import SYNTHETIC
from orthodx.synth.knee.lesions import VALUES
from orthodx.synth.source import SyntheticSource

source_module = sys.modules[SyntheticSource.__module__]


@pytest.fixture(scope="module")
def bank(torn_bank):
    return AnatomyBank(torn_bank)


def test_a_deformation_is_undone():
    for seed in range(20):
        rng = np.random.default_rng(seed)
        shape = random_deformation(rng)
        point = rng.uniform(-60, 60, 3)
        back = shape(torch.from_numpy(shape.inverse(point)[None]).float())[0].numpy()
        np.testing.assert_allclose(back, point, atol=0.01)


def test_half_of_the_places_are_lesions_though_one_knee_in_four_has_one(bank):
    found = [Focus(bank, 1.0, ("MM",))(np.random.default_rng(i)) for i in range(200)]
    hurt = [point for which, point in found if which == 0]
    assert 75 < len(hurt) < 125
    np.testing.assert_allclose(np.mean(hurt, 0), (-39.75, -9.75, -3.75), atol=2)
    well = [point for which, point in found if which != 0]
    np.testing.assert_allclose(np.mean(well, 0), (-39.75, -9.75, -3.75), atol=3)


@pytest.mark.parametrize("view", View)
def test_crops_hold_what_they_aim_at(bank, view):
    source = SyntheticSource(bank, GridSpec(), (12, 48, 48), seed=2, truth="both", focus=Focus(bank, 1.0, ("MM",)))
    samples = [source[i, view][1] for i in range(24)]
    assert sum(bool((s[0] == 8).any()) for s in samples) >= 22
    assert 6 <= sum(bool((s[1] == VALUES["MM"]).any()) for s in samples) <= 18
    plain = SyntheticSource(bank, GridSpec(), (12, 48, 48), seed=2, truth="both")
    assert sum(bool((plain[i, view][1][1] == VALUES["MM"]).any()) for i in range(24)) < 6


def test_the_other_samples_are_those_drawn_without_focus(bank):
    plain = SyntheticSource(bank, GridSpec(), (4, 32, 32), seed=2, truth="lesions")
    some = SyntheticSource(bank, GridSpec(), (4, 32, 32), seed=2, truth="lesions", focus=Focus(bank, 0.5, ("MM",)))
    same = [torch.equal(plain[i, View.AXIAL][0], some[i, View.AXIAL][0]) for i in range(20)]
    assert 4 < sum(same) < 16


@pytest.mark.parametrize(
    ("share", "labels", "word"),
    [
        (0.5, ("MN",), "no lesion is called 'MN'"),
        (0.5, ("LM",), "0 of 4 knees have LM"),
        (1.5, ("MM",), "share of 1.5"),
    ],
)
def test_what_cannot_be_balanced_is_refused(bank, share, labels, word):
    with pytest.raises(UsageError, match=word):
        Focus(bank, share, labels)


@pytest.mark.parametrize("side", ["right", "left"])
def test_crops_taken_on_purpose_lie_in_the_turned_planes_of_their_joint(bank, monkeypatch, side):
    turned = replace(SYNTHETIC, turns={View.CORONAL: 40.0}, side_of=lambda tissues: side)
    monkeypatch.setitem(grammar.REGISTERED, "knee", turned)
    planes = []
    render = source_module.render
    monkeypatch.setattr(source_module, "render", lambda *given: planes.append(given[2].plane) or render(*given))
    for focus in (None, Focus(bank, 1.0, ("MM",))):
        _ = SyntheticSource(bank, GridSpec(), (4, 32, 32), seed=2, focus=focus)[1, View.CORONAL]
    anywhere, aimed = (plane.affine[:3, :3] for plane in planes)
    np.testing.assert_allclose(anywhere, aimed)
    off = np.rad2deg(np.arctan2(*np.abs(aimed[:2, 0])))
    assert 25 < off < 55
