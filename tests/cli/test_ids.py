"""Ids that are awkward in tables, file names and on command lines go through all commands and come back as written."""

import json

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from orthodx.cli.app import app
from orthodx.networks.encoders.ortho import OrthoConfig, OrthoEncoder
from orthodx.networks.heads import pooled
from orthodx.studies.keys import file_name
from orthodx.studies.tables import write_table
from orthodx.synth.dicom_writer import write_dicom_series

IDS = ("Knee 001/A", "case 7", "Müller", "-12", "007", "7", "=1+1", "muller", "a,b", "1e5", "NA", "Knee 001 A")
SMALL = ("--preset", "tiny", "--device", "cpu", "--view", "sagittal", "--pixel-mm", 2)
AS_TEXT = {"dtype": str, "keep_default_na": False}
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True)
def tiny(monkeypatch, tmp_path):
    monkeypatch.setenv("ORTHODX_KEY", str(tmp_path / "key"))
    monkeypatch.setitem(OrthoEncoder.presets, "tiny", OrthoConfig(channels=(16, 16, 16, 16), time_channels=16))
    monkeypatch.setattr(pooled, "TOKENS", (2, 3, 3))


def orthodx(*words):
    done = CliRunner().invoke(app, [*map(str, words)])
    assert done.exit_code == 0, done.output
    return done


def dicom(folder):
    """As many studies of one sagittal series as there are ids; every second one is bright in the middle."""
    affine = np.array([[0, 0, 4.0, 0], [-2, 0, 0, 0], [0, -2, 0, 0], [0, 0, 0, 1]])
    for i in range(len(IDS)):
        image = np.random.default_rng(i).integers(200, 400, (32, 32, 4))
        image[8:24, 8:24] += 500 * (i % 2)
        row = dict(
            patient_id=f"P{i}", study_id=f"S{i}", series_id=f"R{i}", center=f"site {i % 2}", vendor="GE",
            laterality="left", view="sagittal", sequence="pd", field_strength=1.5, tr=3000.0, te=30.0,
            fat_suppressed=True,
        )  # fmt: skip
        write_dicom_series(folder / str(i), image.astype(np.int16), affine, row, i + 1)


def test_ids_come_back_as_written(bundle, tmp_path):
    dicom(tmp_path / "dicom")
    nifti = tmp_path / "nifti"
    orthodx("convert", tmp_path / "dicom", "--out", nifti, "--workers", 0)

    # the user writes names of their own into the manifest, and tables by them
    rows = pd.read_csv(nifti / "manifest.csv", **AS_TEXT).sort_values("center", kind="stable")
    series = [f"{one}/1" for one in IDS]
    rows["study_id"], rows["patient_id"], rows["series_id"] = IDS, [f" {one} " for one in IDS], series
    write_table(nifti / "manifest.csv", rows.to_dict("records"), tuple(rows.columns))
    bright = [int(i >= len(IDS) // 2) for i in range(len(IDS))]  # sorted by center: site 0 is dark
    labels = [{"study_id": one, "ACL": b, "MM": 1 - b} for one, b in zip(IDS, bright, strict=True)]
    write_table(nifti / "labels.csv", labels, ("study_id", "ACL", "MM"))
    records = [{"study_id": f"{one} ", "age": 30 + i} for i, one in enumerate(IDS)]
    write_table(nifti / "ehr.csv", records, ("study_id", "age"))

    line = ("--from-scratch", "--epochs", 1, "--head", "mean", "--region", 4, 32, 32, "--ehr", nifti / "ehr.csv")
    told = orthodx("finetune", nifti, "--task", "diagnose", "--out", tmp_path / "fit", *line, *SMALL)
    assert "10 studies train, 2 calibrate" in told.output
    assert "left out" not in told.output
    held = pd.read_csv(tmp_path / "fit/validation.csv", **AS_TEXT)
    assert set(held.study_id) < set(IDS)

    told = orthodx("diagnose", nifti, "--model", tmp_path / "fit/my-model", "--out", tmp_path / "predictions.csv",
                   "--ehr", nifti / "ehr.csv", "--explain", tmp_path / "why", "--device", "cpu")  # fmt: skip
    assert "no record" not in told.output
    assert "no study" not in told.output
    found = pd.read_csv(tmp_path / "predictions.csv", **AS_TEXT)
    written = {"'=1+1" if one == "=1+1" else one for one in IDS}
    assert set(found.study_id) == written
    for one in IDS:
        assert json.loads((tmp_path / f"why/{file_name(one)}.json").read_text())["study_id"] == one

    orthodx("segment", nifti, "--model", bundle.path, "--out", tmp_path / "masks", "--device", "cpu")
    status = pd.read_csv(tmp_path / "masks/status.csv", **AS_TEXT)
    assert {one.removeprefix("'") for one in status.series_id} == set(
        series
    )  # a quote where a spreadsheet would run it
    (tmp_path / "truth").mkdir()
    for mask in (tmp_path / "masks").glob("*.nii.gz"):
        (tmp_path / "truth" / mask.name).write_bytes(mask.read_bytes())

    orthodx("evaluate", "--predictions", tmp_path / "predictions.csv", "--labels", nifti / "labels.csv", "--manifest",
            nifti / "manifest.csv", "--ehr", nifti / "ehr.csv", "--by", "center", "--masks",
            tmp_path / "masks", "--truth", tmp_path / "truth", "--out", tmp_path / "report",
            "--resamples", 100, "--workers", 0)  # fmt: skip
    cases = pd.read_csv(tmp_path / "report/per_case.csv", **AS_TEXT)
    for task in ("diagnosis", "segmentation"):
        assert set(cases[cases.task == task].study_id) == written
    assert set(cases.center) == {"site 0", "site 1"}
