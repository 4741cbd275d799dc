"""A joint of the user's own, two structures and two labels from a TOML file, goes through every command."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from orthodx.bundles.bundle import open_bundle
from orthodx.cli.app import app
from orthodx.joints import open_joint
from orthodx.networks.encoders.ortho import OrthoConfig, OrthoEncoder
from orthodx.networks.heads import pooled

WRIST = Path(__file__).parents[2] / "examples/joints/wrist.toml"
RADIUS, DISC, CODES = 1, 4, ("TFCC", "FRACTURE")
TINY = ("--preset", "tiny", "--device", "cpu", "--view", "sagittal", "--pixel-mm", 2)
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    monkeypatch.setitem(OrthoEncoder.presets, "tiny", OrthoConfig(channels=(16, 16, 16, 16), time_channels=16))
    monkeypatch.setattr(pooled, "TOKENS", (2, 3, 3))


def orthodx(*words):
    done = CliRunner().invoke(app, [*map(str, words)])
    assert done.exit_code == 0, done.output
    return done.stdout


def test_two_structures_and_two_labels_from_label_maps_to_a_report(wrists, tmp_path):
    joint, fit = open_joint(WRIST), ("--crop", 6, 32, 32, "--workers", 0)
    orthodx("finetune", wrists, "--joint", WRIST, "--from-scratch", "--steps", 60, "--batch", 4,
            "--learning-rate", 3e-3, "--out", tmp_path / "a", "--name", "masks", *fit, *TINY)  # fmt: skip
    masks = open_bundle(tmp_path / "a/masks")
    assert masks.info.joint == joint

    orthodx("segment", wrists, "--model", masks.path, "--out", tmp_path / "masks", "--device", "cpu")
    for path in sorted(wrists.glob("truth/*.nii.gz")):
        mask, truth = (np.asarray(nib.load(one).dataobj) for one in (tmp_path / "masks" / path.name, path))
        assert set(np.unique(mask)) <= {0, RADIUS, DISC}
        for value in (RADIUS, DISC):
            found, there = mask == value, truth == value
            assert 2 * (found & there).sum() > 0.8 * (found.sum() + there.sum())
        assert (tmp_path / "masks/previews" / path.name.replace(".nii.gz", ".png")).is_file()
    volumes = pd.read_csv(tmp_path / "masks/volumes.csv")
    assert list(dict.fromkeys(volumes.structure)) == ["radius", "articular_disc"]

    orthodx("finetune", wrists, "--task", "diagnose", "--joint", WRIST, "--encoders", masks.path, "--into", masks.path,
            "--head", "mean", "--probe", "--region", 6, 32, 32, "--out", tmp_path / "b", *TINY)  # fmt: skip
    both = open_bundle(tmp_path / "b/my-model")
    assert both.info.tasks == ["segment", "diagnose"]
    assert both.info.joint == joint

    orthodx("diagnose", wrists, "--model", both.path, "--out", tmp_path / "predictions.csv", "--device", "cpu")
    told = pd.read_csv(tmp_path / "predictions.csv").set_index("study_id")
    assert tuple(told.columns[-2:]) == CODES
    truth = pd.read_csv(wrists / "labels.csv").set_index("study_id").loc[told.index]
    for code in CODES:
        assert told[code][truth[code] == 1].mean() > told[code][truth[code] == 0].mean()

    out = orthodx("evaluate", "--predictions", tmp_path / "predictions.csv", "--labels", wrists / "labels.csv",
                  "--masks", tmp_path / "masks", "--truth", wrists / "truth", "--out", tmp_path / "report",
                  "--resamples", 100, "--workers", 0, "--json")  # fmt: skip
    assert json.loads(out)
    scores = pd.read_csv(tmp_path / "report/metrics.csv")
    assert {"radius", "articular_disc", *CODES} <= set(scores.target)


def test_masks_without_a_record_are_of_the_joint_that_is_said(wrists, tmp_path):
    line = ("evaluate", "--masks", wrists / "truth", "--truth", wrists / "truth", "--resamples", 100, "--workers", 0)
    orthodx(*line, "--out", tmp_path / "a", "--joint", WRIST)
    assert set(pd.read_csv(tmp_path / "a/metrics.csv").target) >= {"radius", "articular_disc"}
    labels = {"background": 0, "bone": RADIUS, "disc": DISC}
    (wrists / "dataset.json").write_text(json.dumps({"labels": labels}))
    orthodx(*line, "--out", tmp_path / "b")
    (wrists / "dataset.json").unlink()
    assert set(pd.read_csv(tmp_path / "b/metrics.csv").target) >= {"bone", "disc"}
    done = CliRunner().invoke(app, [*map(str, line), "--out", str(tmp_path / "c"), "--joint", "elbow"])
    assert (done.exit_code, len(done.stderr.splitlines())) == (2, 1)
    assert "no joint is called 'elbow'" in done.stderr
    assert not (tmp_path / "c").exists()


def test_a_diagnosis_is_not_added_to_a_model_of_another_joint(wrists, bundle, tmp_path):
    line = ("finetune", wrists, "--task", "diagnose", "--joint", WRIST, "--from-scratch", "--into", bundle.path)
    done = CliRunner().invoke(app, [*map(str, (*line, "--out", tmp_path / "a", "--region", 6, 32, 32, *TINY[:-1], 1))])
    assert (done.exit_code, len(done.stderr.splitlines())) == (2, 1), done.output
    assert "tiny is a model of the knee, not of the wrist" in done.stderr


def test_a_dataset_of_nnunet_says_its_joint_itself(wrists, tmp_path):
    dataset = tmp_path / "Dataset007_Wrist"
    for mask in sorted(wrists.glob("truth/*.nii.gz"))[:3]:
        name = mask.name.removesuffix(".nii.gz")
        for path, at in (
            (mask, f"labelsTr/{name}.nii.gz"),
            (wrists / name / mask.name, f"imagesTr/{name}_0000.nii.gz"),
        ):
            (dataset / at).parent.mkdir(parents=True, exist_ok=True)
            (dataset / at).write_bytes(path.read_bytes())
    labels = {"background": 0, "radius": RADIUS, "disc": DISC}
    (dataset / "dataset.json").write_text(
        json.dumps({"labels": labels, "channel_names": {"0": "MRI"}, "name": "wrist"})
    )
    orthodx("finetune", dataset, "--from-scratch", "--steps", 1, "--out", tmp_path / "fit", "--crop", 6, 32, 32,
            "--workers", 0, *TINY)  # fmt: skip
    joint = open_bundle(tmp_path / "fit/my-model").info.joint
    assert (joint.name, joint.names) == ("wrist", {RADIUS: "radius", DISC: "disc"})
    orthodx("segment", dataset / "imagesTr", "--model", tmp_path / "fit/my-model", "--out", tmp_path / "masks",
            "--device", "cpu")  # fmt: skip
    assert set(pd.read_csv(tmp_path / "masks/volumes.csv").structure) == {"radius", "disc"}
