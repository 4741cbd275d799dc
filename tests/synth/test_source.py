"""Training samples reach further than a clinic: thick slices, any light, T1 with dark fluid; the truth stays."""

from collections import Counter

import numpy as np
import pytest
import torch

from orthodx.grid.spec import GridSpec
from orthodx.joints import View
from orthodx.synth import source as module
from orthodx.synth.knee.tissues import TISSUES
from orthodx.synth.signals import SEQUENCES, random_sequence_signal
from orthodx.synth.source import THICKEST_MM, SyntheticSource


@pytest.fixture
def source(knee):
    return SyntheticSource([(knee.tissues, knee.affine)], GridSpec(), crop=(6, 48, 48), seed=4)


def test_slices_are_as_thick_as_any_but_mostly_as_in_a_clinic(source, monkeypatch):
    seen, plane = [], module.make_plane
    monkeypatch.setattr(module, "make_plane", lambda *a: seen.append(a[2][0]) or plane(*a))
    for i in range(60):
        source[i, View.CORONAL]
    assert max(seen) > 6.5
    assert max(seen) <= THICKEST_MM
    assert 0.6 < np.mean([2.4 <= s <= 4.6 for s in seen]) < 0.95


def test_inverted_samples_show_the_same_anatomy_with_bright_and_dark_exchanged(source, monkeypatch):
    monkeypatch.setattr(module, "INVERTED", 0.0)
    plain = [source[i, View.SAGITTAL] for i in range(6)]
    monkeypatch.setattr(module, "INVERTED", 1.0)
    asked = 0
    for i, (image, truth) in enumerate(plain):
        other, same = source[i, View.SAGITTAL]
        assert torch.equal(truth, same)
        inside = (image > -0.999) & (other > -0.999)
        if inside.sum() > 500 and float(image[inside].std()) > 0.02:
            assert float(torch.corrcoef(torch.stack([image[inside], other[inside]]))[0, 1]) < -0.9
            asked += 1
    assert asked >= 3


def test_another_light_leaves_every_other_number_alone(source, monkeypatch):
    lit = [source[i, View.AXIAL] for i in range(12)]
    monkeypatch.setattr(module, "_in_another_light", lambda params, rng: params)
    plain = [source[i, View.AXIAL] for i in range(12)]
    assert all(torch.equal(a[1], b[1]) for a, b in zip(lit, plain, strict=True))
    changed = [not torch.equal(a[0], b[0]) for a, b in zip(lit, plain, strict=True)]
    assert 2 <= sum(changed) <= 10


def test_sequences_set_at_random_order_tissues_as_physics_does():
    dark_fluid, names = 0, Counter()
    for seed in range(200):
        rng = np.random.default_rng(seed)
        names[str(np.random.default_rng(seed).choice(list(SEQUENCES), p=[row[0] for row in SEQUENCES.values()]))] += 1
        signal = random_sequence_signal(rng, TISSUES)
        assert signal.shape == (256,)
        assert np.isfinite(signal).all()
        assert (signal >= 0).all()
        dark_fluid += signal[TISSUES["fluid"]] < signal[TISSUES["femoral_cartilage"]]
    assert set(names) == set(SEQUENCES)
    assert 40 < dark_fluid < 140  # T1 shows fluid darker than cartilage; `mr_like_signal` hardly ever does
