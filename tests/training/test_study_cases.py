"""Studies read for a diagnosis: whose image, label and record it is, and what is said of those that do not match."""

import numpy as np
import pytest

from orthodx.errors import NoInputError, UsageError
from orthodx.grid.region import RegionSpec
from orthodx.grid.spec import GridSpec
from orthodx.joints import KNEE, Abnormality, Joint, View
from orthodx.studies.nifti import write_image
from orthodx.studies.series import Series
from orthodx.studies.tables import write_table
from orthodx.studies.volume import Volume
from orthodx.training.diagnosis import study_cases
from orthodx.training.diagnosis.study_cases import labels_in, open_cases, others_table, table_of

GRID, REGION = GridSpec(pixel_mm=2.0), RegionSpec(slices=4, rows=32, columns=32)
AFFINE = np.array([[0, 0, 4, 0], [2, 0, 0, 0], [0, 2, 0, 0], [0, 0, 0, 1]], float)


def image(seed):
    return np.random.default_rng(seed).integers(0, 900, (32, 32, 4)).astype(np.int16)


@pytest.fixture
def folder(tmp_path):
    for i in range(2):
        write_image(tmp_path / "in" / f"s{i}" / f"s{i}.nii.gz", image(i), AFFINE)
    rows = [{"study_id": f"s{i}", "ACL": i % 2} for i in range(3)]
    write_table(tmp_path / "in" / "labels.csv", rows, ("study_id", "ACL"))
    return tmp_path / "in"


def opened(folder, say=lambda line: None, **more):
    labels = table_of([folder], None)
    return open_cases([folder], ("ACL",), GRID, REGION, folder.parent / "cache", labels=labels, say=say, **more)


def test_two_series_of_one_folder_keep_their_own_images(tmp_path):
    (tmp_path / "dicom").mkdir()
    one, other = (
        Series("p", "s", name, tmp_path / "dicom", View.SAGITTAL, False,
               load=lambda seed=seed: Volume(image(seed).astype(np.float32), AFFINE, "x"))
        for seed, name in enumerate("ab")
    )  # fmt: skip
    kept = [study_cases._kept(s, GRID, REGION, tmp_path) for s in (one, other, one)]
    assert kept[0].content != kept[1].content
    assert kept[0] == kept[2]


def test_labels_without_an_image_are_told(folder):
    lines = []
    assert [c.study_id for c in opened(folder, lines.append)] == ["s0", "s1"]
    assert lines == ["1 study with labels and no image here, such as 's2'"]


def test_the_first_table_with_a_record_counts(folder):
    for name, rows in (("a", [("s0", 30)]), ("b", [("s0", 50), ("s1", 60)])):
        write_table(folder / f"{name}.csv", [dict(study_id=s, age=a) for s, a in rows], ("study_id", "age"))
    assert [c.record.age for c in opened(folder, ehr=(folder / "a.csv", folder / "b.csv"))] == [30, 60]


def test_a_study_of_both_sides_never_trains(folder):
    rows = [("s0", "a", "s0/s0.nii.gz", "left"), ("s0", "b", "s1/s1.nii.gz", "right")]
    columns = ("patient_id", "study_id", "series_id", "path", "laterality")
    write_table(folder / "manifest.csv", [dict(zip(columns, ("P", *row), strict=True)) for row in rows], columns)
    left = []
    with pytest.raises(NoInputError):
        opened(folder, leave=left.append)
    assert "a left and of a right joint" in left[0].line


def test_further_studies_have_the_table_in_their_folder_then_the_one_given_then_one_beside_it(folder, tmp_path):
    given, said = tmp_path / "given.csv", []
    assert others_table([folder], given, said.append) == folder / "labels.csv"
    assert said == ["in has a labels.csv of its own, which is read instead of --labels"]
    (folder / "labels.csv").rename(tmp_path / "labels.csv")
    assert others_table([folder], given, said.append) == given
    assert others_table([folder], None, said.append) == tmp_path / "labels.csv"
    assert len(said) == 1
    (folder / "manifest.csv").write_text("patient_id,study_id,series_id,path\n")
    (tmp_path / "labels.csv").rename(folder / "labels.csv")
    assert others_table([folder / "manifest.csv"], given, said.append) == folder / "labels.csv"


def test_what_cannot_be_read_is_not_blamed_on_the_labels(folder):
    for i in range(2):
        (folder / f"s{i}" / f"s{i}.nii.gz").write_bytes(b"no image")
    with pytest.raises(NoInputError, match="no labelled study in") as caught:
        opened(folder)
    assert "reason above" in caught.value.hint


def test_a_cohort_without_labels_names_the_file(folder):
    (folder / "labels.csv").unlink()
    with pytest.raises(UsageError, match=r"no labels\.csv beside") as caught:
        opened(folder)
    assert "put it there" in caught.value.hint


def test_two_patients_under_one_study_id_never_train(folder):
    write_image(folder / "other" / "x.nii.gz", image(7), AFFINE)
    rows = [("p0", "s0", "a", "s0/s0.nii.gz"), ("p9", "s0", "b", "other/x.nii.gz"), ("p1", "s1", "c", "s1/s1.nii.gz")]
    columns = ("patient_id", "study_id", "series_id", "path")
    write_table(folder / "manifest.csv", [dict(zip(columns, row, strict=True)) for row in rows], columns)
    lines = []
    assert [c.study_id for c in opened(folder, leave=lambda one: lines.append(one.line))] == ["s1"]
    assert any("'s0' has series of 2 patients (p0, p9)" in line for line in lines)


def test_ids_are_joined_as_people_spell_them(folder):
    (folder / "s0").rename(folder / "Mu\u0308ller 007")
    write_table(folder / "labels.csv", [{"study_id": " M\u00fcller 007 ", "ACL": 1}], ("study_id", "ACL"))
    write_table(folder / "ehr.csv", [{"study_id": "M\u00fcller 007", "age": 33}], ("study_id", "age"))
    (case,) = opened(folder, ehr=[folder / "ehr.csv"])
    assert (case.study_id, case.labels.tolist(), case.record.age) == ("M\u00fcller 007", [1.0], 33)


def test_the_labels_of_the_table_are_learned_and_others_told(folder):
    own = Joint("mine", (), (Abnormality("ACL", "", None, 1), Abnormality("MM", "", None, 2)))
    table, lines = folder / "labels.csv", []
    write_table(table, [{"study_id": "s0", "note": "x", "ACL": 1}], ("study_id", "note", "ACL"))
    assert labels_in(table, own, lines.append) == ("ACL",)
    assert lines == ["labels.csv: note: no abnormality of the mine, not learned"]
    assert labels_in(table, Joint("any", KNEE.structures), lines.append) == ("note", "ACL")
    with pytest.raises(UsageError, match="no column for any of TFCC"):
        labels_in(table, Joint("wrist", (), (Abnormality("TFCC", "", None, 1),)), lines.append)
