"""From ids back to a hospital's own names: opt-in, private, apart from the results, and never guessed."""

import stat
from pathlib import Path

import numpy as np
import pandas as pd
import pydicom
import pytest

from orthodx.errors import StudyError, UsageError
from orthodx.studies.convert import convert
from orthodx.studies.labels import label_columns, read_by_study, read_labels, read_records
from orthodx.synth.dicom_writer import write_dicom_series

AFFINE = np.array([[0, 0, 4.0, 0], [-3, 0, 0, 0], [0, -3, 0, 0], [0, 0, 0, 1]])


@pytest.fixture
def hospital(tmp_path, monkeypatch):
    """`dicom/` of two patients; A has two studies, b has one, of two series. Accession numbers are 0042, -7, Z."""
    monkeypatch.setenv("ORTHODX_KEY", str(tmp_path / "key"))
    rng = np.random.default_rng(0)
    for n, (patient, study, view, number) in enumerate(
        [
            ("A", "one", "sagittal", "0042"),
            ("A", "two", "sagittal", "-7"),
            ("b", "three", "x", "Z"),
            ("b", "three", "y", "Z"),
        ]
    ):
        row = dict(
            patient_id=patient, study_id=study, series_id=f"{study}-{view}", center="C", vendor="GE", view=view,
            laterality="left", sequence="pd", field_strength=1.5, tr=3000.0, te=30.0, fat_suppressed=True,
        )  # fmt: skip
        data = rng.integers(1, 900, (24, 24, 8)).astype(np.int16)
        folder = write_dicom_series(tmp_path / f"dicom/case_{study}/{view}", data, AFFINE, row, n)
        for path in folder.iterdir():
            ds = pydicom.dcmread(path)
            ds.AccessionNumber = number
            ds.save_as(path)
    return tmp_path


@pytest.fixture
def link(hospital):
    convert([hospital / "dicom"], hospital / "out", link=hospital / "link.csv", workers=0)
    return hospital / "link.csv"


def table(place, **columns):
    pd.DataFrame(columns).to_csv(place / "labels.csv", index=False)
    return place / "labels.csv"


def test_it_tells_what_each_id_stands_for_to_its_owner_only(hospital, link):
    told = pd.read_csv(link, dtype=str, keep_default_na=False)
    manifest = pd.read_csv(hospital / "out/manifest.csv", dtype=str)
    ids = ["patient_id", "study_id", "series_id"]
    assert set(map(tuple, told[ids].to_numpy())) == set(map(tuple, manifest[ids].to_numpy()))
    for row in told.to_dict("records"):
        ds = pydicom.dcmread(sorted(Path(row["folder"]).iterdir())[0])
        for name in ("PatientID", "StudyInstanceUID", "SeriesInstanceUID", "AccessionNumber"):
            assert row[name].removeprefix("'") == ds[name].value
    assert stat.S_IMODE(link.stat().st_mode) == 0o600
    everything = [path for path in (hospital / "out").rglob("*") if path.is_file()]
    assert not [path for path in everything if b"1.2.826" in path.read_bytes()]


def test_without_it_nothing_is_linked(hospital):
    convert([hospital / "dicom"], hospital / "out", workers=0)
    assert {path.name for path in hospital.iterdir()} == {"dicom", "out", "key"}


@pytest.mark.parametrize("inside", ["out/link.csv", "out/deeper/link.csv", "out/../out/x.csv"])
def test_it_never_travels_with_the_images(hospital, inside):
    with pytest.raises(UsageError, match="lies in the output folder"):
        convert([hospital / "dicom"], hospital / "out", link=hospital / inside, workers=0)
    assert not (hospital / "out").exists()


def test_what_is_no_link_is_not_written_over(hospital):
    (hospital / "mine.csv").write_text("study_id,ACL\n1,0\n")
    with pytest.raises(StudyError, match="no link"):
        convert([hospital / "dicom"], hospital / "out", link=hospital / "mine.csv", workers=0)
    assert (hospital / "mine.csv").read_text() == "study_id,ACL\n1,0\n"


def test_a_second_conversion_completes_it(hospital):
    for study in ("one", "three"):
        convert([hospital / f"dicom/case_{study}"], hospital / "out", link=hospital / "l.csv", workers=0, resume=True)
    assert len(pd.read_csv(hospital / "l.csv")) == 3


@pytest.mark.parametrize("column", ["StudyInstanceUID", "Accession Number", "folder", "FOLDER", "study_id", "own"])
def test_a_table_may_use_any_name_of_a_study(hospital, link, column):
    told = pd.read_csv(link, dtype=str).drop_duplicates("study_id")
    own = {
        "StudyInstanceUID": told.StudyInstanceUID, "Accession Number": told.AccessionNumber.str.removeprefix("'"),
        "folder": told.folder, "FOLDER": told.folder.map(lambda text: text.split("/")[-2]), "own": told.study_id,
        "study_id": told.AccessionNumber.str.removeprefix("'"),
    }[column]  # fmt: skip
    name = "study_id" if column == "own" else column
    labels = table(hospital, **{name: list(own), "PatientID": list(told.PatientID), "ACL": ["1", "0", "1"]})
    read = read_labels(labels, ["ACL"], link)
    assert read.study_ids == tuple(told.study_id)
    assert read.values[:, 0].tolist() == [1, 0, 1]
    assert label_columns(labels, (), link) == ("ACL",)
    assert read_by_study(labels, link=link).columns.tolist() == ["study_id", "ACL"]


def test_records_are_found_in_the_same_way(hospital, link):
    told = pd.read_csv(link, dtype=str)
    ehr = table(hospital, PatientID=["b"], age=["40"])
    assert read_records(ehr, link).keys() == set(told.study_id[told.PatientID == "b"])


def test_a_patient_of_two_studies_is_not_guessed(hospital, link):
    labels = table(hospital, PatientID=["b", "A"], ACL=["1", "0"])
    with pytest.raises(StudyError, match=r"labels.csv: row 3: its PatientID is that of 2 studies") as caught:
        read_labels(labels, ["ACL"], link)
    assert caught.value.hint == "name studies by StudyInstanceUID or AccessionNumber"


def test_a_study_that_is_not_here_is_called_by_its_row_and_by_no_name(hospital, link):
    labels = table(hospital, AccessionNumber=["Z", "SECRET-1"], ACL=["1", "0"])
    assert read_labels(labels, ["ACL"], link).study_ids[1] == "row 3 of labels.csv"


def test_without_any_name_it_says_which_it_takes(hospital, link):
    with pytest.raises(StudyError, match="has no column to find its studies by"):
        read_labels(table(hospital, who=["x"], ACL=["1"]), ["ACL"], link)
