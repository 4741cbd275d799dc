"""Tables as people send them: every doubtful cell is named and left out, the rest is scored."""

import numpy as np
import pytest

from orthodx.errors import StudyError, UsageError
from orthodx.evaluation.evaluate import evaluate
from orthodx.evaluation.groups import groupings
from orthodx.evaluation.inputs import Inputs, read_attributes
from orthodx.evaluation.notices import Notices
from orthodx.evaluation.resampling import PatientBootstrap
from orthodx.evaluation.tables import read_diagnoses


def read(folder, notices=None):
    attributes = read_attributes(Inputs(None, None, None, None, folder / "manifest.csv", None), Notices())
    return read_diagnoses(folder / "predictions.csv", folder / "labels.csv", attributes, notices or Notices())


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def cell(path, study, column, value):
    lines = [line.split(",") for line in path.read_text().splitlines()]
    where, key = lines[0].index(column), lines[0].index("study_id")
    for line in lines[1:]:
        if line[key] == study:
            line[where] = value
    path.write_text("\n".join(map(",".join, lines)) + "\n")


def test_a_blank_label_is_unknown_not_negative(diagnoses):
    cell(diagnoses / "labels.csv", "s3", "ACL", "")
    notices = Notices()
    d = read(diagnoses, notices)
    assert np.isnan(d.truth[3, 0])
    assert not np.isnan(d.truth[3, 1])
    assert (d.known(0).sum(), d.known(1).sum()) == (79, 80)
    assert notices.refused == []


@pytest.mark.parametrize("value", ["nan", "", "1.2", "-0.1", "inf", "=1+1", "high"])
def test_what_is_no_probability_is_named_and_left_out(diagnoses, value):
    cell(diagnoses / "predictions.csv", "s5", "MM", value)
    notices = Notices()
    d = read(diagnoses, notices)
    assert np.isnan(d.probability[5, 1])
    assert d.known(1).sum() == 79
    (line,) = notices.refused
    assert "predictions.csv: MM: 1 value is no" in line
    assert f"s5: '{value}'" in line


@pytest.mark.parametrize("value", ["2", "yes", "NA", "0.5"])
def test_a_label_that_is_not_0_1_or_blank_is_unknown(diagnoses, value):
    cell(diagnoses / "labels.csv", "s2", "ACL", value)
    notices = Notices()
    assert np.isnan(read(diagnoses, notices).truth[2, 0])
    assert f"s2: '{value}'" in notices.refused[0]


def test_ids_and_columns_without_a_partner_are_named(diagnoses):
    edit(diagnoses / "labels.csv", "s7,", "stranger,")
    edit(diagnoses / "labels.csv", "study_id,ACL,MM", "study_id,ACL,LCL")
    notices = Notices()
    d = read(diagnoses, notices)
    assert d.labels == ("ACL",)
    assert len(d.studies) == 79
    text = "\n".join(notices.notes)
    assert "1 study has no truth in labels.csv: s7" in text
    assert "1 study has no prediction, missing from all numbers: stranger" in text
    assert "labels.csv: columns without a partner in predictions.csv are not scored: LCL" in text
    assert "predictions.csv: columns without a partner in labels.csv are not scored: MM" in text


def test_tables_that_cannot_be_joined_say_why(diagnoses):
    edit(diagnoses / "labels.csv", "study_id,ACL,MM", "study_id,LCL,PD")
    with pytest.raises(StudyError, match="share no label column") as caught:
        read(diagnoses)
    assert "LCL, PD" in caught.value.hint
    edit(diagnoses / "labels.csv", "study_id,LCL,PD", "case,ACL,MM")
    with pytest.raises(StudyError, match=r"labels.csv: has no column 'study_id'"):
        read(diagnoses)


def test_a_study_that_stands_twice_is_refused_unless_its_series_are_named(diagnoses):
    edit(diagnoses / "labels.csv", "s1,", "s0,")
    with pytest.raises(StudyError, match=r"labels.csv: study_id 's0' stands twice"):
        read(diagnoses)
    edit(diagnoses / "labels.csv", "s0,", "s1,")
    edit(diagnoses / "predictions.csv", "p1,s1,", "p0,s0,")
    with pytest.raises(StudyError, match=r"predictions.csv: study_id 's0' stands twice"):
        read(diagnoses)


def test_series_of_one_study_are_averaged_first(diagnoses):
    lines = ["patient_id,study_id,series_id,ACL,MM", "p0,s0,a,0.2,0.4", "p0,s0,b,0.6,0.4", "p1,s1,a,0.1,0.9"]
    (diagnoses / "predictions.csv").write_text("\n".join(lines))
    d = read(diagnoses)
    assert d.studies.tolist() == ["s0", "s1"]
    assert d.probability[0].tolist() == pytest.approx([0.4, 0.4])


def test_semicolons_decimal_commas_and_bom_are_read(diagnoses):
    text = "\ufeffpatient_id;study_id;ACL;MM\np0;s0;0,25;0,5\n"
    (diagnoses / "predictions.csv").write_text(text, encoding="utf-8")
    assert read(diagnoses).probability.tolist() == [[0.25, 0.5]]


def test_the_patient_comes_from_the_manifest_when_predictions_name_none(diagnoses):
    edit(diagnoses / "predictions.csv", "patient_id,study_id", "views,study_id")
    edit(diagnoses / "manifest.csv", "p1,s1", "p0,s1")
    assert read(diagnoses).patients[:3].tolist() == ["p0", "p0", "p2"]


def test_groups_blank_is_unknown_and_differing_series_are_mixed(diagnoses):
    edit(diagnoses / "manifest.csv", "p0,s0,s0-a,s0.nii.gz,knee,A", "p0,s0,s0-a,s0.nii.gz,knee,")
    with (diagnoses / "manifest.csv").open("a") as file:
        file.write("p2,s2,s2-b,x.nii.gz,knee,B\n")
    manifest = read_attributes(Inputs(None, None, None, None, diagnoses / "manifest.csv", None), Notices()).manifest
    groups = groupings(["center"], ["s0", "s1", "s2", "s4"], None, manifest, None)
    assert groups["center"].tolist() == ["unknown", "B", "mixed", "A"]


def test_groups_cross_and_ages_become_quartiles(diagnoses):
    inputs = Inputs(None, None, None, None, diagnoses / "manifest.csv", diagnoses / "ehr.csv")
    manifest, ehr, _ = read_attributes(inputs, Notices())
    studies = [f"s{i}" for i in range(80)]
    groups = groupings(["center", "age"], studies, None, manifest, ehr)
    assert list(groups) == ["center", "age", "center x age"]
    assert len(set(groups["age"])) == 4
    assert groups["center x age"][0] == f"A x {groups['age'][0]}"
    with pytest.raises(UsageError, match="no column 'vendor'") as caught:
        groupings(["vendor"], studies, None, manifest, ehr)
    assert "center" in caught.value.hint


def test_one_patient_for_most_studies_is_said(diagnoses):
    for i in range(60):
        cell(diagnoses / "predictions.csv", f"s{i}", "patient_id", "unnamed")
    notices = Notices()
    read(diagnoses, notices)
    assert any("60 of 80 studies are of one patient, 'unnamed'" in line for line in notices.notes)


def test_one_patient_gives_no_interval():
    ((low, high),) = PatientBootstrap(np.zeros(9, int), 100).intervals(lambda weights: weights.sum(1))
    assert np.isnan(low)
    assert np.isnan(high)


@pytest.mark.parametrize("table", ["manifest.csv", "ehr.csv", "other.csv"])
def test_a_bad_table_costs_only_itself(diagnoses, tmp_path, table):
    (diagnoses / table).write_bytes(b"study_id,ACL,MM\ns1,0.5,0.5,7\n")
    others = (diagnoses / "other.csv",) if table == "other.csv" else ()
    done = evaluate(tmp_path / "out", folder=diagnoses, compare=others, resamples=100, worst=0)
    (line,) = done.notices.refused
    assert f"{table}: row 2 has 4 cells, the header 3" in line
    assert done.summary["counts"]["diagnosis"]["studies"] == 80


def test_bad_predictions_leave_the_masks(diagnoses, segmented, tmp_path):
    (segmented / "predictions.csv").write_bytes(b"\0")
    (segmented / "labels.csv").write_text("study_id,ACL\nx,1\n")
    done = evaluate(tmp_path / "out", folder=segmented, resamples=100, worst=0, workers=0)
    assert any("predictions.csv: holds NUL bytes" in line for line in done.notices.refused)
    assert done.run.masks is not None


def test_labels_are_joined_and_grouped_whatever_the_case_of_their_columns(diagnoses):
    for name in ("labels.csv", "ehr.csv"):
        path = diagnoses / name
        head, rest = path.read_text().split("\n", 1)
        path.write_text(head.upper().replace("STUDY_ID", "Study ID") + "\n" + rest)
    assert read(diagnoses).labels == ("ACL", "MM")
    ehr = read_attributes(Inputs(None, None, None, None, None, diagnoses / "ehr.csv"), Notices()).ehr
    assert set(groupings(["age"], ["s0", "s1"], None, None, ehr)["age"]) <= {"20", "21"}
