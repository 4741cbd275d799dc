"""Finding series: unique ids, results passed over, manifests that may not lead astray."""

import nibabel as nib
import numpy as np
import pytest

from orthodx.errors import StudyError
from orthodx.joints import View
from orthodx.studies.discover import find_series
from orthodx.studies.manifest import read_manifest, read_table, write_table


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
    assert len({s.series_id for s in find_series([tmp_path / "a", tmp_path / "a"]).series}) == 2


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


def test_a_manifest_cannot_lead_out_of_its_folder(tmp_path):
    put(tmp_path / "secret.nii.gz")
    (tmp_path / "study").mkdir()
    (tmp_path / "study/manifest.csv").write_text(HEADER + "p,s,../../evil,../secret.nii.gz,\n")
    found = find_series([tmp_path / "study"])
    assert not found.series
    assert "leads out" in found.refused[0][1]


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"a,b\n\0,1\n", "NUL"),
        ("a,b\né,1\n".encode("latin-1"), "UTF-8"),
        (b"a,a\n1,2\n", "twice"),
        (b"", "empty"),
    ],
)
def test_a_table_no_one_can_trust_is_refused(tmp_path, raw, reason):
    path = tmp_path / "t.csv"
    path.write_bytes(raw)
    with pytest.raises(StudyError, match=reason):
        read_table(path)


def test_spreadsheet_habits_are_forgiven(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes("\ufeffpatient_id;study_id;series_id;path\nNA;1;s;x.nii\n".encode())
    assert read_manifest(path)[0] == {"patient_id": "NA", "study_id": "1", "series_id": "s", "path": "x.nii"}


def test_formulas_are_written_harmless(tmp_path):
    write_table(tmp_path / "t.csv", [{"a": "=1+1", "b": -2.5}], ["a", "b"])
    assert (tmp_path / "t.csv").read_text() == "a,b\n'=1+1,-2.5\n"
