"""An interval holds what it promises: without change, 95 % of the intervals hold no change."""

import numpy as np
import pytest

from orthodx.errors import StudyError
from orthodx.evaluation.measurement_error import Error, errors_of, interval, read_errors, write_errors


def row(first, later, measure="thickness_mm", target="femoral_cartilage", view="sagittal", patient="P"):
    return {"patient_id": patient, "view": view, "target": target, "measure": measure, "first": first, "later": later}


def pairs(rng, n, noise=0.03):
    size = rng.uniform(1, 4, n)
    one, two = (size * np.exp(rng.normal(0, noise, n)) for _ in range(2))
    return [row(a, b, patient=f"P{i}") for i, (a, b) in enumerate(zip(one, two, strict=True))]


@pytest.mark.parametrize("n", [5, 12, 40])
def test_of_pairs_without_change_95_percent_lie_in_their_interval(n):
    rng, inside = np.random.default_rng(n), []
    for _ in range(150):
        (error,) = errors_of(pairs(rng, n)).values()
        low, high = np.transpose([interval(one, error) for one in pairs(rng, 20)])
        inside += list((low <= 0) & (high >= 0))
    assert np.mean(inside) == pytest.approx(0.95, abs=0.02)


def test_the_error_is_relative_so_a_large_structure_has_a_wider_interval():
    error = Error(sd=0.05, pairs=30, patients=30)
    small, large = (np.ptp(interval(row(mm, mm), error)) for mm in (1.0, 4.0))
    assert large == pytest.approx(4 * small)


def test_a_probability_stays_between_0_and_1():
    low, high = interval(row(0.02, 0.99, "probability", "ACL", ""), Error(sd=2.0, pairs=20, patients=20))
    assert -0.02 <= low < 0.97 < high <= 0.98


@pytest.mark.parametrize(("first", "later"), [(0.0, 2.0), (2.0, 0.0), (float("nan"), 2.0)])
def test_what_was_not_there_once_has_no_interval(first, later):
    assert np.isnan(interval(row(first, later), Error(sd=0.1, pairs=9, patients=9))).all()


def test_four_pairs_are_too_few():
    rng = np.random.default_rng(0)
    assert not errors_of(pairs(rng, 4))
    assert errors_of(pairs(rng, 5))


def test_pairs_of_one_patient_count_as_one_patient():
    rng = np.random.default_rng(0)
    own = [one | {"patient_id": "P"} for one in pairs(rng, 9)]
    assert not errors_of(own)
    others = pairs(rng, 8)
    (error,) = errors_of([*own, *others[1:]]).values()
    assert (error.pairs, error.patients) == (16, 8)
    assert error.reach > Error(sd=error.sd, pairs=16, patients=16).reach


def test_a_table_without_patients_counts_each_pair_as_one(tmp_path):
    (tmp_path / "error.csv").write_text("view,target,measure,sd_of_change,pairs\ns,femur,volume_ml,0.1,12\n")
    (error,) = read_errors(tmp_path / "error.csv").values()
    assert error == Error(sd=0.1, pairs=12, patients=12)


def test_errors_are_read_as_they_were_written(tmp_path):
    errors = {
        ("sagittal", "femur", "volume_ml"): Error(sd=0.0125, pairs=12, patients=12),
        ("", "ACL", "probability"): Error(sd=1.5, pairs=7, patients=7),
    }
    write_errors(tmp_path / "error.csv", errors)
    assert read_errors(tmp_path / "error.csv") == errors


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("view,target\na,b\n", "no column 'measure'"),
        ("view,target,measure,sd_of_change,pairs\ns,femur,volume_ml,wide,12\n", "row 2"),
        ("view,target,measure,sd_of_change,pairs\ns,femur,volume_ml,0.1,12\ns,tibia,volume_ml,0.1,0\n", "row 3"),
    ],
)
def test_what_is_no_table_of_errors_is_named(tmp_path, text, what):
    (tmp_path / "error.csv").write_text(text)
    with pytest.raises(StudyError, match=what):
        read_errors(tmp_path / "error.csv")
