"""A procedural knee is a knee: sizes, neighbours, sides, replay."""

import numpy as np
import pytest
from scipy import ndimage

from orthodx.joints import KNEE
from orthodx.synth.knee.procedural import build_knee, sample_shape
from orthodx.synth.knee.tissues import TISSUES


def structures(anatomy):
    return TISSUES.structure_of[anatomy.tissues]


def centre(anatomy, value):
    index = np.argwhere(structures(anatomy) == value).mean(0)
    return anatomy.affine[:3, :3] @ index + anatomy.affine[:3, 3]


def test_every_structure_has_a_plausible_volume(knee):
    voxel = knee.spacing_mm**3 / 1000
    for value, name, (low, high) in ((s.value, s.name, s.plausible_ml) for s in KNEE.structures):
        assert low <= (structures(knee) == value).sum() * voxel <= high, name


def test_bones_lie_as_in_life(knee):
    femur, tibia, fibula, patella = (centre(knee, v) for v in (1, 2, 3, 4))
    lateral = 1 if knee.side == "right" else -1
    assert femur[2] > tibia[2]
    assert patella[1] > femur[1]
    assert (fibula[0] - tibia[0]) * lateral > 10
    assert (centre(knee, 9)[0] - centre(knee, 8)[0]) * lateral > 20


@pytest.mark.parametrize(("cartilage", "bone"), [(5, 1), (6, 2), (7, 4)])
def test_cartilage_lies_on_its_bone(knee, cartilage, bone):
    labels = structures(knee)
    distance = ndimage.distance_transform_edt(labels != bone, sampling=knee.spacing_mm)
    assert distance[labels == cartilage].max() < 8
    touching = ndimage.binary_dilation(labels == bone) & (labels == cartilage)
    assert touching.sum() > 0.2 * (labels == cartilage).sum()


def test_bones_do_not_touch_each_other(knee):
    labels = structures(knee)
    assert not (ndimage.binary_dilation(labels == 1) & (labels == 2)).any()
    assert not (ndimage.binary_dilation(labels == 4) & (labels == 1)).any()


def test_the_limb_is_wrapped_in_skin_and_air(knee):
    outside = knee.tissues == TISSUES["air"]
    for name in ("femur", "muscle", "fluid"):
        inside = ndimage.binary_dilation(knee.tissues == TISSUES[name])
        assert not (inside & outside)[:, :, 8:-8].any(), name


def test_shape_parameters_replay_a_knee_and_sides_mirror():
    shape = sample_shape(np.random.default_rng(3))
    right, again = build_knee(shape, 2.5), build_knee(shape, 2.5)
    left = build_knee(shape, 2.5, side="left")
    np.testing.assert_array_equal(right.tissues, again.tissues)
    np.testing.assert_array_equal(right.tissues, left.tissues[::-1])
    assert centre(left, 3)[0] == pytest.approx(-centre(right, 3)[0], abs=1e-3)
