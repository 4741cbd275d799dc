"""Segmenting into a folder once more: a corrected manifest counts, and no mask is lost that someone may want."""

import csv
import shutil

import nibabel as nib
import numpy as np
import pydicom
import pytest
from pydicom.uid import generate_uid

from orthodx.errors import UsageError
from orthodx.inference.segment import segment
from orthodx.studies.claim import Place
from orthodx.studies.receipts import Receipts
from orthodx.synth.dicom_writer import write_dicom_series

ROW = dict(
    patient_id="P1", study_id="S1", series_id="A", center="Harbour", vendor="SIEMENS", laterality="left",
    view="axial", sequence="pd", field_strength=3.0, tr=3000.0, te=30.0, fat_suppressed=True,
)  # fmt: skip
DATA = np.random.default_rng(3).integers(1, 2000, (32, 32, 5)).astype(np.int16)
AFFINE = np.diag([1.5, 1.5, 4, 1])


def table(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def study(images, tmp_path):
    """A folder with one image and its manifest, in which the side is blank."""
    folder = tmp_path / "study"
    folder.mkdir()
    shutil.copy(images["axial"], folder / "k.nii.gz")
    manifest(folder, study="st1", side="", center="")
    return folder


def manifest(folder, *, study, side, center):
    (folder / "manifest.csv").write_text(
        f"patient_id,study_id,series_id,path,laterality,center\np1,{study},k,k.nii.gz,{side},{center}\n"
    )


@pytest.fixture
def run(bundle, tmp_path):
    def do(*folders, **options):
        out = tmp_path / "out"
        segment(folders, out, model=bundle.path, device="cpu", preview=False, resume=out.exists(), **options)
        return out

    return do


def test_what_was_corrected_in_the_manifest_is_told_anew(study, run):
    out = run(study)
    written = (out / "k.nii.gz").stat().st_mtime_ns
    assert {row["laterality"] for row in table(out / "volumes.csv")} == {""}
    manifest(study, study="st1", side="left", center="Rome")
    for _ in range(2):
        run(study)
        for name in ("volumes", "measures"):
            rows = table(out / f"{name}.csv")
            assert {(row["study_id"], row["laterality"], row["center"]) for row in rows} == {("st1", "left", "Rome")}
    manifest(study, study="other", side="left", center="Rome")
    run(study)
    for name in ("status", "volumes", "measures"):
        assert {row["study_id"] for row in table(out / f"{name}.csv")} == {"other"}
    assert (out / "k.nii.gz").stat().st_mtime_ns == written  # no mask depends on it


def test_a_mask_corrected_by_hand_is_not_replaced(study, run):
    out = run(study)
    mask = nib.load(out / "k.nii.gz")
    labels = np.asarray(mask.dataobj).copy()
    labels[0, 0, 0] = 11
    nib.save(nib.Nifti1Image(labels, mask.affine, mask.header), out / "k.nii.gz")
    with pytest.raises(UsageError, match=r"k.nii.gz was changed since it was written"):
        run(study)
    assert np.asarray(nib.load(out / "k.nii.gz").dataobj)[0, 0, 0] == 11


@pytest.fixture
def echoes(tmp_path, monkeypatch):
    """A folder for each of two echoes of one DICOM series."""
    monkeypatch.setenv("ORTHODX_KEY", str(tmp_path / "key"))
    first, second = write_dicom_series(tmp_path / "e1", DATA, AFFINE, ROW, 7), tmp_path / "e2"
    second.mkdir()
    for path in sorted(first.iterdir()):
        ds = pydicom.dcmread(path)
        ds.EchoNumbers, ds.EchoTime, ds.SOPInstanceUID = 2, 60, generate_uid()
        ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
        ds.save_as(second / path.name)
    return first, second


def test_another_echo_does_not_replace_the_mask_of_the_first(echoes, run, tmp_path):
    out = run(echoes[0])
    before = {path.name: path.read_bytes() for path in out.glob("*.nii.gz")}
    with pytest.raises(UsageError, match="is the result of other images of that series"):
        run(echoes[1])
    shutil.move(echoes[0], tmp_path / "moved")
    run(tmp_path / "moved")
    assert {path.name: path.read_bytes() for path in out.glob("*.nii.gz")} == before


def test_masks_of_another_format_are_added(echoes, run):
    pytest.importorskip("highdicom", reason="the extra 'dicom' is not installed")
    out = run(echoes[0])
    (mask,) = out.glob("*.nii.gz")
    before = mask.read_bytes()
    run(echoes[0], formats=("dicom-seg",))
    assert mask.read_bytes() == before
    assert len(list(out.glob("*.seg.dcm"))) == 1


def test_another_series_of_another_format_leaves_the_first_alone(echoes, run, tmp_path):
    pytest.importorskip("highdicom", reason="the extra 'dicom' is not installed")
    other = write_dicom_series(tmp_path / "other", DATA, AFFINE, {**ROW, "study_id": "S2", "series_id": "B"}, 8)
    out = run(echoes[0])
    (mask,) = out.glob("*.nii.gz")
    before = mask.stat().st_mtime_ns
    run(other, formats=("dicom-seg",))
    run(echoes[0], other)
    assert mask.stat().st_mtime_ns == before
    assert len(list(out.glob("*.seg.dcm"))) == 1
    assert len(list(out.glob("*.nii.gz"))) == 2


def test_a_cohort_of_visits_is_no_place_for_masks(images, bundle, tmp_path):
    place = Receipts(Place(tmp_path / "out").receipts)
    place.write("patient", {}, (), [{"study_id": "a"}])  # as `synth --visits` keeps them
    (tmp_path / "out/manifest.csv").write_text("study_id,series_id,path\n")
    with pytest.raises(UsageError, match="holds a cohort"):
        segment([images["axial"]], tmp_path / "out", model=bundle.path, device="cpu", resume=True)
