"""`--shard I/N`: three runs at once into one place leave what one run leaves."""

import csv
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from typer.testing import CliRunner

from orthodx.cli import exits
from orthodx.cli.app import app
from orthodx.studies.nifti import write_image
from orthodx.studies.shards import Shard
from orthodx.synth.dicom_writer import write_dicom_series

pytestmark = pytest.mark.usefixtures("one_thread")
MOVES = {"seconds", "source", "files"}  # what no two runs share, and what `convert --resume` counts anew
ROW = dict(center="Harbour", vendor="SIEMENS", laterality="left", view="axial", sequence="pd", field_strength=1.5,
           tr=3000.0, te=30.0, fat_suppressed=True)  # fmt: skip
NAMES = [f"s{i}" for i in range(9)]


def volume(seed):
    return np.random.default_rng(seed).integers(1, 2000, (32, 32, 5)).astype(np.int16)


@pytest.fixture(scope="module")
def studies(tmp_path_factory):
    """Nine studies of an image each."""
    folder = tmp_path_factory.mktemp("studies")
    for i, name in enumerate(NAMES):
        write_image(folder / f"{name}.nii.gz", volume(i), np.diag([1.5, 1.5, 4, 1]))
    return folder


@pytest.fixture(scope="module")
def dicom(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dicom")
    for i in range(6):
        ids = {"patient_id": f"P{i}", "study_id": f"S{i}", "series_id": f"A{i}"}
        write_dicom_series(folder / str(i), volume(i), np.diag([1.0, 1, 4, 1]), {**ROW, **ids}, 1)
    (folder / "gone.zip").write_bytes(b"no zip")
    return folder


def table(path):
    with path.open(newline="") as file:
        return sorted(sorted((k, v) for k, v in row.items() if k not in MOVES) for row in csv.DictReader(file))


def one(line, code):
    done = CliRunner().invoke(app, [str(word) for word in line])
    assert done.exit_code == code, done.output
    return done.output


def at_once(line, count):
    """Exit codes of all shards, run at the same time."""
    words = [sys.executable, "-m", "orthodx", *map(str, line)]
    alone = {**os.environ, "OMP_NUM_THREADS": "1"}  # as the run without shards: sums depend on the number of threads
    runs = [
        subprocess.Popen(
            [*words, "--shard", f"{i}/{count}"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=alone
        )
        for i in range(1, count + 1)
    ]
    told = [run.communicate()[0].decode() for run in runs]
    assert "bug" not in "".join(told), told
    return [run.returncode for run in runs]


def lines(command, bundle, diagnosis, studies, dicom, out):
    """The command line into `out`, and the tables that it leaves."""
    tiny, gone = ["--device", "cpu", "--workers", 0], studies / "gone.nii.gz"
    return {
        "segment": (
            ["segment", studies, gone, "-o", out / "m", "--no-preview", "--model", bundle.path, *tiny],
            ["m/status.csv", "m/volumes.csv", "m/measures.csv"],
        ),
        "diagnose": (
            [
                "diagnose",
                studies,
                gone,
                "-o",
                out / "p.csv",
                "--explain",
                out / "why",
                "--model",
                diagnosis.path,
                *tiny,
            ],
            ["p.csv", "p.answers.csv", "p.status.csv", "why/explanation.csv"],
        ),
        "convert": (
            ["convert", dicom, "-o", out / "n", "--workers", 0, "--key", out / "key"],
            ["n/manifest.csv", "n/series.csv", "n/failures.csv"],
        ),
    }[command]


RECORD = {"segment": "m/run.json", "diagnose": "p.run.json", "convert": "n/run.json"}


@pytest.mark.parametrize("command", ["segment", "diagnose", "convert"])
def test_three_at_once_leave_what_one_leaves(command, bundle, diagnosis, studies, dicom, tmp_path):
    whole, parted = tmp_path / "whole", tmp_path / "parted"
    for folder in (whole, parted):
        folder.mkdir()
        (folder / "key").write_text("00" * 16)
    line, tables = lines(command, bundle, diagnosis, studies, dicom, whole)
    one(line, exits.SOME_FAILED)
    line, _ = lines(command, bundle, diagnosis, studies, dicom, parted)
    codes = at_once(line, 3)
    assert sorted(codes) == [0, 0, exits.SOME_FAILED]  # what belongs to no study is the first shard's
    for name in tables:
        assert table(parted / name) == table(whole / name)
    made = [
        sorted(p.relative_to(f) for p in f.rglob("*") if p.is_file() and p.suffix != ".lock") for f in (whole, parted)
    ]
    assert made[0] == made[1]
    ours, theirs = (json.loads((folder / RECORD[command]).read_text()) for folder in (whole, parted))
    assert theirs["counts"] == ours["counts"]
    by_series = [sorted(map(str, record.get("inputs", ()))) for record in (ours, theirs)]
    assert by_series[0] == by_series[1]
    one([*line, "--shard", "2/3", "--resume"], 0)
    assert all(table(parted / name) == table(whole / name) for name in tables if "series.csv" not in name)


def test_a_shard_that_was_killed_is_gone_on_with(bundle, studies, tmp_path):
    out = tmp_path / "m"
    line = ["segment", studies, "-o", out, "--no-preview", "--model", bundle.path, "--device", "cpu", "--workers", 0]
    words = [sys.executable, "-m", "orthodx", *map(str, line), "--shard", "2/2"]
    run = subprocess.Popen(words, stdout=subprocess.PIPE)
    assert run.stdout is not None
    run.stdout.readline()
    while not list(out.glob("*.nii.gz")):
        assert run.poll() is None
    run.kill()
    run.communicate()
    one([*line, "--shard", "1/2"], 0)
    second = {name for name in NAMES if Shard(2, 2).has(name)}
    listed = {dict(row)["study_id"] for row in table(out / "status.csv")}
    assert {name for name in NAMES if Shard(1, 2).has(name)} <= listed
    one([*line, "--shard", "2/2", "--resume"], 0)
    assert {dict(row)["study_id"] for row in table(out / "status.csv")} >= set(NAMES) > second
    assert {path.name for path in out.glob("*.nii.gz")} == {f"{name}.nii.gz" for name in NAMES}
    assert [path for path in out.rglob("*") if path.name.startswith(".part-")] == []


def test_a_shard_without_studies_is_done(bundle, studies, tmp_path):
    empty = next(i for i in range(2, 200) if not any(Shard(i, 200).has(name) for name in NAMES))
    line = ["segment", studies, "-o", tmp_path / "m", "--model", bundle.path, "--device", "cpu"]
    said = one([*line, "--shard", f"{empty}/200"], 0)
    assert f"note: shard {empty}/200: 0 of 9 studies" in said


def test_what_is_no_shard_is_usage(bundle, diagnosis, studies, dicom, tmp_path):
    for line in (
        ["segment", studies, "-o", tmp_path / "m", "--model", bundle.path, "--shard", "4/3"],
        ["diagnose", studies, "-o", tmp_path / "p.csv", "--model", diagnosis.path, "--shard", "4/3"],
        ["convert", dicom, "-o", tmp_path / "n", "--shard", "4/3"],
    ):
        assert "is no shard -> give I/N" in one(line, exits.USAGE)
