"""A patient's changes from files: what shrank is told, in the field that both scans show, with its interval."""

import csv
import json

import numpy as np
import pytest
from PIL import Image

from orthodx.errors import NoInputError, UsageError
from orthodx.evaluation.followup import followup
from orthodx.evaluation.measurement_error import Error, write_errors
from orthodx.studies.keys import file_name
from orthodx.studies.nifti import write_image
from orthodx.studies.tables import write_table

SPACING, SHAPE = np.array([0.4, 0.8, 1.6]), (120, 52, 26)


def knee(cartilage_mm=3.0, shift=(0.0, 0.0, 0.0), meniscus=True):
    """A femur and a tibia of blunt boxes with cartilage of this thickness on each, moved in the world."""
    at = np.indices(SHAPE) * SPACING.reshape(3, 1, 1, 1) - np.reshape(shift, (3, 1, 1, 1))
    x, y, z = at - np.reshape(np.array(SHAPE) * SPACING / 2, (3, 1, 1, 1))
    out = np.zeros(SHAPE, np.uint8)
    wide = np.sqrt((y / 18) ** 2 + (z / 17) ** 2)
    for value, away in ((1, x - 4.0 - 0.003 * y**2), (2, -x - 4.0 + 0.002 * z**2)):
        out[(away >= 0) & (wide < 1.0)] = value
        out[(away < 0) & (away >= -cartilage_mm) & (wide < 0.85)] = value + 4
    if meniscus:
        out[(np.abs(x) < 1) & (wide > 0.87) & (wide < 1.0) & (y > 0)] = 8
    return out


@pytest.fixture
def cohort(tmp_path):
    """Writes patients, each a list of (days, label map), with images, masks and a manifest in `tmp_path`."""
    affine = np.diag([*SPACING, 1.0])

    def write(patients, **more):
        rows = []
        for patient, visits in patients.items():
            for n, (days, labels) in enumerate(visits, 1):
                series = f"{patient}-{n}-s"
                name = file_name(series)
                write_image(tmp_path / f"masks/{name}.nii.gz", labels, affine)
                write_image(tmp_path / f"images/{name}.nii.gz", (labels * 50 + 20).astype(np.int16), affine)
                rows.append({"patient_id": patient, "study_id": f"{patient}-{n}", "series_id": series, "days": days,
                             "path": f"images/{name}.nii.gz", "joint": "knee", "view": "axial", **more})  # fmt: skip
        write_table(tmp_path / "manifest.csv", rows, list(rows[0]))
        return tmp_path

    return write


def table(path):
    with path.open(newline="") as file:
        return {(r["patient_id"], r["study_id"], r["target"], r["measure"]): r for r in csv.DictReader(file)}


def test_what_thinned_is_less_by_so_much_and_what_did_not_is_not(cohort, tmp_path):
    folder = cohort({"P": [(30, knee(3.2)), (395, knee(2.4, (3.0, -2.0, 4.0)))]})
    errors = {
        ("axial", name, "thickness_mm"): Error(sd=0.03, pairs=20, patients=20)
        for name in ("femoral_cartilage", "tibial_cartilage")
    }
    errors["axial", "femur", "volume_ml"] = Error(sd=0.02, pairs=20, patients=20)
    write_errors(tmp_path / "error.csv", errors)
    done = followup(tmp_path / "out", folder=folder, error=tmp_path / "error.csv")
    found = table(tmp_path / "out/changes.csv")
    for name in ("femoral_cartilage", "tibial_cartilage"):
        row = found["P", "P-2", name, "thickness_mm"]
        assert float(row["first"]) == pytest.approx(3.2, abs=0.5)
        assert float(row["percent"]) == pytest.approx(-25, abs=6)
        assert float(row["low"]) < float(row["change"]) < float(row["high"]) < 0
        assert (row["beyond_error"], row["days"]) == ("less", "365.0")
    assert found["P", "P-2", "femur", "volume_ml"]["beyond_error"] == ""
    assert found["P", "P-2", "medial_meniscus", "volume_ml"]["low"] == ""  # of unknown error
    assert any("says nothing of some measures" in note for note in done.notices.notes)


def test_a_bone_that_leaves_the_field_of_view_has_not_shrunk(cohort, tmp_path):
    followup(tmp_path / "out", folder=cohort({"P": [(0, knee()), (9, knee(shift=(9.6, 0, 0)))]}), picture=False)
    row = table(tmp_path / "out/changes.csv")["P", "P-2", "femur", "volume_ml"]
    assert abs(float(row["percent"])) < 3
    assert float(row["common"]) < 0.75
    assert float(row["fit_mm"]) < 0.6


def test_patients_without_change_give_the_error_and_their_own_changes_lie_in_it(cohort, tmp_path):
    rng = np.random.default_rng(0)
    patients = {f"P{i}": [(0, knee(mm + rng.normal(0, 0.1))), (0, knee(mm + rng.normal(0, 0.1)))]
                for i, mm in enumerate(np.linspace(2.4, 4, 6))}  # fmt: skip
    folder = cohort(patients)
    by_day = followup(tmp_path / "a", folder=folder, picture=False)  # seen twice on one day
    told = followup(tmp_path / "b", folder=folder, picture=False, no_change=True)
    assert by_day.errors == told.errors
    error = told.errors["axial", "femoral_cartilage", "thickness_mm"]
    assert error.pairs == 6
    assert 0.01 < error.sd < 0.15
    assert sum(bool(row["beyond_error"]) for row in told.changes) <= 0.15 * len(told.changes)
    given = followup(tmp_path / "c", folder=folder, picture=False, error=tmp_path / "b/error.csv")
    assert given.errors.keys() == told.errors.keys()


def test_over_patients_the_mean_change_is_tested(cohort, tmp_path):
    patients = {f"P{i}": [(0, knee(mm)), (200, knee(mm)), (400, knee(mm - 0.8))]
                for i, mm in enumerate((2.8, 3.2, 3.6))}  # fmt: skip
    done = followup(tmp_path / "out", folder=cohort(patients), picture=False, workers=2)
    (row,) = [r for r in done.cohort if (r["target"], r["measure"]) == ("femoral_cartilage", "thickness_mm")]
    assert row["patients"] == 3
    assert row["mean"] == pytest.approx(-25, abs=6)
    assert row["low"] < row["mean"] < row["high"] < 0
    assert row["p"] < 0.05
    assert any("the measurement error is unknown" in note for note in done.notices.notes)


def test_patients_scanned_twice_on_one_day_give_the_error_and_no_change(cohort, tmp_path):
    patients = {f"P{i}": [(0, knee(mm)), (400, knee(mm - 0.8))] for i, mm in enumerate((2.8, 3.2, 3.6))}
    stable = {f"S{i}": [(0, knee(mm)), (0, knee(mm + 0.1))] for i, mm in enumerate(np.linspace(2.4, 4, 5))}
    done = followup(tmp_path / "out", folder=cohort(patients | stable), picture=False)
    (row,) = [r for r in done.cohort if (r["target"], r["measure"]) == ("femoral_cartilage", "thickness_mm")]
    assert (row["patients"], row["mean"]) == (3, pytest.approx(-25, abs=6))
    assert done.errors["axial", "femoral_cartilage", "thickness_mm"].patients == 5


def test_two_scans_of_one_later_day_are_no_change_to_the_last_visit(cohort, tmp_path):
    folder = cohort({"P": [(0, knee(3.2)), (200, knee(2.4)), (200, knee(2.4))]})
    done = followup(tmp_path / "out", folder=folder, picture=False)
    (row,) = [r for r in done.cohort if (r["target"], r["measure"]) == ("femoral_cartilage", "thickness_mm")]
    assert row["mean"] == pytest.approx(-25, abs=6)


def test_two_knees_of_a_patient_are_followed_apart_and_count_once(cohort, tmp_path):
    folder = cohort({"L": [(0, knee(3.2)), (9, knee(2.4))], "R": [(0, knee(3.2)), (9, knee(3.2))]})
    text = (folder / "manifest.csv").read_text()
    rows = [line.split(",") for line in text.splitlines()]
    sided = [[*rows[0], "laterality"], *(["P", *row[1:], {"L": "left", "R": "right"}[row[0]]] for row in rows[1:])]
    (folder / "manifest.csv").write_text("\n".join(map(",".join, sided)))
    done = followup(tmp_path / "out", folder=folder)
    (row,) = [r for r in done.cohort if (r["target"], r["measure"]) == ("femoral_cartilage", "thickness_mm")]
    assert row["patients"] == 1
    assert row["mean"] == pytest.approx(100 * (0.75**0.5 - 1), abs=4)  # of one that thinned and one that did not
    assert {path.name for path in (tmp_path / "out/pictures").iterdir()} == {"P_left.png", "P_right.png"}


def test_scans_that_no_bone_brings_together_are_told(cohort, tmp_path):
    other = np.where(knee() >= 5, knee(), 0).astype(np.uint8)  # cartilage alone
    done = followup(tmp_path / "out", folder=cohort({"P": [(0, knee()), (9, other)]}), picture=False)
    assert any("no bone of one view could be laid on the first scan in 1 pairs" in note for note in done.notices.notes)


def test_what_appears_or_goes_has_a_change_and_no_ratio(cohort, tmp_path):
    followup(tmp_path / "out", folder=cohort({"P": [(0, knee(meniscus=False)), (9, knee())]}), picture=False)
    row = table(tmp_path / "out/changes.csv")["P", "P-2", "medial_meniscus", "volume_ml"]
    assert float(row["first"]) == 0 < float(row["change"])
    assert (row["percent"], row["low"], row["beyond_error"]) == ("", "", "")


def test_probabilities_of_studies_are_followed_too(cohort, tmp_path):
    folder = cohort({"P": [(0, knee()), (9, knee())]})
    (folder / "predictions.csv").write_text("study_id,status,ACL,MM\nP-1,done,0.9,0.2\nP-2,done,0.1,\n")
    write_errors(tmp_path / "error.csv", {("", "ACL", "probability"): Error(sd=0.8, pairs=30, patients=30)})
    followup(tmp_path / "out", folder=folder, error=tmp_path / "error.csv")
    found = table(tmp_path / "out/changes.csv")
    row = found["P", "P-2", "ACL", "probability"]
    assert float(row["change"]) == pytest.approx(-0.8)
    assert (row["beyond_error"], row["percent"]) == ("less", "")
    assert ("P", "P-2", "MM", "probability") not in found


def test_the_picture_shows_every_visit_and_the_record_no_dates(cohort, tmp_path):
    folder = cohort({"P/1": [(0, knee(3.2)), (90, knee(2.9)), (400, knee(2.4))]})
    followup(tmp_path / "out", folder=folder, command=["orthodx", "followup"])
    (picture,) = (tmp_path / "out/pictures").iterdir()
    seen = np.asarray(Image.open(picture).convert("RGB"), int)
    assert seen.shape[1] > 900
    assert (np.abs(seen - [0xFF, 0xD2, 0x3F]).sum(-1) < 60).sum() > 100  # the outline of femoral cartilage
    record = json.loads((tmp_path / "out/run.json").read_text())
    assert record["counts"] == {"patients": 1, "pairs": 2, "refused": 0}


def test_a_broken_mask_costs_its_own_pair_only(cohort, tmp_path):
    folder = cohort({"P": [(0, knee()), (9, knee())], "Q": [(0, knee()), (9, knee())]})
    (folder / "masks/P-2-s.nii.gz").write_bytes(b"no image")
    done = followup(tmp_path / "out", folder=folder)
    assert {row["patient_id"] for row in done.changes} == {"Q"}
    assert "P-2-s.nii.gz" in done.notices.refused[0]


def test_what_cannot_be_followed_is_said(cohort, tmp_path):
    folder = cohort({"P": [(0, knee())]})
    for wish, error in (
        ({}, NoInputError),
        ({"masks": tmp_path / "nowhere"}, UsageError),
        ({"error": tmp_path / "nowhere.csv"}, UsageError),
        ({"folder": tmp_path / "images"}, NoInputError),
    ):
        with pytest.raises(error):
            followup(tmp_path / "out", **{"folder": folder, **wish})
    with pytest.raises(UsageError, match="--no-change"):
        followup(tmp_path / "out", folder=folder, error="error.csv", no_change=True)
