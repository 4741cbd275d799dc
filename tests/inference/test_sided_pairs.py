"""Menisci are named by their side in the world, whatever the array axes."""

import numpy as np
import pytest

from orthodx.inference.sided_pairs import settle_pairs
from orthodx.joints import KNEE, SHOULDER

MM = 2.0


def knee(side=1, plateau=72):
    """Tibia, fibula and menisci (8 medial, 9 lateral) as boxes; lateral at +x for side=1. RAS, origin mid-joint."""
    labels = np.zeros((60, 40, 50), np.uint8)
    x = ((np.arange(60) - 29.5) * MM * side)[:, None, None]
    y = ((np.arange(40) - 19.5) * MM)[None, :, None]
    z = ((np.arange(50) - 30) * MM)[None, None, :]
    labels[(np.abs(x) < plateau / 2) & (np.abs(y) < 20) & (z < 0)] = 2
    labels[(x > 36) & (x < 46) & (np.abs(y) < 8) & (z < -16)] = 3
    for value, sign in ((8, -1), (9, 1)):
        labels[(x * sign > 8) & (x * sign < 34) & (np.abs(y) < 16) & (z >= 0) & (z < 6)] = value
    affine = np.diag([MM, MM, MM, 1.0])
    affine[:3, 3] = -29.5 * MM, -19.5 * MM, -60
    return labels, affine


@pytest.mark.parametrize("side", [1, -1])
@pytest.mark.parametrize("axis", [None, 0, 1, 2])
def test_a_part_read_as_the_other_meniscus_is_put_right(side, axis):
    truth, affine = knee(side)
    read = truth.copy()
    medial = np.argwhere(read == 8)
    read[tuple(medial[: len(medial) // 3].T)] = 9
    if axis is not None:  # the same knee stored the other way round
        read, truth = np.flip(read, axis), np.flip(truth, axis)
        affine = affine.copy()
        affine[:3, 3] += affine[:3, axis] * (read.shape[axis] - 1)
        affine[:3, axis] *= -1
    np.testing.assert_array_equal(settle_pairs(read, affine, KNEE), truth)


def test_the_fibula_decides_when_the_votes_are_even():
    truth, affine = knee()
    read = truth.copy()
    read[(truth == 8) | (truth == 9)] = 8
    np.testing.assert_array_equal(settle_pairs(read, affine, KNEE), truth)
    read[read == 3] = 0
    np.testing.assert_array_equal(settle_pairs(read, affine, KNEE), read)


def test_half_a_knee_is_left_as_it_was_read():
    labels, affine = knee(plateau=50)
    labels[labels == 9] = 8
    np.testing.assert_array_equal(settle_pairs(labels, affine, KNEE), labels)


def test_other_joints_and_empty_masks_pass_through():
    labels, affine = knee()
    np.testing.assert_array_equal(settle_pairs(labels, affine, SHOULDER), labels)
    empty = np.zeros_like(labels)
    np.testing.assert_array_equal(settle_pairs(empty, affine, KNEE), empty)
