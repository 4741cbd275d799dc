"""`orthodx convert` as people and pipelines meet it."""

import csv
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from typer.testing import CliRunner

from orthodx.cli.app import app
from orthodx.synth.dicom_writer import write_dicom_series

ROW = dict(
    patient_id="P1", study_id="S1", series_id="A", center="Harbour", vendor="SIEMENS", laterality="left",
    view="axial", sequence="pd", field_strength=1.5, tr=3000.0, te=30.0, fat_suppressed=True,
)  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    data = np.random.default_rng(3).integers(1, 2000, (16, 18, 6)).astype(np.int16)
    for n in (1, 2):
        row = {**ROW, "series_id": f"A{n}"}
        write_dicom_series(tmp_path / f"dcm/{n}", data, np.diag([0.5, 0.6, 3, 1]), row, n)
    return tmp_path / "dcm"


def orthodx(tmp_path, *arguments):
    env = {**os.environ, "ORTHODX_KEY": str(tmp_path / "key")}
    command = [sys.executable, "-m", "orthodx", "convert", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, env=env)


def test_json_goes_to_stdout_and_a_second_run_wants_resume(folder, tmp_path):
    done = orthodx(tmp_path, folder, "--out", tmp_path / "o", "--json", "--workers", 2)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert (said["converted"], said["refused"], len(said["series"])) == (2, 0, 2)
    again = orthodx(tmp_path, folder, "--out", tmp_path / "o")
    assert again.returncode == 2
    assert "go on with --resume" in again.stderr
    resumed = orthodx(tmp_path, folder, "--out", tmp_path / "o", "--resume")
    assert resumed.returncode == 0
    assert "2 kept" in resumed.stdout


def test_some_refused_is_eight_with_one_line_naming_folder_and_reason(folder, tmp_path):
    sorted((folder / "2").iterdir())[2].unlink()
    done = orthodx(tmp_path, folder, "--out", tmp_path / "o", "--quiet")
    assert done.returncode == 8
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: dcm/2: series 2 echo TE 30 ms: slices are not evenly spaced")
    assert done.stdout == ""


def test_nothing_usable_is_three_and_a_missing_folder_is_named(tmp_path):
    done = orthodx(tmp_path, tmp_path / "absent", "--out", tmp_path / "o")
    assert done.returncode == 3
    assert "absent: no such file or folder" in done.stderr
    assert "Traceback" not in done.stderr
    debug = orthodx(tmp_path, tmp_path / "absent", "--out", tmp_path / "o2", "--debug")
    assert "Traceback" in debug.stderr


def invoke(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_centers_come_from_the_site_map_and_descriptions_when_asked_for(folder, tmp_path):
    (tmp_path / "sites.csv").write_text("vendor,center\nSIEMENS,North Clinic\n")
    line = ("convert", folder, "--key", tmp_path / "key", "--workers", 0, "-q")
    plain = invoke(*line, "-o", tmp_path / "plain")
    mapped = invoke(*line, "-o", tmp_path / "mapped", "--site-map", tmp_path / "sites.csv", "--descriptions")
    assert (plain.exit_code, plain.output, mapped.exit_code, mapped.output) == (0, "", 0, "")
    assert {row["center"] for row in rows(tmp_path / "plain/manifest.csv")} == {"Harbour"}
    assert "description" not in rows(tmp_path / "plain/manifest.csv")[0]
    assert {row["center"] for row in rows(tmp_path / "mapped/manifest.csv")} == {"North Clinic"}
    assert {row["description"] for row in rows(tmp_path / "mapped/manifest.csv")} == {"axial pd"}


def test_ids_follow_the_key(folder, tmp_path):
    ids = []
    for key, name in (("one", "a"), ("one", "b"), ("two", "c")):
        done = invoke("convert", folder, "--out", tmp_path / name, "--key", tmp_path / key, "--workers", 0)
        assert done.exit_code == 0, done.output
        ids.append({row["series_id"] for row in rows(tmp_path / name / "manifest.csv")})
    assert ids[0] == ids[1]
    assert not ids[0] & ids[2]
    assert {path.name for path in tmp_path.iterdir()} >= {"one", "two"}
