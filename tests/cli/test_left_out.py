"""Training on what can be used: everything left out is named, on the terminal and in the record, and the exit is 8."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from orthodx.cli.app import app
from orthodx.networks.encoders.ortho import OrthoConfig, OrthoEncoder
from orthodx.studies.nifti import write_image
from orthodx.studies.tables import write_table
from orthodx.training.diagnosis import study_cases
from orthodx.training.kept_series import Keeping

pytestmark = pytest.mark.usefixtures("one_thread")
SHAPE = (32, 32, 4)
NAMES = ("a", "b", "c", "bare", "shifted", "cut", "empty")


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    monkeypatch.setitem(OrthoEncoder.presets, "tiny", OrthoConfig(channels=(16, 16, 16, 16), time_channels=16))


@pytest.fixture
def studies(tmp_path):
    """Three good series with masks; one without, one of another grid than its mask, two that cannot be read."""
    for i, name in enumerate(("a", "b", "c", "bare", "shifted")):
        folder, affine = tmp_path / "studies" / f"s{i}", np.diag([1.0, 1, 4, 1])
        write_image(
            folder / f"{name}.nii.gz", np.random.default_rng(i).integers(1, 900, SHAPE).astype(np.int16), affine
        )
        if name == "shifted":
            affine[0, 3] = 7
        if name != "bare":
            write_image(tmp_path / f"studies/truth/{name}.nii.gz", np.ones(SHAPE, np.uint8), affine)
    for name in ("cut", "empty"):
        (tmp_path / f"studies/s0/{name}.nii.gz").write_bytes(b"\x1f\x8bno" if name == "cut" else b"")
        write_image(tmp_path / f"studies/truth/{name}.nii.gz", np.ones(SHAPE, np.uint8), np.eye(4))
    return tmp_path / "studies"


def train(command, studies, out, *words):
    line = [command, str(studies), "-o", str(out), "--view", "axial", "--preset", "tiny", "--device", "cpu"]
    return CliRunner().invoke(app, [*line, *map(str, words)])


STEPS = ("--steps", 1, "--batch", 1, "--crop", 4, 32, 32, "--workers", 0)


def left_out(out):
    return {row["series_id"]: row["reason"] for row in json.loads((out / "run.json").read_text())["left_out"]}


def test_pretraining_names_all_it_could_not_read(studies, tmp_path):
    done = train("pretrain", studies, tmp_path / "o", *STEPS)
    assert done.exit_code == 8, done.output
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: left out: ")]
    assert [any(name in line for line in errors) for name in ("cut", "empty")] == [True, True]
    assert len(errors) == len(left_out(tmp_path / "o")) == 2
    assert (tmp_path / "o/encoder_axial.safetensors").is_file()


def test_nothing_left_out_is_zero_and_an_empty_list(studies, tmp_path):
    done = train("pretrain", studies / "s1", tmp_path / "o", *STEPS)
    assert (done.exit_code, done.stderr, left_out(tmp_path / "o")) == (0, "", {})


def test_an_image_without_a_mask_is_named(studies, tmp_path):
    done = train("finetune", studies, tmp_path / "o", "--from-scratch", *STEPS)
    assert done.exit_code == 8, done.output
    told = left_out(tmp_path / "o")
    assert set(told) == {"bare", "shifted", "cut", "empty"}
    assert told["bare"] == "has no mask; put it into truth/bare.nii.gz"
    assert "not on the grid" in told["shifted"]
    for name in told:
        assert f"error: left out: {name}" in done.stderr


def test_held_out_studies_are_named_too(studies, tmp_path):
    for name in ("--validation", "--probe"):
        command = ("finetune", "--from-scratch") if name == "--validation" else ("pretrain",)
        out = tmp_path / command[0]
        for i in range(3):
            image = np.random.default_rng(90 + i).integers(1, 900, SHAPE).astype(np.int16)
            write_image(tmp_path / f"good/t{i}/train{i}.nii.gz", image, np.diag([1.0, 1, 4, 1]))
            write_image(tmp_path / f"good/truth/train{i}.nii.gz", np.ones(SHAPE, np.uint8), np.diag([1.0, 1, 4, 1]))
        done = train(command[0], tmp_path / "good", out, *command[1:], name, studies, *STEPS)
        assert done.exit_code == 8, done.output
        assert "bare" in left_out(out)


def test_nnu_net_s_test_images_need_no_mask(studies, tmp_path):
    for folder, name in (("imagesTr", "k_0000"), ("imagesTs", "t_0000")):
        (tmp_path / "d" / folder).mkdir(parents=True)
        (tmp_path / f"d/{folder}/{name}.nii.gz").write_bytes((studies / "s0/a.nii.gz").read_bytes())
    (tmp_path / "d/labelsTr").mkdir()
    (tmp_path / "d/labelsTr/k.nii.gz").write_bytes((studies / "truth/a.nii.gz").read_bytes())
    done = train("finetune", tmp_path / "d", tmp_path / "o", "--from-scratch", *STEPS)
    assert done.exit_code == 0, done.output


def test_a_diagnosis_names_what_it_was_not_fitted_to(studies, tmp_path):
    write_table(
        studies / "labels.csv",
        [dict(study_id=name, ACL=i % 2) for i, name in enumerate([*NAMES, *(f"s{n}" for n in range(9))])],
        ("study_id", "ACL"),
    )
    words = (
        "--task",
        "diagnose",
        "--from-scratch",
        "--epochs",
        1,
        "--head",
        "mean",
        "--region",
        4,
        32,
        32,
    )
    done = train("finetune", studies, tmp_path / "o", *words)
    assert done.exit_code == 8, done.output
    assert set(left_out(tmp_path / "o")) == {"cut", "empty"}


def test_a_series_too_large_for_the_memory_is_left_out_alone(studies, tmp_path, monkeypatch):
    def short(*arguments):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    kept, region = Keeping._on_grid, study_cases.joint_region
    monkeypatch.setattr(
        Keeping, "_on_grid", lambda self, one, *more: (short if one.series_id == "a" else kept)(self, one, *more)
    )
    train("pretrain", studies, tmp_path / "o", *STEPS)
    assert left_out(tmp_path / "o")["a"].startswith("out of memory")
    write_table(
        studies / "labels.csv",
        [dict(study_id=name, ACL=i % 2) for i, name in enumerate([*NAMES, *(f"s{n}" for n in range(9))])],
        ("study_id", "ACL"),
    )
    monkeypatch.setattr(
        study_cases, "joint_region",
        lambda volume, *more: (short if volume.source.startswith("b") else region)(volume, *more),
    )  # fmt: skip
    words = ("--task", "diagnose", "--from-scratch", "--epochs", 1, "--head", "mean", "--region", 4, 32, 32)
    train("finetune", studies, tmp_path / "p", *words)
    assert left_out(tmp_path / "p")["b"].startswith("out of memory")


@pytest.mark.parametrize(
    "crop", [("4", "30", "32"), ("4", "32"), ("0", "32", "32"), ("-4", "32", "32"), ("4", "x", "32")]
)
@pytest.mark.parametrize("command", [("pretrain",), ("finetune", "--from-scratch")])
def test_an_impossible_crop_is_wrong_usage(studies, tmp_path, command, crop):
    words = [*command, studies, "-o", tmp_path / "o", "--view", "axial", "--crop", *crop]
    done = CliRunner().invoke(app, list(map(str, words)))
    assert done.exit_code == 2, done.output
    assert "bug" not in done.stderr
    assert not (tmp_path / "o").exists()
