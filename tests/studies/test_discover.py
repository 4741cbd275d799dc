"""Finding series: unique ids, results passed over, manifests that may not lead astray."""

import nibabel as nib
import numpy as np
import pytest

from orthodx.errors import StudyError
from orthodx.joints import View
from orthodx.studies.discover import find_series
from orthodx.studies.keys import file_name
from orthodx.studies.manifest import read_manifest
from orthodx.studies.mask_files import files_by_name, truth_of
from orthodx.studies.tables import read_table, write_table


def put(path, shape=(20, 20, 9)):
    path.parent.mkdir(parents=True, exist_ok=True)
    data = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    nib.save(nib.Nifti1Image(data, np.diag([0.5, 0.5, 3, 1])), path)
    return path


def test_same_named_files_of_two_studies_get_two_ids(tmp_path):
    put(tmp_path / "a/pd.nii.gz")
    put(tmp_path / "b/pd.nii.gz")
    ids = [s.series_id for s in find_series([tmp_path]).series]
    assert sorted(ids) == ["a_pd", "b_pd"]


def test_results_are_not_taken_for_images(tmp_path):
    put(tmp_path / "pd.nii.gz")
    put(tmp_path / "truth/pd.nii.gz")
    put(tmp_path / "masks/pd.nii.gz")
    assert len(find_series([tmp_path]).series) == 1


def test_what_is_missing_or_foreign_is_refused_and_the_rest_goes_on(tmp_path):
    good, text = put(tmp_path / "good.nii.gz"), tmp_path / "notes.txt"
    text.write_text("hello")
    found = find_series([good, text, tmp_path / "absent"])
    assert len(found.series) == 1
    assert len(found.refused) == 2


def test_a_view_can_be_forced(tmp_path):
    assert find_series([put(tmp_path / "x.nii.gz")], View.CORONAL).series[0].view is View.CORONAL


HEADER = "patient_id,study_id,series_id,path,view\n"


def test_a_manifest_names_the_series(tmp_path):
    put(tmp_path / "s/x.nii.gz")
    (tmp_path / "manifest.csv").write_text(HEADER + "p1,s1,first,s/x.nii.gz,coronal\n")
    (series,) = find_series([tmp_path]).series
    assert (series.patient_id, series.series_id, series.view) == ("p1", "first", View.CORONAL)


def test_a_manifest_below_the_folder_given_is_told_of(tmp_path):
    put(tmp_path / "all/s/x.nii.gz")
    (tmp_path / "all/s/manifest.csv").write_text(HEADER + "p1,s1,first,x.nii.gz,coronal\n")
    found = find_series([tmp_path / "all"])
    (note,) = [note for note in found.notes if "manifest.csv" in note]
    assert note.endswith("s/manifest.csv: not read; to use it, name its folder as a STUDY")
    assert [one.study_id for one in find_series([tmp_path / "all/s"]).series] == ["s1"]


def test_two_masks_of_one_name_are_refused(tmp_path):
    for name in ("x.nii", "x.nii.gz", "y.nii"):
        put(tmp_path / "masks" / name)
    with pytest.raises(StudyError, match=r"holds x\.nii and x\.nii\.gz") as caught:
        files_by_name(tmp_path / "masks")
    assert "keep the one that counts" in caught.value.hint


def test_columns_are_known_however_they_are_spelt(tmp_path):
    put(tmp_path / "x.nii.gz")
    text = "Patient ID;StudyID;series_id;Path;Laterality;Field Strength;Days\np;s;a;x.nii.gz;left;1.5;30\n"
    (tmp_path / "manifest.csv").write_text(text)
    (row,), _ = read_manifest(tmp_path / "manifest.csv")
    assert (row["laterality"], row["field_strength"], row["days"]) == ("left", "1.5", "30")


def test_a_manifest_cannot_lead_out_of_its_folder(tmp_path):
    put(tmp_path / "secret.nii.gz")
    (tmp_path / "study").mkdir()
    (tmp_path / "study/manifest.csv").write_text(HEADER + "p,s,../../evil,../secret.nii.gz,\n")
    found = find_series([tmp_path / "study"])
    assert not found.series
    assert "leads out" in found.refused[0][1]


def test_spreadsheet_habits_are_forgiven(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes("\ufeffpatient_id;study_id;series_id;path\nNA;1;s;x.nii\n".encode())
    (row,), faults = read_manifest(path)
    assert row == {"patient_id": "NA", "study_id": "1", "series_id": "s", "path": "x.nii"}
    assert not faults


def test_formulas_are_written_harmless_and_read_as_they_were(tmp_path):
    write_table(tmp_path / "t.csv", [{"a": "=1+1", "b": -2.5}, {"a": "'-x", "b": "it's"}], ["a", "b"])
    assert (tmp_path / "t.csv").read_text() == "a,b\n'=1+1,-2.5\n''-x,it's\n"
    assert read_table(tmp_path / "t.csv").to_dict("list") == {"a": ["=1+1", "'-x"], "b": ["-2.5", "it's"]}
    write_table(tmp_path / "h.csv", [{"-a": "1"}], ["-a"])
    assert list(read_table(tmp_path / "h.csv").columns) == ["-a"]


def test_blank_ids_join_nobody(tmp_path):
    for name in "abcd":
        put(tmp_path / f"{name}.nii.gz")
    rows = "p1,s1,a,a.nii.gz,\np1,,b,b.nii.gz,\np1,s1,,c.nii.gz,\n ,s2,d,d.nii.gz,\n"
    (tmp_path / "manifest.csv").write_text(HEADER + rows)
    found = find_series([tmp_path])
    assert [(s.study_id, s.patient_id, len(s.series)) for s in found.studies] == [("s1", "p1", 1), ("s2", "", 1)]
    assert [(bad.source, bad.reason) for bad in found.refused] == [
        (f"{tmp_path}/manifest.csv row 3", "names no study; fill in study_id"),
        (f"{tmp_path}/manifest.csv row 4", "names no series; fill in series_id"),
    ]
    assert found.notes == [f"{tmp_path}/manifest.csv: 1 study names no patient; each counts as a patient of its own"]


def test_two_patients_under_one_study_are_refused_as_a_whole(tmp_path):
    for name in "abc":
        put(tmp_path / f"{name}.nii.gz")
    (tmp_path / "manifest.csv").write_text(HEADER + "p1,s,a,a.nii.gz,\np2,s,b,b.nii.gz,\np2,t,c,c.nii.gz,\n")
    found = find_series([tmp_path])
    assert [study.study_id for study in found.studies] == ["t"]
    ((_, reason, study),) = found.refused
    assert study == "s"
    assert reason.startswith("study 's' has series of 2 patients (p1, p2)")


def test_a_table_no_one_can_read_costs_only_itself(tmp_path):
    put(tmp_path / "good/x.nii.gz")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad/manifest.csv").write_bytes(b"\0")
    found = find_series([tmp_path / "bad", tmp_path / "good"])
    assert len(found.series) == 1
    assert "NUL bytes" in found.refused[0].reason


@pytest.mark.parametrize(
    "name", ["Knee 001/A", "case 7", "M\u00fcller", "-12", "007", ".hidden", "con", "a" * 300, "膝" * 99, "  x"]
)
def test_any_id_has_a_file_name_of_its_own(name):
    file = file_name(name)
    assert file == file_name(file)
    assert file == file_name(f" {name} ")
    assert not set(file) & set('/\\ :*?"<>|')
    assert file[0] not in ".-"
    assert len(file.encode()) < 220
    others = {file_name(other) for other in ("Knee 001 A", "case_7", "Muller", "12", "7", "hidden", "con_", "a" * 299)}
    assert file not in others


def test_masks_are_found_however_the_id_is_spelled(tmp_path):
    put(tmp_path / "truth" / "case 7.nii.gz")
    put(tmp_path / "truth" / "Mu\u0308ller.nii")
    found = files_by_name(tmp_path / "truth")
    assert found[file_name("case 7")].name == "case 7.nii.gz"
    assert found[file_name("M\u00fcller")].suffix == ".nii"


def test_every_case_of_nnunet_is_a_study_and_its_labels_are_its_truth(tmp_path):
    root = tmp_path / "Dataset001_X"
    for case in ("one", "two"):
        put(root / "imagesTr" / f"{case}_0000.nii.gz")
        put(root / "labelsTr" / f"{case}.nii.gz")
    found = find_series([root])
    assert sorted(study.study_id for study in found.studies) == ["one", "two"]
    assert [truth_of(root, s).name for s in found.series] == ["one.nii.gz", "two.nii.gz"]
