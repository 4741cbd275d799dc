"""Uneven tissue and uneven fat: the image changes where the tissue is, the truth nowhere."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from orthodx.joints import View
from orthodx.synth.artefacts import shifted
from orthodx.synth.deformation import NO_DEFORMATION
from orthodx.synth.grammar import synthetic
from orthodx.synth.knee.tissues import TISSUES
from orthodx.synth.mottling import HABITS, Habit, Mottle, random_mottles
from orthodx.synth.scanner import make_plane, random_contrast, render, sample_scan
from orthodx.synth.signals import sequence_signal, water_excited_signal

SPACING = (3.0, 1.0, 1.0)
SHAPE = (12, 96, 96)


@pytest.fixture(scope="module")
def plain():
    """A clean acquisition: no noise, texture or shading, so that a change is the mottle's."""
    rng = np.random.default_rng(0)
    plane = make_plane(View.SAGITTAL, SHAPE, (3.0, 1.5), 3.0, np.zeros(3))
    params = sample_scan(rng, plane, sequence_signal(TISSUES, "PD", 3000, 30, 3.0, False), 1e-6)
    return replace(
        params, shading=np.zeros((3, 3, 3), np.float32), texture=0.0, blur_px=(0.0, 0.0), gamma=1.0,
        fat_shift_px=(0.0, 0.0), gibbs_keep=1.0, ghost=(0, 0.0), wrap_rows=0,
    )  # fmt: skip


def seen(knee, params):
    return render(torch.from_numpy(knee.tissues), knee.affine, params, NO_DEFORMATION, TISSUES)


@pytest.mark.parametrize("line", [True, False])
def test_a_mottle_changes_its_tissue_only_and_no_truth(knee, plain, line):
    femur = Mottle((TISSUES["femur"],), TISSUES["muscle"], 0.8, (3, 8, 8), line, 0.3, seed=5)
    before, truth = seen(knee, plain)
    after, same = seen(knee, replace(plain, mottles=(femur,)))
    assert torch.equal(truth, same)
    bone = (truth == 1)[None].float()
    near = torch.nn.functional.max_pool3d(bone, 3, 1, 1)[0] > 0  # a slice holds what lies beside it, too
    tissue = ~near & (before > 0.05)
    scale = (before / after)[tissue].median()  # images are scaled to their bright tissue
    assert torch.allclose(before[tissue], after[tissue] * scale, rtol=1e-3, atol=1e-3)
    assert ((before - after * scale)[bone[0] > 0].abs() > 0.05).any()


@pytest.mark.parametrize("line", [True, False])
def test_patterns_keep_within_their_strength_and_come_again(line):
    mottle = Mottle((1,), 25, 0.6, (2, 6, 6), line, 0.2, seed=3)
    pattern = mottle.pattern(SHAPE, torch.device("cpu"))
    assert pattern.shape == SHAPE
    assert 0 <= float(pattern.min()) <= float(pattern.max()) <= 0.6 + 1e-6
    assert 0.02 < float((pattern > 0.3).float().mean()) < 0.5
    assert torch.equal(pattern, mottle.pattern(SHAPE, torch.device("cpu")))
    assert not torch.equal(pattern, replace(mottle, seed=4).pattern(SHAPE, torch.device("cpu")))


def test_a_mottle_of_full_strength_takes_on_the_other_signal(knee, plain):
    values = tuple(v for name, v in TISSUES.items() if name != "air")
    everywhere = Mottle(values, TISSUES["fluid"], 1.0, (99, 99, 99), True, 1e6, seed=0)
    image, truth = seen(knee, replace(plain, mottles=(everywhere,)))
    inside = image[truth > 0]
    assert float(inside.std() / inside.mean()) < 0.02


@pytest.mark.parametrize("joint", ["knee", "ankle", "shoulder"])
def test_every_habit_is_drawn_for_every_joint_that_has_its_tissue(joint):
    tissues, rng = synthetic(joint).tissues, np.random.default_rng(1)
    drawn = [mottle for _ in range(60) for mottle in random_mottles(rng, tissues, SPACING)]
    kinds = {tissues_of(tissues, habit) for habit in HABITS} - {()}
    assert {mottle.values for mottle in drawn} == kinds
    assert all(0 < mottle.strength <= 1 and min(mottle.grain_px) > 0 for mottle in drawn)


def tissues_of(tissues, habit):
    made = random_mottles(np.random.default_rng(0), tissues, SPACING, [replace(habit, chance=1.0)])
    return made[0].values if made else ()


def test_a_habit_of_a_tissue_that_a_joint_lacks_is_left_out():
    rng = np.random.default_rng(0)
    habit = Habit("fat_pad", "no such tissue", 1.0, (1, 1), (3, 3), True, (0.1, 0.1))
    assert random_mottles(rng, TISSUES, SPACING, [habit]) == ()


@pytest.mark.parametrize("by", [(0.0, 0.0), (2.0, 0.0), (0.0, -1.0), (1.25, 0.0), (0.0, -2.5)])
def test_chemical_shift_moves_by_parts_of_a_pixel_along_either_axis(by):
    image = torch.zeros(1, 21, 21)
    image[0, 10, 10] = 1.0
    moved = shifted(image, by)
    index = torch.arange(21.0)
    middle = (float((moved.sum((0, 2)) * index).sum()) - 10, float((moved.sum((0, 1)) * index).sum()) - 10)
    assert middle == pytest.approx(by, abs=1e-4)
    assert float(moved.sum()) == pytest.approx(1.0)


def test_water_excitation_darkens_marrow_and_lets_fluid_shine():
    rng = np.random.default_rng(2)
    for _ in range(20):
        signal = water_excited_signal(rng, TISSUES)
        of = {name: signal[value] for name, value in TISSUES.items()}
        assert max(of["femur"], of["fat"]) < 0.35
        assert of["fluid"] > 0.7 * of["femoral_cartilage"]
        assert of["muscle"] > 0.9 * of["femur"]


def test_shares_of_contrasts_are_what_was_asked_for():
    rng = np.random.default_rng(0)
    marrow, muscle = TISSUES["femur"], TISSUES["muscle"]
    all_excited = [random_contrast(rng, TISSUES, 0.0, 1.0) for _ in range(40)]
    assert all(signal[marrow] < signal[muscle] * 1.2 for signal in all_excited)
    none_excited = [random_contrast(rng, TISSUES, 0.0, 0.0) for _ in range(40)]
    assert any(signal[marrow] > signal[muscle] * 1.2 for signal in none_excited)


def test_fat_may_be_suppressed_unevenly(knee, plain):
    left = np.zeros((2, 3, 3), np.float32)
    left[:, 0] = -4.0  # hardly any fat is left at the top
    before, _ = seen(knee, plain)
    after, _ = seen(knee, replace(plain, fat_unevenness=left))
    top, bottom = slice(None, 20), slice(-20, None)
    change = [float(after[:, rows].mean() / before[:, rows].mean()) for rows in (top, bottom)]
    assert change[0] < 0.8 * change[1]
