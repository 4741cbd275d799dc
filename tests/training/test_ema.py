"""The averaged weights: close behind the live ones at first, then slow."""

import itertools

import pytest
from torch import nn

from orthodx.training.ema import Ema


def averaged(decay, steps):
    """The average of a weight that begins as 0 and is 1 from the first of the optimiser steps `steps` on."""
    module = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(module.weight)
    ema = Ema({"net": module}, decay)
    nn.init.ones_(module.weight)
    for step in steps:
        ema.update(step)
    return float(ema.of("net")["weight"])


@pytest.mark.parametrize(("step", "moved"), [(0, 0.9), (2, 0.75), (8, 0.5)])
def test_the_first_steps_follow_the_live_weights_closely(step, moved):
    assert averaged(0.999, [step]) == pytest.approx(moved)


def test_after_many_steps_the_average_moves_by_what_the_decay_leaves():
    assert averaged(0.999, [100_000]) == pytest.approx(0.001, rel=1e-3)
    assert averaged(0.75, [100_000, 100_001]) == pytest.approx(1 - 0.75**2)


def test_the_decay_grows_to_its_own_value_and_no_further():
    moved = [averaged(0.9, [step]) for step in range(200)]
    assert all(a >= b for a, b in itertools.pairwise(moved))
    assert moved[-1] == pytest.approx(0.1)
