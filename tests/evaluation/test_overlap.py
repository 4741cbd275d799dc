"""Dice against MONAI and by hand; patients, not series, are resampled."""

import math

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.metrics import compute_dice

from orthodx.errors import StudyError
from orthodx.evaluation.overlap import dice_by_structure, on_grid_of
from orthodx.evaluation.resampling import patient_mean
from orthodx.studies.volume import Volume

c, s = math.cos(math.radians(1.15)), math.sin(math.radians(1.15))  # of a small turn


def test_dice_agrees_with_monai():
    rng = np.random.default_rng(0)
    found, truth = rng.integers(0, 4, (2, 5, 6, 7))
    one_hot = [torch.nn.functional.one_hot(torch.tensor(x), 4).movedim(-1, 0)[None] for x in (found, truth)]
    wanted = compute_dice(*one_hot)[0].tolist()
    assert list(dice_by_structure(found, truth, range(4)).values()) == pytest.approx(wanted, abs=1e-6)


def test_empty_structures_are_told_apart():
    a, b = np.zeros((2, 2, 2), int), np.zeros((2, 2, 2), int)
    a[0, 0, 0], b[1, 1, 1] = 1, 2
    dice = dice_by_structure(a, b, (1, 2, 3))
    assert (dice[1], dice[2]) == (0.0, 0.0)
    assert math.isnan(dice[3])


def test_a_mask_on_another_grid_is_refused():
    shifted = np.eye(4)
    shifted[0, 3] = 1.0
    one, two = (Volume(np.zeros((9, 10, 11), np.uint8), a, "x.nii.gz") for a in (np.eye(4), shifted))
    on_grid_of(one, one, "case")
    with pytest.raises(StudyError, match="case"):
        on_grid_of(one, two, "case")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda a: np.diag([0.404, 0.404, 3.0, 1]), "5.1 mm off"),
        (lambda a: np.add(a, np.outer([1, 0, 0, 0], [0, 0, 0, 0.2])), "0.2 mm off"),
        (lambda a: np.diag([-0.395, 0.395, 3.0, 1]), "157.6 mm off"),
        (lambda a: [[c, -s, 0, 0], [s, c, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]] @ a, "4.5 mm off"),
    ],
)
def test_a_mask_is_refused_by_where_its_corners_lie(change, reason):
    affine, shape = np.diag([0.395, 0.395, 3.0, 1]), (400, 400, 20)
    truth = Volume(np.broadcast_to(np.uint8(0), shape), affine, "x.nii.gz")
    on_grid_of(Volume(truth.data, affine + 5e-5, "x.nii.gz"), truth, "case")
    with pytest.raises(StudyError, match=f"case: the mask's .*{reason}"):
        on_grid_of(Volume(truth.data, np.asarray(change(affine)), "x.nii.gz"), truth, "case")


@pytest.mark.parametrize("turn", [[[0, -1], [1, 1], [2, 1]], [[1, 1], [0, 1], [2, -1]], [[2, -1], [0, 1], [1, -1]]])
def test_a_mask_whose_axes_run_another_way_is_scored_where_it_lies(turn):
    tilt = nib.eulerangles.euler2mat(0.1, 0.2, 0.3)
    affine = np.block([[tilt @ np.diag([0.4, 0.5, 3.0]), np.array([[5.0], [6], [7]])], [0, 0, 0, 1]])
    truth = Volume(np.random.default_rng(0).integers(0, 12, (9, 11, 10)).astype(np.uint8), affine, "x.nii.gz")
    stored = nib.Nifti1Image(truth.data, affine).as_reoriented(turn)
    mask = on_grid_of(Volume(np.asarray(stored.dataobj), stored.affine, "y.nii.gz"), truth, "case")
    np.testing.assert_array_equal(mask.data, truth.data)
    np.testing.assert_allclose(mask.affine, affine, atol=1e-9)
    elsewhere = stored.affine.copy()
    elsewhere[0, 3] += 1
    with pytest.raises(StudyError, match=r"1\.0 mm off"):
        on_grid_of(Volume(np.asarray(stored.dataobj), elsewhere, "y.nii.gz"), truth, "case")


def test_two_series_of_a_patient_count_once_and_nan_is_left_out():
    values, patients = [1.0, 0.0, 0.5, float("nan")], ["a", "a", "b", "c"]
    estimate = patient_mean(values, patients)
    assert estimate.value == 0.5
    assert estimate.patients == 2
    assert estimate.low == estimate.high == 0.5
    assert math.isnan(patient_mean([0.3], ["a"]).low)


def test_the_interval_has_the_width_of_theory():
    values = np.random.default_rng(1).normal(0, 1, 400)
    estimate = patient_mean(list(values), [str(i) for i in range(400)])
    assert (estimate.high - estimate.low) / 2 == pytest.approx(1.96 / 20, rel=0.12)
