"""A knee lying otherwise is the same knee: bones keep their form, cartilage thins by what was planted."""

import numpy as np
import pytest

from orthodx.joints import KNEE
from orthodx.synth.knee.posture import Posture, random_posture
from orthodx.synth.knee.procedural import build_knee, knee_later, sample_shape
from orthodx.synth.knee.tissues import TISSUES

MM = 1.4


@pytest.fixture(scope="module")
def knees():
    """One knee, the same one bent and turned, and the same one unmoved with 20 % of its cartilage gone."""
    shape = sample_shape(np.random.default_rng(4))
    bent = Posture(flexion_deg=7.0, rotation_deg=3.0, tilt_deg=2.0)
    return build_knee(shape, MM), build_knee(shape, MM, posture=bent), build_knee({**shape, "cartilage_loss": 0.2}, MM)


def sizes(knee):
    """Structure -> mL."""
    labels = TISSUES.structure_of[knee.tissues]
    return {s.name: (labels == s.value).sum() * MM**3 / 1000 for s in KNEE.structures}


def long_axis(knee, name):
    """Direction of the largest spread of a structure, (3,)."""
    at = np.argwhere(TISSUES.structure_of[knee.tissues] == next(s.value for s in KNEE.structures if s.name == name))
    return np.linalg.svd(at[::7] - at.mean(0), full_matrices=False)[2][0]


def test_a_bent_knee_has_the_same_bones_and_cartilage(knees):
    first, bent, _ = (sizes(knee) for knee in knees)
    assert bent["patella"] == pytest.approx(first["patella"], rel=0.02)
    for name in ("femoral_cartilage", "tibial_cartilage", "patellar_cartilage"):
        assert bent[name] == pytest.approx(first[name], rel=0.08)


def test_femur_and_shank_turn_against_each_other(knees):
    turned = {
        name: np.degrees(np.arccos(min(1.0, abs(long_axis(knees[0], name) @ long_axis(knees[1], name)))))
        for name in ("femur", "tibia")
    }
    assert all(1.5 < degrees < 7 for degrees in turned.values()), turned


def test_planted_loss_thins_cartilage_and_nothing_else(knees):
    first, _, thinned = (sizes(knee) for knee in knees)
    for name in ("femoral_cartilage", "tibial_cartilage", "patellar_cartilage"):
        assert thinned[name] / first[name] == pytest.approx(0.8, abs=0.09)
    for name in ("femur", "tibia", "fibula", "patella"):
        assert thinned[name] == pytest.approx(first[name], rel=0.01)


def test_worn_patches_bare_the_bone_in_spots_and_leave_the_rest(knees):
    shape = knees[0].params
    first, patchy = sizes(knees[0]), build_knee({**shape, "worn_patches": 1.0}, MM)
    worn = sizes(patchy)
    for name in ("femoral_cartilage", "tibial_cartilage", "patellar_cartilage"):
        assert 0.5 < worn[name] / first[name] < 0.97
    for name in ("femur", "tibia", "fibula", "patella"):
        assert worn[name] == pytest.approx(first[name], rel=0.01)
    before, after = (TISSUES.structure_of[knee.tissues] == 5 for knee in (knees[0], patchy))
    assert (after & ~before).sum() < 0.01 * before.sum()  # nothing grows
    gone = before & ~after
    assert 0 < gone.sum() < 0.5 * before.sum()
    fluid = patchy.tissues == TISSUES["fluid"]
    assert fluid[gone].mean() > 0.9  # not fat


BARE = {"bare_front": 35.0, "bare_back": 25.0, "bare_medial": 0.6, "bare_lateral": 0.4}
OTHERS = {"bare_rim": 0.2, "bare_patella": 0.35}


def test_cartilage_may_end_early_and_leaves_no_film_of_fluid(knees):
    before = knees[0]
    after = build_knee({**before.params, **BARE, **OTHERS}, MM)
    first, bare = sizes(before), sizes(after)
    for name, least in (("femoral_cartilage", 0.2), ("tibial_cartilage", 0.4), ("patellar_cartilage", 0.4)):
        assert least < bare[name] / first[name] < 0.9
    for name in ("femur", "tibia", "fibula", "patella"):
        assert bare[name] == pytest.approx(first[name], rel=0.01)
    assert (after.tissues == TISSUES["fluid"]).sum() < 0.9 * (before.tissues == TISSUES["fluid"]).sum()


@pytest.mark.parametrize(("where", "degrees"), [("bare_front", 35.0), ("bare_back", 25.0)])
def test_bare_bone_begins_where_it_is_asked_for(knees, where, degrees):
    before, after = (
        np.argwhere(build_knee({**knees[0].params, where: at}, MM).tissues == TISSUES["femoral_cartilage"]) * MM
        for at in (0.0, degrees)
    )
    front, back = (after[:, 1].max() - before[:, 1].max(), after[:, 1].min() - before[:, 1].min())
    high = after[:, 2].max() - before[:, 2].max()
    if where == "bare_front":
        assert high < -3
        assert back == 0
    else:
        assert front == 0
        assert back >= 0
    assert len(after) < 0.97 * len(before)


def test_a_knee_never_bends_backwards():
    for seed in range(50):
        assert random_posture(np.random.default_rng(seed), 2.0).flexion_deg >= -2.0


def test_a_later_knee_is_replayed_from_its_record(knees):
    later = [knee_later(knees[0], np.random.default_rng(1), 0.1) for _ in range(2)]
    np.testing.assert_array_equal(later[0].tissues, later[1].tissues)
    assert later[0].params["cartilage_loss"] == 0.1
    assert (later[0].side, later[0].spacing_mm) == (knees[0].side, MM)
