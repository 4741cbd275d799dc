"""A patient seen again: the same visits every time, and lesions that heal, grow or stay, of every joint."""

from dataclasses import asdict

import numpy as np
import pytest

from orthodx.synth.cohort_request import CohortRequest
from orthodx.synth.grammar import synthetic
from orthodx.synth.patient_writer import of_visits
from orthodx.synth.visits import COURSES, courses_of, lesions_at, visits_of


def test_the_visits_of_a_patient_are_always_the_same_and_follow_each_other():
    one, two = visits_of(3, 7, 4), visits_of(3, 7, 4)
    assert [v.days for v in one] == [v.days for v in two]
    assert one[0].days == 0
    assert all(90 <= gap < 400 for gap in np.diff([v.days for v in one]))
    assert [v.part for v in one] == pytest.approx([0, 1 / 3, 2 / 3, 1])
    np.testing.assert_array_equal(one[0].lies, np.eye(4))
    for visit in one[1:]:
        np.testing.assert_allclose(visit.lies[:3, :3] @ visit.lies[:3, :3].T, np.eye(3), atol=1e-12)
        assert np.linalg.norm(visit.lies[:3, 3]) > 0.1
    assert [v.days for v in visits_of(3, 8, 4)] != [v.days for v in one]


def test_a_cohort_without_visits_is_gone_on_with_as_one_of_before_there_were_any():
    assert set(CohortRequest().settings) == {
        "joint", "seed", "centers", "formats", "lesions", "prevalence", "anatomy"
    }  # fmt: skip
    more = CohortRequest(visits=2, cartilage_loss=0.1, views=("axial",)).settings
    assert (more["visits"], more["cartilage_loss"], more["views"]) == (2, 0.1, ["axial"])
    assert of_visits({"rows": 1}) == [{"rows": 1}]


def test_of_three_lesions_one_heals_one_grows_and_one_stays():
    for study in range(6):
        found = courses_of(1, study, [None] * 3)
        assert sorted(found) == sorted(COURSES)
        assert courses_of(1, study, [None] * 7)[:3] == found
    assert courses_of(1, 0, []) == []


def sizes(lesion):
    """Numbers of a lesion that may tell how large it is."""
    return {name: value for name, value in asdict(lesion).items() if isinstance(value, float)}


@pytest.mark.parametrize("joint", ["knee", "ankle", "shoulder"])
def test_lesions_of_every_joint_heal_grow_and_stay(joint):
    made, seen = synthetic(joint), set()
    for study in range(60):
        lesions = made.patient_of(2, study, "Harbour", 1.0).lesions
        for lesion in lesions:
            (first,), (last,) = (lesions_at([lesion], ["grows"], part) for part in (0.0, 1.0))
            assert last == lesion
            before, after = sizes(first), sizes(last)
            smaller = {name for name in before if abs(before[name]) < abs(after[name])}
            assert smaller or not any(after.values()), lesion
            assert all(abs(before[name]) <= abs(after[name]) for name in before)
            assert lesions_at([lesion], ["stays"], 0.4) == (lesion,)
            assert lesions_at([lesion], ["heals"], 0.0) == (lesion,)
            assert lesions_at([lesion], ["heals"], 1.0) == ()
            seen.add(type(lesion))
    assert len(seen) >= 4
