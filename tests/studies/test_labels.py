"""Labels and health records as people send them: what is unknown stays unknown, what cannot be true is refused."""

import numpy as np
import pytest

from orthodx.errors import StudyError
from orthodx.studies.labels import read_labels, read_records
from orthodx.studies.records import RECORD_COLUMNS, Record
from orthodx.studies.tables import write_table
from orthodx.synth.grammar import synthetic


@pytest.fixture
def table(tmp_path):
    def write(text, name="labels.csv"):
        (tmp_path / name).write_text(text, encoding="utf-8")
        return tmp_path / name

    return write


def test_a_blank_label_is_unknown(table):
    labels = read_labels(table("study_id,ACL,MM\na,1,0\nb,, 1 \nc,0.0,\n"), ["ACL", "MM"])
    assert labels.study_ids == ("a", "b", "c")
    assert labels.names == ("ACL", "MM")
    assert labels.values.dtype == np.float32
    np.testing.assert_array_equal(labels.values, [[1, 0], [np.nan, 1], [0, np.nan]])
    assert labels.absent == ()


def test_labels_keep_the_order_asked_for_and_absent_columns_are_unknown(table):
    labels = read_labels(table("study_id,comment,MM,ACL\na,fine,0,1\n"), ["ACL", "PCL", "MM"])
    np.testing.assert_array_equal(labels.values, [[1, np.nan, 0]])
    assert labels.absent == ("PCL",)


def test_studies_are_looked_up_by_id_and_strangers_are_unknown(table):
    labels = read_labels(table("study_id,ACL\na,1\nb,0\n"), ["ACL"])
    np.testing.assert_array_equal(labels.of(["b", "stranger", "a"]), [[0], [np.nan], [1]])


def test_semicolons_bom_and_empty_rows_are_read(table):
    labels = read_labels(table("\ufeffstudy_id;ACL\n a ;1,0\n;\nNA;0\n"), ["ACL"])
    assert labels.study_ids == ("a", "NA")
    np.testing.assert_array_equal(labels.values, [[1], [0]])


@pytest.mark.parametrize("value", ["2", "yes", "NA", "0.5", "-1", "=1+1"])
def test_a_label_that_is_not_0_1_or_blank_is_refused_by_row(table, value):
    with pytest.raises(StudyError) as caught:
        read_labels(table(f"study_id,ACL\na,1\n,\nb,{value}\nc,{value}\n"), ["ACL"])
    assert str(caught.value) == f"labels.csv: row 4 (study 'b'): ACL is '{value}' (and 1 more)"
    assert caught.value.hint == "write 1, 0, or nothing where it is unknown"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("study_id,ACL\na,1\nb,0\n a,1\n", "study_id 'a' stands twice"),
        ("study_id,ACL\na,1\n,1\n", "row 3 names no study"),
        ("study_id,LCL\na,1\n", "has no column for any of ACL, MM"),
        ("case,ACL\na,1\n", "has no column 'study_id'"),
    ],
)
def test_labels_that_belong_to_no_one_study_are_refused(table, text, message):
    with pytest.raises(StudyError, match=f"labels.csv: {message}") as caught:
        read_labels(table(text), ["ACL", "MM"])
    assert caught.value.hint


def test_a_record_forgives_case_spaces_decimal_commas_and_gaps(table):
    text = "study_id;Age;HEIGHT;weight;Sex;Patient Type;event\n"
    text += "a; 34 ;178,5;71.5;m;  In-Patient ;Football  match\nb;;;;;;\nc;NA;unknown;?;O;n/a;none\nd;34\n"
    records = read_records(table(text, "ehr.csv"))
    assert records["a"] == Record(
        age=34, height=178.5, weight=71.5, sex="M", patient_type="in-patient", event="football match"
    )
    assert records["b"] == Record()
    assert records["c"] == Record(event="none")
    assert records["d"] == Record(age=34)


def test_a_column_may_name_its_unit(table):
    text = "study_id,Age (years),Height_cm,Weight [kg],event_date,age_group\na,34,178,71,2020,old\n"
    assert read_records(table(text, "ehr.csv")) == {"a": Record(age=34, height=178, weight=71)}
    assert read_records(table("study_id,age,Age (years)\na,34,x\n", "ehr.csv")) == {"a": Record(age=34)}
    for both in ("Height m,Height (cm)\na,1.78,178\n", "Height (cm),Height m\na,178,1.78\n"):
        assert read_records(table(f"study_id,{both}", "ehr.csv")) == {"a": Record(height=178)}
    with pytest.raises(StudyError, match=r"ehr.csv: the column 'Height \(m\)' is not in cm"):
        read_records(table("study_id,age,Height (m)\na,34,1.78\n", "ehr.csv"))
    with pytest.raises(StudyError, match=r"ehr.csv: the column 'weight_lbs' is not in kg"):
        read_records(table("study_id,weight_lbs\na,150\n", "ehr.csv"))


def test_columns_that_are_absent_are_unknown(table):
    assert read_records(table("study_id,age\na,34\n", "ehr.csv")) == {"a": Record(age=34)}
    with pytest.raises(StudyError, match=r"ehr.csv: has no column of a record"):
        read_records(table("study_id,name\na,x\n", "ehr.csv"))
    with pytest.raises(StudyError, match=r"ehr.csv: the column 'age' stands twice"):
        read_records(table("study_id,age,Age\na,1,2\n", "ehr.csv"))
    with pytest.raises(StudyError, match=r"ehr.csv: study_id 'a' stands twice"):
        read_records(table("study_id,age\na,1\na,1\n", "ehr.csv"))


@pytest.mark.parametrize(
    ("column", "value", "fix"),
    [
        ("age", "900", "years from 0 to 120"),
        ("age", "-1", "years from 0 to 120"),
        ("age", "034Y", "write a plain number of years"),
        ("age", "1e1", "write a plain number of years"),
        ("height", "1.78", "height is in cm: write 178"),
        ("height", "178 cm", "write a plain number of cm"),
        ("weight", "70000", "kg from 1 to 400"),
        ("weight", "inf", "write a plain number of kg"),
        ("sex", "w", "write M or F"),
    ],
)
def test_what_no_person_has_is_refused_with_row_and_fix(table, column, value, fix):
    with pytest.raises(StudyError) as caught:
        read_records(table(f"study_id,{column}\na,\nb,{value}\n", "ehr.csv"))
    assert str(caught.value) == f"ehr.csv: row 3 (study 'b'): {column} is '{value}'"
    assert fix in caught.value.hint


def test_what_synth_writes_is_read_back(tmp_path):
    patients = {f"s{i}": synthetic("knee").patient_of(1, i, "Outpost") for i in range(200)}
    rows = [{"study_id": study, **patient.record} for study, patient in patients.items()]
    write_table(tmp_path / "ehr.csv", rows, ("study_id", *RECORD_COLUMNS))
    records = read_records(tmp_path / "ehr.csv")
    assert records.keys() == patients.keys()
    for study, patient in patients.items():
        assert all(getattr(records[study], c) == getattr(patient, c) for c in RECORD_COLUMNS)
    assert any(r.event is None for r in records.values())
