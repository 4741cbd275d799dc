"""A bone that was moved is found where it was, on any grid, and another bone is not taken for it."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from orthodx.evaluation.bone_registration import register
from orthodx.studies.volume import Volume

TURN = Rotation.from_euler("xyz", [6, -4, 8], degrees=True)
SHIFT = np.array([11.0, -7.0, 5.0])


def scan(spacing, shape, turn=None, shift=(0, 0, 0), longer=0.0, value=2):
    """A label map of a bone with head, neck and a shaft that leaves the field of view, moved in the world."""
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = -(np.array(shape) - 1) * spacing / 2
    at = np.indices(shape).reshape(3, -1).T * spacing + affine[:3, 3]
    p = (turn or Rotation.identity()).inv().apply(at - shift)
    head = ((p - [6, 4, -10]) / [20 + longer, 15, 16]) ** 2
    shaft = np.hypot((p[:, 0] + 4) / 9, p[:, 1] / 8) + (p[:, 2] < -12) * 9
    inside = (head.sum(1) < 1) | (shaft < 1)
    return Volume((inside.reshape(shape) * value).astype(np.uint8), affine, "bone")


FINE, SAGITTAL, CORONAL = (
    ((1.0, 1.0, 1.0), (90, 90, 90)),
    ((3.5, 0.6, 0.6), (26, 150, 150)),
    ((0.7, 4, 0.7), (130, 23, 130)),
)


@pytest.mark.parametrize(("one", "two"), [(FINE, FINE), (SAGITTAL, SAGITTAL), (SAGITTAL, CORONAL)])
def test_the_motion_of_a_bone_is_found(one, two):
    found = register(scan(*one), scan(*two, TURN, SHIFT), 2, -SHIFT + [4, -3, 5])
    assert found is not None
    left = Rotation.from_matrix(found.matrix[:3, :3]) * TURN
    assert np.degrees(left.magnitude()) < 1.0
    landmarks = np.array([[6.0, 4, -10], [-4, 0, 20], [20, 4, -10]])
    np.testing.assert_allclose(found.to_first(TURN.apply(landmarks) + SHIFT), landmarks, atol=0.8)
    np.testing.assert_allclose(found.to_later(found.to_first(landmarks)), landmarks, atol=1e-9)
    assert found.fit_mm < 1.2


def test_a_bone_that_is_not_there_is_not_registered():
    bone = scan(*FINE)
    assert register(bone, scan(*FINE, value=3), 2, np.zeros(3)) is None
    assert register(bone, bone, 4, np.zeros(3)) is None


def test_another_bone_is_not_taken_for_it():
    assert register(scan(*FINE), scan(*FINE, longer=14.0), 2, np.zeros(3)) is None
