"""Patients, groups and pairs are what they are, whatever is blank or spelled otherwise in the tables."""

import json

import numpy as np
import pytest

import orthodx
from orthodx.errors import StudyError
from orthodx.evaluation.groups import groupings
from orthodx.evaluation.rows import find
from orthodx.studies.tables import read_table

from .conftest import cube, write_csv, write_diagnoses, write_map

EMPTY = np.zeros((10, 24, 24))
FACTS = ["patient_id", "study_id", "series_id", "path", "joint"]


def evaluated(out, **options):
    return orthodx.evaluate(out, resamples=100, workers=0, worst=0, **options)


@pytest.fixture
def runs(tmp_path):
    """Truth of six series, and a mask of each by two runs that find the same femur.

    Ours finds every ACL, half a voxel off; the other none, and a PCL in each series, where there is none.
    """
    for number in range(6):
        truth, ours, other = cube(), cube(), cube()
        truth[1, 2:8, 2:8] = ours[1, 4:10, 2:8] = 10
        other[8, 2:8, 2:8] = 11
        for folder, data in (("truth", truth), ("ours/masks", ours), ("other/masks", other)):
            write_map(tmp_path / folder / f"k{number}.nii.gz", data)
    rows = [[f"p{n}", f"s{n}", f"k{n}", f"k{n}.nii.gz", "knee"] for n in range(6)]
    write_csv(tmp_path / "manifest.csv", FACTS, rows)
    return tmp_path


def compared(runs, ours, other, **more):
    options = {"truth": runs / "truth", "manifest": runs / "manifest.csv", **more}
    return evaluated(runs / f"of-{ours}", masks=runs / ours / "masks", compare=[runs / other], **options)


@pytest.mark.parametrize(("ours", "other", "sign"), [("ours", "other", 1), ("other", "ours", -1)])
def test_no_distance_rewards_a_missed_structure_and_a_false_one_counts(runs, ours, other, sign):
    rows = compared(runs, ours, other).rows
    (distance,) = find(rows, metric="hd95_mm", target="all structures", against=other)
    assert distance.value == 0  # of the femur, which both have
    (false,) = find(rows, metric="dice", target="pcl", against=other)
    assert (false.value, false.n) == (sign, 6)
    (missed,) = find(rows, metric="dice", target="acl", against=other)
    assert missed.value * sign > 0.4


def test_files_that_only_a_compared_run_lacks_are_not_missing_from_ours(runs):
    for number in range(1, 6):
        (runs / f"other/masks/k{number}.nii.gz").unlink()
    done = compared(runs, "ours", "other")
    assert done.summary["counts"]["segmentation"]["patients"] == 6
    assert not any("missing from all numbers" in note for note in done.notices.notes)
    assert done.notices.left_out == 0


@pytest.mark.parametrize(
    ("patients", "counted", "note"), [(("", "", ""), 2, True), (("", "p", ""), 2, True), (("p", "", "q"), 2, False)]
)
def test_series_without_a_patient_are_of_their_study(tmp_path, patients, counted, note):
    for name in "abc":
        write_map(tmp_path / f"masks/{name}.nii.gz", cube())
        write_map(tmp_path / f"truth/{name}.nii.gz", cube(1))
    rows = [[p, s, n, f"{n}.nii.gz", "knee"] for p, s, n in zip(patients, "xxy", "abc", strict=True)]
    write_csv(tmp_path / "manifest.csv", FACTS, rows)
    done = evaluated(tmp_path / "out", folder=tmp_path)
    assert done.summary["counts"]["segmentation"]["patients"] == counted
    assert any("no patient; each counts as a patient of its own" in line for line in done.notices.notes) == note


def test_a_blank_row_of_a_study_does_not_hide_its_patient(tmp_path):
    folder = write_diagnoses(tmp_path / "cohort", patients=40)
    found = read_table(folder / "predictions.csv")
    found["patient_id"] = ""
    found.to_csv(folder / "predictions.csv", index=False)
    rows = [
        [who, f"s{n}", f"s{n}-{i}", "x.nii.gz", "knee"] for n in range(40) for i, who in enumerate((f"p{n // 4}", ""))
    ]
    write_csv(folder / "manifest.csv", FACTS, rows)
    done = evaluated(tmp_path / "out", folder=folder)
    assert done.summary["counts"]["diagnosis"]["patients"] == 10
    assert not any("no patient" in line for line in done.notices.notes)


def table(tmp_path, **columns):
    path = tmp_path / "manifest.csv"
    size = len(next(iter(columns.values())))
    write_csv(path, ["study_id", *columns], list(zip(map(str, range(size)), *columns.values(), strict=True)))
    return read_table(path)


def test_a_value_is_one_group_however_it_is_spelled(tmp_path):
    spelled = ["1.5", "1,50", "1.5 T", "3", "3.0", "NA", "", "unknown", "007", "7"]
    found = table(tmp_path, field=spelled)
    groups = groupings(["field"], list(found["study_id"]), None, found, None)["field"]
    assert list(groups) == ["1.5"] * 3 + ["3"] * 2 + ["unknown"] * 3 + ["007", "7"]


def test_series_of_one_value_are_not_mixed(tmp_path):
    found = table(tmp_path, field=["3", "3.0", "", "1.5", "3"])
    found["study_id"] = list("aaabb")
    assert list(groupings(["field"], ["a", "b"], None, found, None)["field"]) == ["3", "mixed"]


def test_bands_of_numbers_with_commas_and_blanks(tmp_path):
    ages, days = [f"{20 + n},5" for n in range(40)], [str(20240101 + n) for n in range(40)]
    found = table(tmp_path, age=["NA", *ages[1:]], day=days)
    groups = groupings(["age", "day"], list(found["study_id"]), None, found, None)
    assert len(set(groups["age"])) == 5
    assert groups["age"][0] == "unknown"
    assert len(set(groups["day"])) == 4


@pytest.mark.parametrize("column", ["state", "patient_id", "dice", "value"])
def test_a_grouping_may_be_called_like_a_column_of_the_cases(runs, column):
    manifest = read_table(runs / "manifest.csv")
    manifest[column] = manifest[column] if column == "patient_id" else list("aaabbb")
    manifest.to_csv(runs / "manifest.csv", index=False)
    compared(runs, "ours", "other", by=(column,), min_cell=2)
    cases = read_table(runs / "of-ours/per_case.csv")
    assert set(cases[f"by_{column}"]) == set(manifest[column])
    assert set(cases["patient_id"]) == set(manifest["patient_id"])


def test_figures_of_the_report_before_are_taken_away(tmp_path):
    folder, out = write_diagnoses(tmp_path / "cohort"), tmp_path / "out"
    evaluated(out, folder=folder, by=("center",))
    (out / "figures/mine.png").write_bytes(b"a person's own")
    before = {path.name for path in (out / "figures").iterdir()}
    evaluated(out, folder=folder)
    left = {path.name for path in (out / "figures").iterdir()}
    assert {"forest_diagnosis_center.png", "forest_diagnosis_center.svg"} <= before - left
    assert left == {"mine.png", *json.loads((out / "run.json").read_text())["figures"]}


def test_answers_of_two_models_are_told_and_a_series_that_stands_twice_is_refused(tmp_path):
    folder = write_diagnoses(tmp_path / "cohort")
    found = read_table(folder / "predictions.csv")
    found["model"] = ["a", "b"] * (len(found) // 2)
    found.to_csv(folder / "predictions.csv", index=False)
    notes = evaluated(tmp_path / "out", folder=folder).notices.notes
    assert any("its answers are of 2 models: a, b" in line for line in notes)
    found["series_id"] = "x"
    twice = found.iloc[[*range(len(found)), 3]]
    twice.to_csv(folder / "predictions.csv", index=False)
    with pytest.raises(StudyError, match="series_id 'x' of study 's3' stands twice"):
        evaluated(tmp_path / "again", folder=folder)


def test_two_models_of_all_labels_are_no_seeds_of_one(tmp_path):
    folder = write_diagnoses(tmp_path / "cohort")
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "predictions.csv").write_bytes((folder / "predictions.csv").read_bytes())
        model = {"name": name, "label_fraction": 1.0, "from_scratch": False}
        (tmp_path / name / "run.json").write_text(json.dumps({"model": model}))
    done = evaluated(
        tmp_path / "out", predictions=tmp_path / "one/predictions.csv", labels=folder / "labels.csv",
        compare=[tmp_path / "two"],
    )  # fmt: skip
    assert not find(done.rows, grouping="label_fraction")
