"""Options of `orthodx synth`, by what they change."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from orthodx.cli import exits
from orthodx.cli.app import app
from orthodx.synth.anatomy_bank import AnatomyBank
from orthodx.synth.ankle.procedural import build_ankle, sample_shape


@pytest.fixture
def synth(knee, tmp_path):
    """Makes one anatomy or study from a bank of one knee."""
    AnatomyBank(tmp_path / "bank").add("knee", knee)

    def go(*words):
        return CliRunner().invoke(app, ["synth", "--anatomy", str(tmp_path / "bank"), "-n", "1", *map(str, words)])

    return go


def test_a_pipeline_gets_json_and_a_quiet_run_says_nothing(synth, tmp_path):
    done = synth(tmp_path / "a", "--bank", "--json", "--seed", 4)
    assert json.loads(done.stdout) == {"out": str(tmp_path / "a"), "studies": 1, "seed": 4}
    assert "[1/1] knee-0004-0000" in done.stderr
    assert list(AnatomyBank(tmp_path / "a").names) == ["knee-0004-0000"]
    done = synth(tmp_path / "b", "--bank", "-q")
    assert (done.exit_code, done.output) == (0, "")
    assert len(AnatomyBank(tmp_path / "b")) == 1


def test_a_cohort_is_gone_on_with_and_its_studies_kept_on_resume_only(synth, tmp_path):
    line = (tmp_path / "out", "--seed", 5, "--center", "Outpost")
    assert synth(*line).exit_code == 0
    image = next((tmp_path / "out").glob("*/*.nii.gz"))
    written = image.stat().st_mtime_ns
    refused = synth(*line)
    assert refused.exit_code == 2
    assert "go on with --resume" in refused.stderr
    done = synth(*line, "--resume")
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.splitlines()[:2] == ["making 1 patient", "[1/1] knee-0005-0000"]
    assert image.stat().st_mtime_ns == written
    refused = synth(tmp_path / "out", "--seed", 5, "--resume")
    assert (refused.exit_code, len(refused.stderr.splitlines())) == (2, 1)
    assert "was made with other options (centers)" in refused.stderr


def test_a_bank_keeps_how_the_anatomies_of_a_seed_were_drawn(synth, tmp_path):
    line = (tmp_path / "out", "--bank", "--lesions")
    assert synth(*line, "--prevalence", 0.5).exit_code == 0
    assert synth(*line, "--prevalence", 0.5).exit_code == 0
    refused = synth(*line, "--prevalence", 0.9)
    assert (refused.exit_code, len(refused.stderr.splitlines())) == (2, 1)
    assert "anatomies of seed 0 made with other options (prevalence)" in refused.stderr
    assert synth(*line, "--prevalence", 0.9, "--seed", 1).exit_code == 0
    assert len(AnatomyBank(tmp_path / "out")) == 2


@pytest.mark.parametrize("more", [("--center", "Harbour"), ("--format", "dicom")])
def test_what_only_studies_have_is_refused_for_a_bank(synth, tmp_path, more):
    done = synth(tmp_path / "a", "--bank", *more)
    assert (done.exit_code, len(done.stderr.splitlines())) == (2, 1), done.output
    assert f"{more[0]} is for studies, not for --bank" in done.stderr
    assert not (tmp_path / "a").exists()


def test_a_stopped_bank_goes_on_by_the_line_that_stopping_prints(synth, tmp_path):
    line = (tmp_path / "out", "--bank", "--seed", 6)
    assert synth(*line).exit_code == 0
    first = next((tmp_path / "out").glob("*-0006-0000.npy"))
    written = first.stat().st_mtime_ns
    done = synth(*line, "--studies", 2, "--resume")
    assert (done.exit_code, done.stderr) == (0, "")
    assert first.stat().st_mtime_ns == written
    assert AnatomyBank(tmp_path / "out").names == ["knee-0006-0000", "knee-0006-0001"]


def test_a_bank_says_which_joint_it_is_of(tmp_path):
    ankle = build_ankle(sample_shape(np.random.default_rng(5)), spacing_mm=2.0)
    AnatomyBank(tmp_path / "bank").add("one", ankle)
    words = ["synth", str(tmp_path / "hurt"), "--bank", "--lesions", "-n", "1", "--anatomy", str(tmp_path / "bank")]
    refused = CliRunner().invoke(app, [*words, "--joint", "shoulder"])
    assert (refused.exit_code, "is a bank of the ankle, not of the shoulder" in refused.stderr) == (exits.USAGE, True)
    assert not (tmp_path / "hurt").exists()
    done = CliRunner().invoke(app, [*words, "--workers", "0"])
    assert done.exit_code == 0, done.output
    assert AnatomyBank(tmp_path / "hurt").joint == "ankle"
