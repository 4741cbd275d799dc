"""A procedural shoulder is a shoulder: sizes, neighbours, insertions, sides, posture, replay."""

import numpy as np
import pytest
from scipy import ndimage

from orthodx.joints import SHOULDER
from orthodx.synth.shoulder.procedural import SHAPE, arm_of, build_shoulder, sample_shape
from orthodx.synth.shoulder.tissues import TISSUES, side_of

MM = 1.6
NAMES = {s.name: s.value for s in SHOULDER.structures}
# mL in the box of an adult shoulder, from the atlas and the sizes of tendons in life
PLAUSIBLE_ML = {
    "humerus": (55, 140), "scapula": (50, 120), "clavicle": (6, 28), "supraspinatus_tendon": (2, 8),
    "infraspinatus_tendon": (1.5, 7), "subscapularis_tendon": (1.5, 8), "biceps_long_head": (0.8, 4),
    "glenohumeral_cartilage": (3, 9), "labrum": (0.7, 3.5),
}  # fmt: skip


def structures(anatomy):
    return TISSUES.structure_of[anatomy.tissues]


def of(anatomy, name):
    return structures(anatomy) == NAMES[name]


def centre(anatomy, name):
    return anatomy.affine[:3, :3] @ np.argwhere(of(anatomy, name)).mean(0) + anatomy.affine[:3, 3]


def mean_shape(**other):
    shape = {name: mean for name, (mean, _) in SHAPE.items()}
    return {**shape, "seed": 5.0, **other}


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_every_structure_has_a_plausible_volume_and_is_whole(seed):
    anatomy = build_shoulder(sample_shape(np.random.default_rng(seed)), 1.2)
    for name, (low, high) in PLAUSIBLE_ML.items():
        mask = of(anatomy, name)
        assert low <= mask.sum() * 1.2**3 / 1000 <= high, name
        pieces = np.bincount(ndimage.label(mask, np.ones((3, 3, 3)))[0].ravel())[1:]
        assert pieces.max() > 0.99 * pieces.sum() or name == "glenohumeral_cartilage", name


@pytest.mark.parametrize("seed", [24, 29])
def test_the_extremes_of_all_parameters_are_still_a_shoulder(seed):
    ends = np.random.default_rng(seed).choice([-2, 2], len(SHAPE))
    shape = {name: mean + sd * end for (name, (mean, sd)), end in zip(SHAPE.items(), ends, strict=True)}
    shape |= {"seed": float(seed), "acromion_hook": max(shape["acromion_hook"], 0.0), "fat": max(shape["fat"], 3.0)}
    anatomy = build_shoulder(shape, 1.2)
    for bone in ("humerus", "scapula", "clavicle"):
        assert ndimage.label(of(anatomy, bone), np.ones((3, 3, 3)))[1] == 1, bone
        others = np.logical_or.reduce([of(anatomy, b) for b in ("humerus", "scapula", "clavicle") if b != bone])
        assert not (ndimage.binary_dilation(of(anatomy, bone)) & others).any(), bone
    for name, (low, _) in PLAUSIBLE_ML.items():
        assert of(anatomy, name).sum() * 1.2**3 / 1000 > 0.6 * low, name


def test_bones_lie_as_in_life(shoulder):
    lateral = 1 if shoulder.side == "right" else -1
    humerus, scapula, clavicle = (centre(shoulder, name) for name in ("humerus", "scapula", "clavicle"))
    assert (humerus[0] - scapula[0]) * lateral > 30
    assert clavicle[2] > scapula[2] + 15
    assert clavicle[1] > scapula[1] + 10
    assert centre(shoulder, "subscapularis_tendon")[1] > centre(shoulder, "infraspinatus_tendon")[1] + 25
    assert centre(shoulder, "supraspinatus_tendon")[2] > centre(shoulder, "subscapularis_tendon")[2] + 12
    assert not (ndimage.binary_dilation(of(shoulder, "humerus")) & of(shoulder, "scapula")).any()
    assert not (ndimage.binary_dilation(of(shoulder, "clavicle")) & of(shoulder, "scapula")).any()


@pytest.mark.parametrize("name", ["supraspinatus_tendon", "infraspinatus_tendon", "subscapularis_tendon"])
def test_a_cuff_tendon_runs_from_its_muscle_to_the_humerus(shoulder, name):
    tendon = of(shoulder, name)
    foot = ndimage.binary_dilation(of(shoulder, "humerus")) & tendon
    belly = ndimage.binary_dilation(shoulder.tissues == TISSUES["muscle"]) & tendon
    lateral = 1 if shoulder.side == "right" else -1
    x = np.arange(tendon.shape[0]) * lateral
    assert foot.sum() > 10
    assert belly.sum() > 10
    ends = np.argwhere(tendon)[:, 0] * lateral
    assert (x[np.argwhere(foot)[:, 0]] > np.percentile(ends, 70)).any()
    assert x[np.argwhere(belly)[:, 0]].min() < np.percentile(ends, 20)


def test_cartilage_lies_on_the_head_and_on_the_glenoid(shoulder):
    cartilage = of(shoulder, "glenohumeral_cartilage")
    for bone in ("humerus", "scapula"):
        touching = ndimage.binary_dilation(of(shoulder, bone)) & cartilage
        assert touching.sum() > 0.08 * cartilage.sum(), bone
    far = ndimage.distance_transform_edt(~(of(shoulder, "humerus") | of(shoulder, "scapula")), sampling=1.2)
    assert far[cartilage].max() < 4


def test_the_labrum_goes_round_the_rim_of_the_glenoid(shoulder):
    labrum, scapula = of(shoulder, "labrum"), of(shoulder, "scapula")
    near = ndimage.distance_transform_edt(~scapula, sampling=1.2)
    assert np.percentile(near[labrum], 95) < 6.5
    points = np.argwhere(labrum) * 1.2
    a = np.deg2rad(30.0)
    front = points @ np.array([-np.sin(a) * (1 if shoulder.side == "right" else -1), np.cos(a), 0])
    front, up = front - front.mean(), points[:, 2] - points[:, 2].mean()
    around = np.histogram(np.arctan2(front, up), bins=12, range=(-np.pi, np.pi))[0]
    assert (around > 0).all()
    assert np.hypot(front, up).min() > 5  # a ring, not a disc


def test_the_long_biceps_tendon_goes_from_the_glenoid_over_the_head_into_the_arm(shoulder):
    points = np.argwhere(of(shoulder, "biceps_long_head")) * 1.2 + shoulder.affine[:3, 3]
    lateral = 1 if shoulder.side == "right" else -1
    top, foot = points[points[:, 2] > np.percentile(points[:, 2], 85)], points[points[:, 2] < -15]
    assert top[:, 0].min() * lateral < foot[:, 0].min() * lateral - 10
    assert points[:, 2].max() - points[:, 2].min() > 60


def test_left_is_the_mirror_of_right_and_parameters_replay():
    shape = sample_shape(np.random.default_rng(4))
    right, again = build_shoulder(shape, 2.4), build_shoulder(shape, 2.4)
    left = build_shoulder(shape, 2.4, side="left")
    np.testing.assert_array_equal(right.tissues, again.tissues)
    np.testing.assert_array_equal(right.tissues, left.tissues[::-1])
    assert centre(left, "humerus")[0] == pytest.approx(-centre(right, "humerus")[0], abs=1e-3)
    assert [side_of(a.tissues) for a in (right, left)] == ["right", "left"]


def test_the_arm_turns_and_rises_round_the_middle_of_the_head():
    low, high = (build_shoulder(mean_shape(abduction=a), MM) for a in (-8.0, 18.0))

    def foot(anatomy):
        points = np.argwhere(of(anatomy, "humerus")) * MM + anatomy.affine[:3, 3]
        return points[points[:, 2] < -60].mean(0)

    assert foot(high)[0] > foot(low)[0] + 20
    tendons = []
    for rotation in (-25.0, 25.0):
        turned = build_shoulder(mean_shape(rotation=rotation), MM)
        groove = np.argwhere(of(turned, "biceps_long_head")) * MM + turned.affine[:3, 3]
        tendons.append(groove[np.abs(groove[:, 2] + 10) < 6].mean(0))
    assert tendons[0][0] > tendons[1][0] + 8  # inwards, the groove looks forward and medially
    np.testing.assert_allclose(
        arm_of(mean_shape(rotation=20.0)) @ arm_of(mean_shape(rotation=20.0)).T, np.eye(3), atol=1e-9
    )


def test_the_acromion_can_be_hooked():
    flat, hooked = (build_shoulder(mean_shape(acromion_hook=hook), MM) for hook in (0.0, 5.0))
    gaps = []
    for anatomy in (flat, hooked):
        points = np.argwhere(of(anatomy, "scapula") & ~of(anatomy, "humerus")) * MM + anatomy.affine[:3, 3]
        front = points[(points[:, 2] > 32) & (points[:, 1] > 2)]
        gaps.append(front[:, 2].min())
    assert gaps[1] < gaps[0] - 1.5


def test_the_limb_is_wrapped_in_skin_and_air(shoulder):
    outside = ndimage.label(shoulder.tissues == TISSUES["air"])[0]
    outside = outside == 1 + np.argmax(np.bincount(outside.ravel())[1:])  # the lung is as dark
    for name in ("humerus", "supraspinatus_tendon", "clavicle", "fluid"):
        inside = ndimage.binary_dilation(shoulder.tissues == TISSUES[name])
        assert not (inside & outside)[:, :, 4:].any(), name
