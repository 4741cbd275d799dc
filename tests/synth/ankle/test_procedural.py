"""A procedural ankle is an ankle: sizes, neighbours, posture, sides, replay."""

import numpy as np
import pytest
from scipy import ndimage

from orthodx.joints import ANKLE
from orthodx.synth.ankle.posture import Posture
from orthodx.synth.ankle.procedural import build_ankle, sample_shape
from orthodx.synth.ankle.tissues import TISSUES, side_of

COARSE_MM = 2.0
VALUE = {name: value for value, name in ANKLE.names.items()}
# mL of an adult's, as the field of view cuts them: the atlas has 62, 18, 32 and 60 of the first four
PLAUSIBLE_ML = {
    "tibia": (30, 100), "fibula": (9, 35), "talus": (18, 55), "calcaneus": (32, 95), "other_foot_bones": (25, 110),
    "talar_cartilage": (3, 12), "atfl": (0.08, 0.7), "cfl": (0.08, 0.7), "achilles_tendon": (3, 18),
}  # fmt: skip


def structures(anatomy):
    return TISSUES.structure_of[anatomy.tissues]


def mask(anatomy, name):
    return structures(anatomy) == VALUE[name]


def middle(anatomy, name):
    index = np.argwhere(mask(anatomy, name)).mean(0)
    return anatomy.affine[:3, :3] @ index + anatomy.affine[:3, 3]


def apart(anatomy, first, second):
    """Smallest distance between two structures, mm, of voxel to voxel."""
    return ndimage.distance_transform_edt(~mask(anatomy, first), sampling=anatomy.spacing_mm)[
        mask(anatomy, second)
    ].min()


def shape_of(seed=3, **fixed):
    return {**sample_shape(np.random.default_rng(seed)), **fixed}


def test_every_structure_has_a_plausible_volume(ankle):
    voxel = ankle.spacing_mm**3 / 1000
    assert set(PLAUSIBLE_ML) == set(VALUE)
    for name, (low, high) in PLAUSIBLE_ML.items():
        assert low <= mask(ankle, name).sum() * voxel <= high, name


@pytest.mark.parametrize("bone", [s.name for s in ANKLE.structures if s.one_piece] + ["achilles_tendon", "calcaneus"])
def test_it_is_one_piece(ankle, bone):
    assert ndimage.label(mask(ankle, bone), np.ones((3, 3, 3)))[1] == 1


def test_bones_lie_as_in_life(ankle):
    tibia, fibula, talus, heel, foot, tendon = (
        middle(ankle, n) for n in ("tibia", "fibula", "talus", "calcaneus", "other_foot_bones", "achilles_tendon")
    )
    lateral = 1 if ankle.side == "right" else -1
    assert tibia[2] > talus[2] > heel[2]
    assert foot[1] > talus[1] > heel[1]
    assert (fibula[0] - tibia[0]) * lateral > 15
    assert tendon[1] < tibia[1] - 25

    def lowest(name):
        return np.argwhere(mask(ankle, name))[:, 2].min()

    assert lowest("fibula") < lowest("tibia")  # the lateral malleolus reaches further down


def test_bones_do_not_touch_each_other(ankle):
    bones = ("tibia", "fibula", "talus", "calcaneus", "other_foot_bones")
    for i, first in enumerate(bones):
        for second in bones[i + 1 :]:
            assert apart(ankle, first, second) > ankle.spacing_mm, (first, second)


def test_cartilage_covers_the_talus(ankle):
    cartilage, talus = mask(ankle, "talar_cartilage"), mask(ankle, "talus")
    distance = ndimage.distance_transform_edt(~talus, sampling=ankle.spacing_mm)
    assert distance[cartilage].max() < 3.5
    top = np.argwhere(talus)[:, 2].max()
    dome = np.argwhere(talus[:, :, top - 1])
    over = cartilage[dome[:, 0], dome[:, 1], top : top + 4].any(1)
    assert over.mean() > 0.95


@pytest.mark.parametrize(
    ("ligament", "bones"),
    [("atfl", ("fibula", "talus")), ("cfl", ("fibula", "calcaneus")), ("achilles_tendon", ("calcaneus",))],
)
def test_a_ligament_ends_at_its_bones(ankle, ligament, bones):
    pieces = ndimage.label(mask(ankle, ligament), np.ones((3, 3, 3)))[0]
    largest = pieces == np.argmax(np.bincount(pieces.ravel())[1:]) + 1
    assert largest.sum() > 0.9 * (pieces > 0).sum()
    for bone in bones:
        assert (ndimage.binary_dilation(largest, np.ones((3, 3, 3))) & mask(ankle, bone)).any(), bone


@pytest.mark.parametrize("seed", [1, 2, 4])
def test_ligaments_follow_their_bones_in_every_posture(seed):
    fixed = {"plantar_flexion": 25.0 if seed == 1 else -5.0, "inversion": 8.0 if seed == 2 else -3.0}
    anatomy = build_ankle(shape_of(seed, **fixed), 1.4)
    for ligament, bone in (("atfl", "talus"), ("atfl", "fibula"), ("cfl", "calcaneus"), ("cfl", "fibula")):
        assert apart(anatomy, ligament, bone) < 2 * 1.4, (ligament, bone)
    assert ndimage.label(mask(anatomy, "talus"), np.ones((3, 3, 3)))[1] == 1


def test_plantar_flexion_lowers_the_foot_and_leaves_the_leg():
    flat, flexed = (build_ankle(shape_of(plantar_flexion=angle), COARSE_MM) for angle in (0.0, 20.0))
    for bone in ("tibia", "fibula"):
        assert np.linalg.norm(middle(flat, bone) - middle(flexed, bone)) < 2.5, bone
    assert middle(flexed, "other_foot_bones")[2] < middle(flat, "other_foot_bones")[2] - 10
    assert middle(flexed, "calcaneus")[2] > middle(flat, "calcaneus")[2] + 3


def test_points_go_from_frame_to_frame_and_back():
    posture, point = Posture(15.0, 4.0), (10.0, 20.0, -5.0)
    leg = posture.in_leg((("heel", *point), ("foot", *point), ("leg", *point)))
    columns = leg.T[:, :, None, None]
    np.testing.assert_allclose(posture.heel(columns)[:, 0, 0, 0], point, atol=1e-4)
    np.testing.assert_allclose(posture.foot(columns)[:, 1, 0, 0], point, atol=1e-4)
    np.testing.assert_allclose(leg[2], point)


def test_the_limb_is_wrapped_in_skin_and_air(ankle):
    outside = ankle.tissues == TISSUES["air"]
    for name in ("tibia", "calcaneus", "muscle", "fluid", "achilles_tendon"):
        inside = ndimage.binary_dilation(ankle.tissues == TISSUES[name])
        assert not (inside & outside)[:, :-8, :-8].any(), name


def test_shape_parameters_replay_an_ankle_and_sides_mirror():
    shape = shape_of()
    right, again, left = (build_ankle(shape, COARSE_MM, side=side) for side in ("right", "right", "left"))
    np.testing.assert_array_equal(right.tissues, again.tissues)
    np.testing.assert_array_equal(right.tissues, left.tissues[::-1])
    assert middle(left, "fibula")[0] == pytest.approx(-middle(right, "fibula")[0], abs=1e-3)
    assert (side_of(right.tissues), side_of(left.tissues)) == ("right", "left")


def test_ankles_differ():
    first, second = (build_ankle(shape_of(seed), COARSE_MM) for seed in (3, 4))
    assert (structures(first) != structures(second)).mean() > 0.02
