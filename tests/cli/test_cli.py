"""The command line as people and pipelines meet it."""

import json
import os
import subprocess
import sys

import pytest


def orthodx(*arguments, cwd=None):
    return subprocess.run(
        [sys.executable, "-m", "orthodx", *map(str, arguments)],
        capture_output=True, text=True, cwd=cwd, timeout=300, env={**os.environ, "OMP_NUM_THREADS": "2"},
    )  # fmt: skip


def test_help_needs_no_heavy_import():
    code = "import sys; from orthodx.cli import app; print([m for m in ('torch','numpy','pandas') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "command", [(), ("segment",), ("diagnose",), ("synth",), ("pretrain",), ("finetune",), ("models",)]
)
def test_every_command_has_help(command):
    done = orthodx(*command, "--help")
    assert done.returncode == 0
    assert "Usage" in done.stdout


def test_segment_speaks_json_and_exits_zero(bundle, cohort, tmp_path):
    done = orthodx("segment", cohort, "--out", tmp_path, "--model", bundle.path, "--json", "--no-preview")
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)["cases"]) == 3
    assert "3 of 3" in done.stderr


def test_some_failed_is_eight_and_names_the_file(bundle, cohort, tmp_path):
    bad = tmp_path / "broken.nii.gz"
    bad.write_bytes(b"\x1f\x8b broken")
    image = next(cohort.glob("*/*-axial.nii.gz"))
    done = orthodx("segment", image, bad, "--out", tmp_path / "o", "--model", bundle.path, "--no-preview")
    assert done.returncode == 8
    (line,) = [x for x in done.stderr.splitlines() if x.startswith("error:")]
    assert "broken.nii.gz" in line
    assert "Traceback" not in done.stderr


def test_nothing_valid_is_three_and_wrong_usage_is_two(bundle, tmp_path):
    (tmp_path / "x.nii.gz").write_text("no")
    assert orthodx("segment", tmp_path, "--out", tmp_path / "o", "--model", bundle.path).returncode == 3
    done = orthodx("segment", tmp_path, "--out", tmp_path / "o", "--model", "no-such-model")
    assert done.returncode == 2
    assert done.stderr.startswith("error: no model 'no-such-model'")
    assert orthodx("segment", tmp_path, "--out", tmp_path / "o", "--device", "cuda:77").returncode == 2
    assert orthodx("segment").returncode == 2


def test_a_path_that_cannot_be_written_is_one_line(bundle, cohort, tmp_path):
    (tmp_path / "file").write_text("")
    done = orthodx("segment", cohort, "--out", tmp_path / "file/out", "--model", bundle.path)
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1


def test_models_lists_plugins_and_verifies(bundle):
    listed = orthodx("models", "list")
    assert "encoder  ortho  from orthodx.networks.encoders.ortho" in listed.stdout
    assert "head     skip_segment" in listed.stdout
    told = json.loads(orthodx("models", "list", "--json").stdout)
    assert {"knee-small", "knee-small-pretrained"} <= {model["name"] for model in told["models"]}
    assert told["encoder"]["ortho"] == "orthodx.networks.encoders.ortho"
    assert orthodx("models", "verify", bundle.path).stdout.count("ok ") == 4


def test_pretrain_then_finetune_makes_a_model_that_segments(cohort, tmp_path):
    small = ("--steps", 2, "--batch", 1, "--crop", 4, 32, 32, "--workers", 0, "--quiet", "--device", "cpu")
    done = orthodx("pretrain", cohort, "--view", "axial", "--out", tmp_path / "pre", *small)
    assert done.returncode == 0, done.stderr
    done = orthodx(
        "finetune",
        cohort,
        "--view",
        "axial",
        "--encoders",
        tmp_path / "pre",
        "--out",
        tmp_path / "fit",
        *small,
    )
    assert done.returncode == 0, done.stderr
    image = next(cohort.glob("*/*-axial.nii.gz"))
    done = orthodx("segment", image, "--out", tmp_path / "o", "--model", tmp_path / "fit/my-model", "--no-preview")
    assert done.returncode == 0, done.stderr
    missing = orthodx("finetune", cohort, "--encoders", tmp_path / "pre", "--out", tmp_path / "f2", *small)
    assert missing.returncode == 2
    assert "encoder_sagittal.safetensors: missing" in missing.stderr


def test_synth_writes_a_cohort(tmp_path):
    done = orthodx("synth", tmp_path / "bad", "--joint", "elbow")
    assert done.returncode == 2
    assert "no synthetic elbow" in done.stderr


def test_a_reader_that_has_enough_is_no_error():
    """As `orthodx models list | head -1`, with a reader that is gone before the first line."""
    command = f"{sys.executable} -u -m orthodx models list | true; echo ${{PIPESTATUS[0]}}"
    run = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert (run.stdout.strip(), run.stderr) == ("0", "")
