"""`--link` on the command line: a user's own tables, by a hospital's names, from conversion to a score."""

import json

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from orthodx.cli.app import app
from orthodx.networks import ENCODERS
from orthodx.synth.dicom_writer import write_dicom_series

pytestmark = pytest.mark.usefixtures("one_thread")
AFFINE = np.array([[0, 0, 4.0, 0], [-3, 0, 0, 0], [0, -3, 0, 0], [0, 0, 0, 1]])


def orthodx(*words, code=0):
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == code, done.output
    return done


@pytest.fixture
def hospital(tmp_path, monkeypatch):
    """`dicom/` of ten studies, every other one bright, and `reading.csv` by the names of their folders."""
    monkeypatch.setenv("ORTHODX_KEY", str(tmp_path / "key"))
    ortho = ENCODERS.get("ortho")
    monkeypatch.setitem(ortho.presets, "tiny", ortho.Config(channels=(32, 16, 16, 16), time_channels=16))
    rng, rows = np.random.default_rng(0), []
    for i in range(10):
        row = dict(
            patient_id=f"P{i}", study_id=f"S{i}", series_id=f"S{i}-x", center="C", vendor="GE", view="sagittal",
            laterality="left", sequence="pd", field_strength=1.5, tr=3000.0, te=30.0, fat_suppressed=True,
        )  # fmt: skip
        image = rng.normal(300, 30, (32, 32, 8)) + 500 * (i % 2)
        write_dicom_series(tmp_path / f"dicom/SecretName{i}/MR", image.astype(np.int16), AFFINE, row, 1)
        rows.append({"folder": f"SecretName{i}", "ACL": i % 2, "MM": i % 2})
    pd.DataFrame(rows).to_csv(tmp_path / "reading.csv", index=False)
    return tmp_path


def test_labels_by_the_names_of_folders_train_and_score(hospital):
    link, reading, cohort = hospital / "link.csv", hospital / "reading.csv", hospital / "cohort"
    orthodx("convert", hospital / "dicom", "--out", cohort, "--link", link, "--workers", 0)
    orthodx(
        "finetune", cohort, "--task", "diagnose", "--joint", "knee", "--from-scratch", "--head", "mean", "--preset",
        "tiny", "--region", 4, 32, 32, "--pixel-mm", 2, "--view", "sagittal", "--device", "cpu", "--epochs", 1,
        "--labels", reading, "--link", link, "--out", hospital / "fit",
    )  # fmt: skip
    assert sum(json.loads((hospital / "fit/run.json").read_text())["counts"].values()) == 10
    told = pd.read_csv(link, dtype=str)
    predicted = pd.DataFrame({"study_id": told.study_id, "ACL": [0.1 * i for i in range(10)], "MM": 0.5})
    predicted.to_csv(hospital / "p.csv", index=False)
    line = ("evaluate", "--predictions", hospital / "p.csv", "--labels", reading, "--resamples", 100)
    orthodx(*line, "--link", link, "--out", hospital / "report")
    assert json.loads((hospital / "report/summary.json").read_text())["metrics"][0]["n"] == 10
    orthodx(*line, "--out", hospital / "without", code=3)
    results = [path for name in ("cohort", "fit", "report") for path in (hospital / name).rglob("*") if path.is_file()]
    assert not [path.name for path in results if b"SecretName" in path.read_bytes()]


def test_visits_by_accession_or_folder_are_followed(hospital):
    link, cohort, visits = hospital / "link.csv", hospital / "cohort", hospital / "visits.csv"
    for i, name in enumerate(("before", "after")):
        row = dict(
            patient_id="P", study_id=f"V{i}", series_id=f"V{i}-x", center="C", vendor="GE", view="sagittal",
            laterality="left", sequence="pd", field_strength=1.5, tr=3000.0, te=30.0, fat_suppressed=True,
        )  # fmt: skip
        image = np.random.default_rng(i).normal(300, 30, (48, 48, 10)).astype(np.int16)
        write_dicom_series(hospital / f"twice/Secret {name}/MR", image, AFFINE, row, 1)
    visits.write_text("folder;days\nSecret after;90\nSecret before;0\nSecret other;5\n")
    orthodx("convert", hospital / "twice", "--out", cohort, "--link", link, "--workers", 0)
    orthodx("segment", cohort, "--out", hospital / "masks", "--model", "knee-small", "--device", "cpu", "--no-preview")
    line = ("followup", "--manifest", cohort / "manifest.csv", "--masks", hospital / "masks", "--joint", "knee",
            "--visits", visits, "--no-change", "--no-picture", "--workers", 0)  # fmt: skip
    assert (
        "--link is for the table of --visits"
        in orthodx("followup", "--link", link, "--out", hospital / "no", code=2).stderr
    )
    done = orthodx(*line, "--link", link, "--out", hospital / "out")
    assert "changes are more than the measurement error" in done.stdout
    record = json.loads((hospital / "out/run.json").read_text(encoding="utf-8"))
    assert not [path for path in (hospital / "out").rglob("*") if path.is_file() and b"Secret" in path.read_bytes()]
    assert record["refused"] == []


def test_a_link_that_would_do_nothing_or_is_none_is_refused(hospital):
    line = ("--out", hospital / "o", "--link", hospital / "reading.csv")
    done = orthodx("transfer", hospital / "dicom", "--from", "knee-small", "--task", "segment", *line, code=2)
    assert "--link is for --task diagnose" in done.stderr
    done = orthodx("convert", hospital / "dicom", *line, code=3)
    assert "no link" in done.stderr
