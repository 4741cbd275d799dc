"""Converting into a folder once more: nothing is lost, nothing stands twice, what a person wrote stays."""

import csv
import json

import nibabel as nib
import numpy as np
import pydicom
import pytest
from pydicom.uid import generate_uid

from orthodx.errors import NoInputError, StudyError, UsageError
from orthodx.studies import manifest_edits
from orthodx.studies.convert import convert
from orthodx.synth.dicom_writer import write_dicom_series

ROW = dict(
    patient_id="P1", study_id="S1", series_id="A", center="Harbour", vendor="SIEMENS", laterality="left",
    view="sagittal", sequence="pd", field_strength=3.0, tr=3000.0, te=30.0, fat_suppressed=True,
)  # fmt: skip
AFFINE = np.array([[0, 0, -4.0, 30], [0.6, 0, 0, -20], [0, -0.7, 0, 40], [0, 0, 0, 1]])
DATA = np.random.default_rng(3).integers(1, 2000, (20, 24, 10)).astype(np.int16)


@pytest.fixture(autouse=True)
def _own_key(tmp_path, monkeypatch):
    monkeypatch.setenv("ORTHODX_KEY", str(tmp_path / "key"))


@pytest.fixture
def echoes(tmp_path):
    """A folder for each of two echoes of one series; those of the second are half as bright."""
    first = write_dicom_series(tmp_path / "in/e1", DATA, AFFINE, ROW, 7)
    second = tmp_path / "in/e2"
    second.mkdir()
    for path in sorted(first.iterdir()):
        ds = pydicom.dcmread(path)
        ds.EchoNumbers, ds.EchoTime, ds.SOPInstanceUID = 2, 60, generate_uid()
        ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
        ds.PixelData = (ds.pixel_array // 2).tobytes()
        ds.save_as(second / path.name)
    return first, second


def table(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def write(path, rows):
    with path.open("w", newline="") as file:
        out = csv.DictWriter(file, list(rows[0]))
        out.writeheader()
        out.writerows(rows)


def images(out):
    return {path.relative_to(out).as_posix() for path in out.rglob("*.nii.gz")}


def test_an_echo_that_comes_later_by_itself_does_not_replace_the_first(echoes, tmp_path):
    out = tmp_path / "out"
    (first,) = convert([echoes[0]], out)
    before = (out / first.row["path"]).read_bytes()
    told = []
    with pytest.raises(NoInputError):
        convert([echoes[1]], out, resume=True, tell=lambda outcome, done, total: told.append(outcome))
    assert "other images of this series are here already" in told[0].reason
    assert (out / first.row["path"]).read_bytes() == before
    assert [row["te"] for row in table(out / "manifest.csv")] == ["30.0"]
    (again,) = convert([echoes[0]], out, resume=True)
    assert again.status == "kept"


def test_images_that_are_called_otherwise_now_stand_once(echoes, tmp_path):
    out = tmp_path / "out"
    (first,) = convert([echoes[0]], out)
    both = convert([echoes[0].parent], out, resume=True)
    assert {one.series_id for one in both} == {f"{first.series_id}_e1", f"{first.series_id}_e2"}
    rows = table(out / "manifest.csv")
    assert images(out) == {row["path"] for row in rows}
    assert [row["te"] for row in rows] == ["30.0", "60.0"]
    assert {row["series_id"] for row in table(out / "series.csv")} == {one.series_id for one in both}
    sides = {
        row["te"]: json.loads((out / row["path"]).with_suffix("").with_suffix(".json").read_text()) for row in rows
    }
    assert [sides[te]["EchoTime"] for te in ("30.0", "60.0")] == [0.03, 0.06]
    dark, bright = (nib.load(out / row["path"]).get_fdata().sum() for row in reversed(rows))
    assert dark < 0.6 * bright


def test_a_series_that_is_refused_now_leaves_no_older_image(tmp_path):
    out, folder = tmp_path / "out", write_dicom_series(tmp_path / "in/a", DATA, AFFINE, ROW, 7)
    other = write_dicom_series(tmp_path / "in/b", DATA, AFFINE, {**ROW, "series_id": "B"}, 8)
    files = sorted(folder.iterdir())
    late = {path: path.read_bytes() for path in (*files[6:7], *files[8:])}
    for path in files[6:]:
        path.unlink()
    convert([tmp_path / "in"], out)
    assert len(table(out / "manifest.csv")) == 2
    for path, data in late.items():  # the eighth slice never comes
        path.write_bytes(data)
    convert([tmp_path / "in"], out, resume=True)
    (kept,) = table(out / "manifest.csv")
    assert images(out) == {kept["path"]}
    assert {row["status"] for row in table(out / "series.csv")} == {"kept", "refused"}
    assert other.is_dir()


def test_series_without_a_uid_are_of_their_own_folder(tmp_path):
    for number, te in enumerate((30.0, 60.0)):
        folder = write_dicom_series(
            tmp_path / f"in/{number}", DATA, AFFINE, {**ROW, "series_id": "AB"[number], "te": te}, 7
        )
        for path in folder.iterdir():
            ds = pydicom.dcmread(path)
            ds.SeriesInstanceUID = ""
            ds.save_as(path)
    alone = {one.series_id for one in convert([tmp_path / "in/0"], tmp_path / "out")}
    both = {one.series_id for one in convert([tmp_path / "in"], tmp_path / "out", resume=True)}
    assert alone < both
    assert len(both) == 2


def test_what_a_person_wrote_into_the_manifest_stays(tmp_path):
    out = tmp_path / "out"
    untold = write_dicom_series(tmp_path / "in/a", DATA, AFFINE, ROW, 7)
    for path in untold.iterdir():
        ds = pydicom.dcmread(path)
        del ds.Laterality
        ds.save_as(path)
    convert([untold], out)
    (row,) = table(out / "manifest.csv")
    assert row["laterality"] == "unknown"
    write(out / "manifest.csv", [{**row, "laterality": "left", "reader": "AB"}])
    convert(
        [write_dicom_series(tmp_path / "in/b", DATA, AFFINE, {**ROW, "study_id": "S2", "series_id": "B"}, 7).parent],
        out,
        resume=True,
    )
    rows = {one["series_id"]: one for one in table(out / "manifest.csv")}
    assert (rows[row["series_id"]]["laterality"], rows[row["series_id"]]["reader"]) == ("left", "AB")
    assert [one["reader"] for name, one in rows.items() if name != row["series_id"]] == [""]
    write(out / "manifest.csv", [one for name, one in rows.items() if name != row["series_id"]])  # a row is taken out
    convert([tmp_path / "in"], out, resume=True)
    assert row["series_id"] not in {one["series_id"] for one in table(out / "manifest.csv")}
    (out / "manifest.csv").unlink()
    convert([tmp_path / "in"], out, resume=True)
    assert {one["laterality"] for one in table(out / "manifest.csv")} == {"unknown", "left"}


def test_an_input_below_the_output_was_asked_for(tmp_path, monkeypatch):
    write_dicom_series(tmp_path / "here/dicom", DATA, AFFINE, ROW, 7)
    monkeypatch.chdir(tmp_path / "here")
    (one,) = convert(["dicom"], ".")
    assert one.status == "converted"
    (again,) = convert(["dicom"], ".", resume=True)
    assert again.status == "kept"


def test_a_run_that_found_nothing_stands_in_no_ones_way(tmp_path):
    (tmp_path / "empty").mkdir()
    link = tmp_path / "link.csv"
    with pytest.raises(NoInputError):
        convert([tmp_path / "empty"], tmp_path / "out", link=link)
    (one,) = convert(
        [write_dicom_series(tmp_path / "in", DATA, AFFINE, ROW, 7)], tmp_path / "out", link=link, resume=True
    )
    assert one.status == "converted"
    assert [row["status"] for row in table(tmp_path / "out/series.csv")] == ["converted"]


def change(folder, do):
    for path in folder.iterdir():
        ds = pydicom.dcmread(path)
        do(ds)
        ds.save_as(path)


def test_images_without_a_uid_are_not_those_of_another_patient(tmp_path):
    for number, study in enumerate(("S1", "S2")):
        told = {**ROW, "patient_id": f"P{number}", "study_id": study, "series_id": study}
        change(
            write_dicom_series(tmp_path / f"in/{study}", DATA, AFFINE, told, 7),
            lambda ds: setattr(ds, "SOPInstanceUID", ""),
        )
    convert([tmp_path / "in/S1"], tmp_path / "out")
    convert([tmp_path / "in/S2"], tmp_path / "out", resume=True)
    rows = table(tmp_path / "out/manifest.csv")
    assert len(rows) == 2
    assert images(tmp_path / "out") == {row["path"] for row in rows}


def test_a_good_export_takes_the_place_of_a_refused_one(tmp_path):
    folder = write_dicom_series(tmp_path / "in", DATA, AFFINE, ROW, 7)
    whole = {path: path.read_bytes() for path in folder.iterdir()}
    first = sorted(whole)[4]
    first.unlink()
    with pytest.raises(NoInputError):
        convert([folder], tmp_path / "out")
    first.write_bytes(whole[first])
    change(folder, lambda ds: setattr(ds, "SOPInstanceUID", generate_uid()))
    (one,) = convert([folder], tmp_path / "out", resume=True)
    assert one.status == "converted"


@pytest.fixture
def told(echoes, tmp_path):
    """A cohort of one echo whose side a person has filled in, with two columns of their own, one still empty."""
    out = tmp_path / "out"
    change(echoes[0], lambda ds: delattr(ds, "Laterality"))
    change(echoes[1], lambda ds: delattr(ds, "Laterality"))
    convert([echoes[0]], out)
    (row,) = table(out / "manifest.csv")
    write(out / "manifest.csv", [{**row, "laterality": "left", "reader": "", "note": "AB"}])
    return out


def test_what_a_person_wrote_goes_with_a_series_that_is_called_otherwise(told, echoes):
    convert([echoes[0].parent], told, resume=True)
    first, second = table(told / "manifest.csv")
    assert (first["laterality"], first["reader"], first["note"]) == ("left", "", "AB")
    assert (second["laterality"], second["note"]) == ("unknown", "")


def test_what_a_person_wrote_comes_back_with_a_series_that_was_refused(told, echoes):
    gone = sorted(echoes[0].iterdir())[4]
    data = gone.read_bytes()
    gone.unlink()
    with pytest.raises(NoInputError):
        convert([echoes[0]], told, resume=True)
    assert table(told / "manifest.csv") == []
    gone.write_bytes(data)
    convert([echoes[0]], told, resume=True)
    assert [(row["laterality"], row["note"]) for row in table(told / "manifest.csv")] == [("left", "AB")]


def test_what_a_person_wrote_into_the_cohort_of_an_earlier_version_stays(told, echoes):
    for path in (told / ".done").glob(".manifest*"):
        path.unlink()
    for path in (told / ".done").glob("study*.json"):
        receipt = json.loads(path.read_text())
        del receipt["made_from"]["images"]
        path.write_text(json.dumps(receipt))
    (one,) = convert([echoes[0]], told, resume=True)
    assert one.status == "kept"
    assert [(row["laterality"], row["note"]) for row in table(told / "manifest.csv")] == [("left", "AB")]


def test_a_manifest_that_a_spreadsheet_saved_is_understood(told, echoes):
    text = (told / "manifest.csv").read_text().replace(",", ";").replace("series_id", "Series ID")
    (told / "manifest.csv").write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    convert([echoes[0]], told, resume=True)
    assert [(row["laterality"], row["note"]) for row in table(told / "manifest.csv")] == [("left", "AB")]


def test_a_run_that_ended_before_it_kept_its_own_copy_loses_no_series(told, echoes, tmp_path):
    before = (told / ".done/.manifest.csv").read_bytes()
    convert([write_dicom_series(tmp_path / "new", DATA, AFFINE, {**ROW, "study_id": "S2", "series_id": "B"}, 7)], told,
            resume=True)  # fmt: skip
    (told / ".done/.manifest.csv").write_bytes(before)
    convert([echoes[0]], told, resume=True)
    assert len(table(told / "manifest.csv")) == 2


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda rows: [*rows, rows[0]], "series_id '.*' stands twice"),
        (lambda rows: [{k: v for k, v in rows[0].items() if k != "series_id"}], "has no column 'series_id'"),
    ],
)
def test_a_manifest_that_cannot_be_read_is_told_before_any_work(told, echoes, tmp_path, spoil, said):
    write(told / "manifest.csv", spoil(table(told / "manifest.csv")))
    before = (told / "series.csv").read_bytes(), images(told)
    more = write_dicom_series(tmp_path / "new", DATA, AFFINE, {**ROW, "study_id": "S2", "series_id": "B"}, 7)
    with pytest.raises(StudyError, match=said):
        convert([more], told, resume=True)
    assert ((told / "series.csv").read_bytes(), images(told)) == before


def test_an_echo_that_is_refused_under_a_name_that_is_taken_keeps_its_image(echoes, tmp_path):
    out = tmp_path / "out"
    convert([echoes[0].parent], out)
    convert([echoes[0]], out, resume=True)
    with pytest.raises(NoInputError):
        convert([echoes[1]], out, resume=True)
    rows = table(out / "manifest.csv")
    assert [row["te"] for row in rows] == ["30.0", "60.0"]
    assert images(out) == {row["path"] for row in rows}


def test_a_patient_whose_name_was_mended_is_the_same_image(echoes, tmp_path):
    (before,) = convert([echoes[0]], tmp_path / "out")
    change(echoes[0], lambda ds: setattr(ds, "PatientID", "P2"))
    (now,) = convert([echoes[0]], tmp_path / "out", resume=True)
    assert (now.status, now.series_id) == ("converted", before.series_id)
    assert now.row["patient_id"] != before.row["patient_id"]


def test_centers_of_a_site_map_stay_when_only_a_part_is_given_again(tmp_path):
    for name in "AB":
        write_dicom_series(tmp_path / f"in/{name}", DATA, AFFINE, {**ROW, "study_id": name, "series_id": name}, 7)
    (tmp_path / "sites.csv").write_text("center\nRome\n")
    convert([tmp_path / "in"], tmp_path / "out")
    for part in ("in", "in/A"):
        convert([tmp_path / part], tmp_path / "out", resume=True, site_map=tmp_path / "sites.csv")
        assert {row["center"] for row in table(tmp_path / "out/manifest.csv")} == {"Rome"}


def test_what_a_killed_run_wrote_is_no_edit(echoes, tmp_path, monkeypatch):
    out = tmp_path / "out"
    convert([echoes[0]], out)
    (tmp_path / "wrong.csv").write_text("center\nWrong\n")

    def killed(path, target):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(manifest_edits.Path, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            convert([echoes[0]], out, resume=True, site_map=tmp_path / "wrong.csv", descriptions=True)
    assert [row["center"] for row in table(out / "manifest.csv")] == ["Wrong"]
    convert([echoes[0]], out, resume=True)
    (row,) = table(out / "manifest.csv")
    assert row["center"] == "Harbour"
    assert "description" not in row


def test_a_row_that_was_taken_out_stays_out_under_its_new_name(echoes, tmp_path):
    out = tmp_path / "out"
    other = write_dicom_series(tmp_path / "other", DATA, AFFINE, {**ROW, "study_id": "S2", "series_id": "B"}, 7)
    (first,) = convert([echoes[0]], out)
    convert([other], out, resume=True)
    write(out / "manifest.csv", [row for row in table(out / "manifest.csv") if row["series_id"] != first.series_id])
    convert([echoes[0].parent, other], out, resume=True)
    assert {row["te"] for row in table(out / "manifest.csv") if row["series_id"].startswith(first.series_id)} == {
        "60.0"
    }


def test_a_description_that_a_person_wrote_waits_for_its_column(echoes, tmp_path):
    out = tmp_path / "out"
    convert([echoes[0]], out, descriptions=True)
    (row,) = table(out / "manifest.csv")
    write(out / "manifest.csv", [{**row, "description": "mine"}])
    for wanted in (True, False, True):
        convert([echoes[0]], out, resume=True, descriptions=wanted)
    assert [row["description"] for row in table(out / "manifest.csv")] == ["mine"]


def test_a_site_map_without_rows_is_a_wrong_option(echoes, tmp_path):
    (tmp_path / "sites.csv").write_text("center\n")
    with pytest.raises(UsageError, match="has a header and no rows"):
        convert([echoes[0]], tmp_path / "out", site_map=tmp_path / "sites.csv")
