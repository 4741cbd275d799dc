"""Patients: prevalence, injuries that come together, records that fit the injury and have gaps."""

from collections import Counter

import numpy as np
import pytest

from orthodx.joints import KNEE
from orthodx.studies.records import RECORD_COLUMNS
from orthodx.synth.knee import SYNTHETIC
from orthodx.synth.knee.lesions import MeniscusTear
from orthodx.synth.knee.mechanisms import CASE_MIX, MECHANISMS
from orthodx.synth.knee.protocols import PROTOCOLS
from orthodx.synth.lesion_bone import Osteophyte
from orthodx.synth.lesion_fluid import Effusion

DRAWS = 2000
patient_of = SYNTHETIC.patient_of


def codes(patient):
    """What a radiologist would report of the drawn lesions."""
    return {
        lesion.code
        for lesion in patient.lesions
        if not (isinstance(lesion, Effusion) and lesion.volume_ml < 10)
        and not (isinstance(lesion, MeniscusTear) and lesion.pattern == "degeneration")
    }


@pytest.fixture(scope="module")
def patients():
    centers = list(CASE_MIX)
    return [(c, patient_of(1, i, c)) for i in range(DRAWS) for c in [centers[i % len(centers)]]]


def share(patients, wanted, given=lambda p: True):
    chosen = [p for _, p in patients if given(p)]
    return np.mean([wanted(p) for p in chosen])


def test_every_center_has_a_case_mix():
    assert set(CASE_MIX) == set(PROTOCOLS)
    for mix in CASE_MIX.values():
        assert set(mix) == set(MECHANISMS)
        assert sum(mix.values()) == pytest.approx(1)


def test_prevalence_is_that_of_a_clinic(patients):
    for code in KNEE.codes:
        low, high = (0.25, 0.55) if code == "EFFU" else (0.04, 0.35)
        assert low < share(patients, lambda p, c=code: c in codes(p)) < high, code
    assert 0.2 < share(patients, lambda p: not codes(p) & set(KNEE.codes)) < 0.6


def test_centers_differ(patients):
    acl = {c: np.mean([("ACL" in codes(p)) for k, p in patients if k == c]) for c in CASE_MIX}
    assert acl["Northgate"] > 1.5 * acl["Outpost"]


@pytest.mark.parametrize(
    ("first", "second", "ratio"),
    [("ACL", "MM", 1.2), ("ACL", "LM", 1.5), ("ACL", "MCL", 2), ("ACL", "bone_bruise", 2), ("PCL", "LCL", 2),
     ("PD", "EFFU", 1.5), ("ACL", "EFFU", 1.5)],
)  # fmt: skip
def test_injuries_come_together_as_in_life(patients, first, second, ratio):
    with_it = share(patients, lambda p: second in codes(p), lambda p: first in codes(p))
    without = share(patients, lambda p: second in codes(p), lambda p: first not in codes(p))
    assert with_it > ratio * without


def test_negatives_have_distractors(patients):
    clean = [p for _, p in patients if not codes(p) & set(KNEE.codes)]
    assert 0.05 < np.mean([any(isinstance(lesion, Osteophyte) for lesion in p.lesions) for p in clean]) < 0.6
    assert np.mean([any(isinstance(lesion, MeniscusTear) for lesion in p.lesions) for p in clean]) > 0.05
    bruised = [p for p in clean if "bone_bruise" in codes(p)]
    assert bruised


def test_severity_spans_partial_and_complete(patients):
    tears = [t for _, p in patients for t in p.lesions if t.code == "ACL"]
    assert 0.3 < np.mean([t.gap_mm > 0 for t in tears]) < 0.8
    patterns = Counter(t.pattern for _, p in patients for t in p.lesions if isinstance(t, MeniscusTear))
    assert set(patterns) == {"oblique", "vertical", "radial", "bucket_handle", "degeneration"}


def test_records_fit_the_injury(patients):
    def mean_age(given):
        return np.mean([p.age for _, p in patients if p.age is not None and given(p)])

    assert mean_age(lambda p: "PD" in codes(p)) < mean_age(lambda p: "ACL" in codes(p)) < 32
    assert mean_age(lambda p: "osteophyte" in codes(p)) > 50
    men = share(patients, lambda p: p.sex == "M", lambda p: "LCL" in codes(p))
    assert men > share(patients, lambda p: p.sex == "M", lambda p: "PD" in codes(p)) + 0.1
    crash = share(patients, lambda p: p.event == "traffic", lambda p: "PCL" in codes(p))
    assert crash > 3 * share(patients, lambda p: p.event == "traffic", lambda p: "PCL" not in codes(p))
    stays = [
        share(patients, lambda p: p.patient_type == "inpatient", lambda p, w=worst: any(
            (getattr(t, "gap_mm", 0) > 0) == w for t in p.lesions))
        for worst in (True, False)
    ]  # fmt: skip
    assert stays[0] > stays[1]
    both = [(p.height, p.weight) for _, p in patients if p.height and p.weight]
    assert 0.3 < np.corrcoef(np.array(both).T)[0, 1] < 0.9


def test_no_event_gives_a_label_away(patients):
    seen = Counter(p.event for _, p in patients)
    for event, n in seen.items():
        if event is None or n < 20:
            continue
        for code in KNEE.codes:
            assert share(patients, lambda p, c=code: c in codes(p), lambda p, e=event: p.event == e) < 0.9


def test_records_have_gaps_and_some_centers_more(patients):
    gap = {c: share(patients, lambda p, c=c: getattr(p, c) is None) for c in RECORD_COLUMNS}
    assert 0.1 < gap["event"] < 0.35
    assert 0.05 < gap["height"] < 0.2
    assert gap["age"] < 0.03
    by_center = {c: np.mean([p.event is None for k, p in patients if k == c]) for c in ("Northgate", "Outpost")}
    assert by_center["Outpost"] > 2 * by_center["Northgate"]
    assert len({p.event for _, p in patients}) <= 20  # blank and nineteen more: what an embedding of 20 can hold
    blank = next(p for _, p in patients if p.event is None)
    assert blank.record["event"] == ""


@pytest.mark.parametrize("wanted", [0.0, 0.3, 1.0])
def test_prevalence_can_be_chosen(wanted):
    hurt = np.mean([patient_of(3, i, "Harbour", wanted).mechanism != "none" for i in range(400)])
    assert hurt == pytest.approx(wanted, abs=0.08)


def test_a_patient_is_a_function_of_seed_study_and_center():
    assert patient_of(2, 5, "Meadow") == patient_of(2, 5, "Meadow")
    assert patient_of(2, 5, "Meadow") != patient_of(2, 6, "Meadow")
