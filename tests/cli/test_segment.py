"""Options of `orthodx segment`, by what they change."""

import csv
import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from typer.testing import CliRunner

from orthodx.cli.app import app
from orthodx.studies.nifti import write_image
from orthodx.synth.dicom_writer import write_dicom_series

pytestmark = pytest.mark.usefixtures("one_thread")
ROW = dict(
    patient_id="P1", study_id="S1", series_id="A", center="Harbour", vendor="SIEMENS", laterality="left",
    view="axial", sequence="pd", field_strength=1.5, tr=3000.0, te=30.0, fat_suppressed=True,
)  # fmt: skip


@pytest.fixture
def segment(bundle):
    def go(*words, code=0):
        line = ["segment", *map(str, words), "--model", str(bundle.path), "--device", "cpu", "--no-preview"]
        done = CliRunner().invoke(app, line)
        assert done.exit_code == code, done.output
        return done

    return go


@pytest.fixture
def pools(monkeypatch):
    """Sizes of the thread pools that are made."""
    sizes, begin = [], ThreadPoolExecutor.__init__

    def init(self, workers):
        sizes.append(workers)
        begin(self, workers)

    monkeypatch.setattr(ThreadPoolExecutor, "__init__", init)
    return sizes


def views(folder):
    with (folder / "volumes.csv").open(newline="") as file:
        return {row["view"] for row in csv.DictReader(file)}


@pytest.fixture
def image(tmp_path):
    """A small axial series."""
    data = np.random.default_rng(3).integers(1, 2000, (32, 32, 5)).astype(np.int16)
    write_image(tmp_path / "axial.nii.gz", data, np.diag([1.5, 1.5, 4, 1]))
    return tmp_path / "axial.nii.gz"


def test_a_named_view_is_read_whatever_the_image_says(segment, image, tmp_path):
    assert segment(image, "-o", tmp_path / "a", "-q").output == ""
    assert segment(image, "-o", tmp_path / "b", "--quiet", "--view", "coronal").output == ""
    assert (views(tmp_path / "a"), views(tmp_path / "b")) == ({"axial"}, {"coronal"})


def status(folder):
    with (folder / "status.csv").open(newline="") as file:
        return {row["series_id"]: row for row in csv.DictReader(file)}


def test_3d_series_are_read_in_three_planes_and_in_a_hurry_once_in_their_own(segment, image, tmp_path):
    data = np.random.default_rng(4).integers(1, 2000, (24, 32, 36)).astype(np.int16)
    write_image(tmp_path / "thin.nii.gz", data, np.diag([1.5, 1.0, 1.0, 1]))
    both = (image, tmp_path / "thin.nii.gz")
    segment(*both, "--out", tmp_path / "a")
    assert {name: row["planes"] for name, row in status(tmp_path / "a").items()} == {"axial": "1", "thin": "3"}
    segment(*both, "--out", tmp_path / "b", "--fast")
    assert {row["planes"] for row in status(tmp_path / "b").values()} == {"1"}
    qualities = {}
    for folder in ("a", "b"):
        with (tmp_path / folder / "volumes.csv").open(newline="") as file:
            qualities[folder] = {row["quality"] for row in csv.DictReader(file)}
    assert qualities["b"] == {""}
    assert not [row["reason"] for row in status(tmp_path / "b").values() if "unsure" in row["reason"]]
    assert [row["reason"] for row in status(tmp_path / "a").values() if "unsure" in row["reason"]]
    assert qualities["a"] != {""}
    assert json.loads((tmp_path / "b/run.json").read_text(encoding="utf-8"))["counts"]["failed"] == 0
    assert "other options" in segment(*both, "--out", tmp_path / "b", "--resume", code=2).stderr
    written = (tmp_path / "b/thin.nii.gz").stat().st_ino
    segment(*both, "--out", tmp_path / "b", "--fast", "--resume")
    assert (tmp_path / "b/thin.nii.gz").stat().st_ino == written


def test_workers_read_ahead_and_change_nothing(segment, image, tmp_path, pools):
    assert "note: 1 series of 1 study\n" in segment(image, "--out", tmp_path / "none", "--workers", 0).stdout
    assert pools == []
    segment(image, "--out", tmp_path / "three", "--workers", 3)
    assert pools == [3]
    assert (tmp_path / "none/axial.nii.gz").read_bytes() == (tmp_path / "three/axial.nii.gz").read_bytes()


def test_a_finished_case_is_kept_on_resume_only_and_only_if_its_files_are_whole(segment, image, tmp_path):
    line, mask = (image, "--out", tmp_path / "o"), tmp_path / "o/axial.nii.gz"
    segment(*line)
    first, written = mask.read_bytes(), mask.stat().st_ino
    segment(*line, "--resume")
    assert mask.stat().st_ino == written
    for broken in (b"", first[:-9], first[:-9] + bytes(9)):
        mask.write_bytes(broken)
        segment(*line, "--resume")
        assert mask.read_bytes() == first
    written = mask.stat().st_ino
    done = segment(*line, code=2)
    assert f"{tmp_path / 'o'} already holds results -> go on with --resume" in done.stderr
    assert mask.stat().st_ino == written


def test_masks_are_written_in_the_formats_asked_for(segment, tmp_path, monkeypatch):
    pytest.importorskip("highdicom", reason="the extra 'dicom' is not installed")
    monkeypatch.setenv("ORTHODX_KEY", str(tmp_path / "key"))
    data = np.random.default_rng(3).integers(1, 2000, (32, 32, 5)).astype(np.int16)
    write_dicom_series(tmp_path / "dcm", data, np.diag([1.5, 1.5, 4, 1]), ROW, 1)
    for wanted, endings in (("dicom-seg", {".seg.dcm"}), ("nifti,dicom-seg", {".seg.dcm", ".nii.gz"})):
        segment(tmp_path / "dcm", "--out", tmp_path / wanted, "--format", wanted)
        found = {name for end in (".seg.dcm", ".nii.gz") for name in (tmp_path / wanted).glob(f"*{end}")}
        assert {"".join(path.suffixes[-2:]) for path in found} == endings
