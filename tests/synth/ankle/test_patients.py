"""Patients with hurt ankles: prevalence, injuries that come together, distractors, records that fit."""

import numpy as np
import pytest

from orthodx.joints import ANKLE
from orthodx.synth.ankle import SYNTHETIC
from orthodx.synth.ankle.lesions import AchillesTear, OsteochondralLesion
from orthodx.synth.ankle.mechanisms import CASE_MIX, MECHANISMS
from orthodx.synth.ankle.protocols import PROTOCOLS

DRAWS = 1500


def codes(patient):
    return {lesion.code for lesion in patient.lesions}


@pytest.fixture(scope="module")
def patients():
    centers = list(CASE_MIX)
    return [SYNTHETIC.patient_of(1, i, centers[i % len(centers)]) for i in range(DRAWS)]


def share(patients, wanted, given=lambda p: True):
    return np.mean([wanted(p) for p in patients if given(p)])


def test_every_center_has_a_case_mix():
    assert set(CASE_MIX) == set(PROTOCOLS)
    for mix in CASE_MIX.values():
        assert set(mix) == set(MECHANISMS)
        assert sum(mix.values()) == pytest.approx(1)


def test_prevalence_is_that_of_a_clinic(patients):
    for code in ANKLE.codes:
        assert 0.08 < share(patients, lambda p, c=code: c in codes(p)) < 0.45, code
    assert 0.25 < share(patients, lambda p: not codes(p) & set(ANKLE.codes)) < 0.55


@pytest.mark.parametrize(
    ("first", "second", "ratio"),
    [("ATFL", "CFL", 3), ("ATFL", "bone_bruise", 1.3), ("OLT", "bone_bruise", 1.3), ("ATFL", "effusion", 1.3)],
)
def test_injuries_come_together_as_in_life(patients, first, second, ratio):
    with_it = share(patients, lambda p: second in codes(p), lambda p: first in codes(p))
    assert with_it > ratio * share(patients, lambda p: second in codes(p), lambda p: first not in codes(p))


def test_negatives_have_distractors(patients):
    clean = [p for p in patients if not codes(p) & set(ANKLE.codes)]
    for sign in ("bone_bruise", "osteophyte", "effusion", "tendinosis", "soft_oedema"):
        assert 0.04 < share(clean, lambda p, s=sign: s in codes(p)) < 0.6, sign


def test_severity_spans_partial_and_complete(patients):
    lesions = [lesion for p in patients for lesion in p.lesions]
    for code in ("ATFL", "CFL", "ATR"):
        assert 0.25 < np.mean([lesion.gap_mm > 0 for lesion in lesions if lesion.code == code]) < 0.75
    domes = [lesion for lesion in lesions if isinstance(lesion, OsteochondralLesion)]
    assert {lesion.fragment for lesion in domes} == {"none", "attached", "loose", "displaced"}
    assert 0.5 < np.mean([lesion.side == "medial" for lesion in domes]) < 0.78
    gaps = [lesion.gap_mm for lesion in lesions if isinstance(lesion, AchillesTear) and lesion.gap_mm]
    assert min(gaps) >= 6
    assert max(gaps) < 32


def test_records_fit_the_injury(patients):
    def mean_age(given):
        return np.mean([p.age for p in patients if p.age is not None and given(p)])

    assert mean_age(lambda p: p.mechanism == "inversion") < 33 < mean_age(lambda p: "ATR" in codes(p))
    men = [share(patients, lambda p: p.sex == "M", lambda p, c=code: c in codes(p)) for code in ("ATR", "CFL")]
    assert men[0] > men[1] + 0.05
    overuse = share(patients, lambda p: p.event == "overuse", lambda p: "tendinosis" in codes(p))
    assert overuse > 1.5 * share(patients, lambda p: p.event == "overuse", lambda p: "ATFL" in codes(p))


def test_no_event_gives_a_label_away(patients):
    for event in {p.event for p in patients}:
        if sum(p.event == event for p in patients) >= 20:
            for code in ANKLE.codes:
                found = share(patients, lambda p, c=code: c in codes(p), lambda p, e=event: p.event == e)
                assert found < 0.9, (event, code)
