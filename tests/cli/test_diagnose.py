"""`orthodx diagnose` as people and pipelines meet it."""

import csv
import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from typer.testing import CliRunner

from orthodx.cli.app import app


def only_row(path):
    with path.open(newline="") as file:
        (row,) = csv.DictReader(file)
    return row


@pytest.fixture
def knee_folder(images, tmp_path):
    folder = tmp_path / "knee"
    folder.mkdir()
    for view in ("sagittal", "axial"):
        shutil.copy(images[view], folder)
    return folder


@pytest.fixture
def diagnose(diagnosis):
    def go(*arguments, model=None):
        line = ["diagnose", *map(str, arguments), "--model", str((model or diagnosis).path), "--device", "cpu"]
        return CliRunner().invoke(app, line)

    return go


def test_a_pipeline_gets_json_and_a_person_the_positive_labels(knee_folder, diagnosis, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "orthodx", "diagnose", knee_folder, "--out", f"{tmp_path}/out/", "--json",
         "--model", diagnosis.path],
        capture_output=True, text=True, timeout=300, env={**os.environ, "OMP_NUM_THREADS": "2"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["out"] == str(tmp_path / "out/predictions.csv")
    (case,) = told["cases"]
    row = only_row(tmp_path / "out/predictions.csv")
    assert {name: str(value) for name, value in case["probabilities"].items()} == {
        n: row[n] for n in case["probabilities"]
    }
    note, first, last = done.stderr.strip().splitlines()
    assert "put together: 'knee' (2)" in note
    answers = {one["label"]: one for one in case["answers"]}
    assert {name for name, one in answers.items() if one["positive"]} == set(case["positive"]) != set()
    named = ", ".join(
        f"{name} {float(row[name]):.2f} (from {answers[name]['threshold']:.2f}, {answers[name]['by']})"
        for name in case["positive"]
    )
    assert first.startswith(f"[1/1] knee  sagittal+axial  {named}  ")
    assert last == f"1 of 1 studies diagnosed -> {told['out']}"


def test_some_failed_is_eight_none_is_three_and_each_is_one_line(diagnose, knee_folder, tmp_path):
    bad = tmp_path / "bad"
    bad.mkdir()
    (bad / "x.nii.gz").write_text("no image")
    done = diagnose(knee_folder, bad, tmp_path / "nowhere", "--out", tmp_path / "p.csv")
    assert done.exit_code == 8
    errors = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert len(errors) == 2
    assert "nowhere: no such file or folder" in errors[0]
    assert "x.nii.gz: not a whole NIfTI image" in errors[1]
    assert "1 of 3 studies diagnosed" in done.stdout
    done = diagnose(bad, "--out", tmp_path / "q.csv")
    assert done.exit_code == 3
    assert "the reasons are in" in done.stderr


def test_wrong_usage_is_two_and_names_the_fix(diagnose, knee_folder, bundle, tmp_path):
    done = diagnose(knee_folder, "--out", tmp_path / "p.csv", model=bundle)
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr == "error: tiny cannot diagnose -> fit it with 'orthodx finetune --task diagnose'\n"
    done = diagnose(knee_folder, "--out", tmp_path / "results")
    assert done.exit_code == 2
    assert done.stderr.rstrip().endswith(f"or a folder: {tmp_path / 'results'}/")
    assert diagnose(knee_folder, "--out", tmp_path / "p.csv", "--ehr", tmp_path / "no.csv").exit_code == 2


def test_quiet_says_nothing_and_the_view_can_be_named(diagnose, knee_folder, tmp_path):
    done = diagnose(knee_folder, "--out", tmp_path / "p.csv", "--quiet", "--view", "coronal")
    assert (done.exit_code, done.output) == (0, "")
    row = only_row(tmp_path / "p.csv")
    assert row["views"] == "coronal"


def test_an_explained_run_holds_what_each_label_counted_and_a_picture_of_the_positive_ones(
    diagnose, knee_folder, tmp_path
):
    done = diagnose(knee_folder, "-o", tmp_path / "p.csv", "--explain", tmp_path / "why")
    assert done.exit_code == 0, done.output
    told = json.loads((tmp_path / "why/knee.json").read_text())
    assert told["study_id"] == "knee"
    assert (tmp_path / "why/explanation.csv").is_file()
    assert len(list((tmp_path / "why").glob("knee.*.png"))) > 0
    assert done.stdout.endswith(f"explained -> {tmp_path / 'why'}\n")
    assert diagnose(knee_folder, "-o", tmp_path / "q.csv", "-q").output == ""


def test_a_finished_study_is_kept_on_resume_only(diagnose, knee_folder, tmp_path):
    found = []
    for more, code in (((), 0), (("--resume",), 0), ((), 2)):
        done = diagnose(knee_folder, "--out", tmp_path / "p.csv", *more)
        assert done.exit_code == code, done.output
        found.append(float(only_row(tmp_path / "p.csv")["ACL"]))
        (receipt,) = (tmp_path / ".p.done").iterdir()
        kept = json.loads(receipt.read_text())
        kept["result"]["probabilities"]["ACL"] = 2.0  # as no run would write it
        receipt.write_text(json.dumps(kept))
    assert found[0] < 1
    assert found[1:] == [2, 2]
    assert "p.csv already holds results -> go on with --resume" in done.stderr


def test_workers_read_ahead_and_change_nothing(diagnose, knee_folder, tmp_path, monkeypatch):
    sizes, begin = [], ThreadPoolExecutor.__init__

    def init(self, workers):
        sizes.append(workers)
        begin(self, workers)

    monkeypatch.setattr(ThreadPoolExecutor, "__init__", init)
    assert diagnose(knee_folder, "--out", tmp_path / "p.csv", "--workers", 0).exit_code == 0
    assert sizes == []
    assert diagnose(knee_folder, "--out", tmp_path / "q.csv", "--workers", 3).exit_code == 0
    assert sizes == [3]
    assert (tmp_path / "p.csv").read_bytes() == (tmp_path / "q.csv").read_bytes()
