"""Runs of `orthodx pretrain` as one bundle: its record, and every run that must be refused."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from orthodx.bundles.bundle import open_bundle, verify
from orthodx.bundles.pretrained import pack_pretrained
from orthodx.cli.app import app
from orthodx.errors import BundleError, UsageError
from orthodx.joints import ANKLE, KNEE, View
from orthodx.networks.encoders.ortho import OrthoConfig, OrthoEncoder
from orthodx.studies.run_record import sha256
from orthodx.synth.anatomy import Anatomy
from orthodx.synth.anatomy_bank import AnatomyBank


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    monkeypatch.setitem(OrthoEncoder.presets, "tiny", OrthoConfig(channels=(8, 8, 8, 8), time_channels=8))


def orthodx(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture
def runs(tmp_path):
    """Finished runs of three views, as `orthodx pretrain` leaves them behind."""
    folders = []
    for i, view in enumerate(View):
        torch.manual_seed(i)
        folder = tmp_path / f"pre_{view}"
        folder.mkdir()
        plain = {k: v.contiguous() for k, v in OrthoEncoder(OrthoEncoder.preset("tiny")).state_dict().items()}
        save_file(plain, folder / f"encoder_{view}.safetensors")
        config = {"view": str(view), "encoder": "ortho", "preset": "tiny", "pixel_mm": 1.5, "seed": i}
        write(folder, {"config": config, "command": ["orthodx", "pretrain"], "platform": "x",
                       "weights": sha256(folder / f"encoder_{view}.safetensors")})  # fmt: skip
        folders.append(folder)
    return folders


def write(folder, record):
    (folder / "run.json").write_text(json.dumps(record))


def change(folder, **config):
    record = json.loads((folder / "run.json").read_text())
    write(folder, {**record, "config": {**record["config"], **config}})


def test_three_runs_become_a_bundle_with_their_weights_and_record(tmp_path, runs):
    bundle = pack_pretrained(runs, tmp_path / "out", name="mine", licence="CC0", sources=["synthetic"])
    assert len(verify(bundle)) == 3
    assert (bundle.info.grid.pixel_mm, bundle.info.heads, bundle.info.licence) == (1.5, {}, "CC0")
    for i, (view, folder) in enumerate(zip(View, runs, strict=True)):
        found = bundle.encoder(view).state_dict()
        for key, wanted in load_file(folder / f"encoder_{view}.safetensors").items():
            torch.testing.assert_close(found[key], wanted, atol=1e-3, rtol=1e-3)
        told = bundle.info.training[i]
        assert (told["view"], told["config"]["seed"], told["command"]) == (str(view), i, ["orthodx", "pretrain"])


def test_the_command_packs_under_the_name_version_licence_and_sources_given(tmp_path, runs):
    told = ("--name", "mine", "--model-version", "2.1", "--licence", "CC0", "--source", "a", "--source", "b",
            "--joint", "ankle")  # fmt: skip
    done = orthodx("models", "pack", *runs, "-o", tmp_path / "out", *told)
    assert done.exit_code == 0, done.output
    info = open_bundle(tmp_path / "out").info
    assert (info.name, info.version, info.licence, info.sources) == ("mine", "2.1", "CC0", ["a", "b"])
    assert info.joint == ANKLE


def test_what_is_no_finished_run_is_refused_by_name(tmp_path, runs):
    def refused(kind, match):
        with pytest.raises(kind, match=match):
            pack_pretrained(runs, tmp_path / "out", name="mine")
        assert not (tmp_path / "out").exists()

    change(runs[1], pixel_mm=1.0)
    refused(UsageError, "runs differ .*1.5 mm.*1 mm")
    change(runs[1], pixel_mm=1.5, preset="small")
    refused(BundleError, "encoder_coronal.safetensors: ")
    change(runs[1], preset="tiny", view="sag")
    refused(BundleError, "pre_coronal/run.json: no record")
    change(runs[1], view="sagittal")
    refused(UsageError, "another run is of the sagittal view")
    change(runs[1], view="coronal")
    weights = runs[1] / "encoder_coronal.safetensors"
    record = json.loads((runs[1] / "run.json").read_text())
    tensors = load_file(weights)
    next(iter(tensors.values())).fill_(float("nan"))
    save_file(tensors, weights)
    refused(BundleError, "encoder_coronal.safetensors: not the weights")
    write(runs[1], {**record, "weights": sha256(weights)})
    refused(BundleError, "holds NaN")
    weights.write_bytes(b"junk")
    write(runs[1], {**record, "weights": sha256(weights)})
    refused(BundleError, "not a safetensors file")
    weights.unlink()
    refused(BundleError, "not the weights")
    (runs[1] / "run.json").write_text("{}")
    refused(BundleError, "pre_coronal/run.json: no record")


def test_runs_tell_their_joint_and_no_other_is_taken(tmp_path, runs):
    def tell(folder, joint):
        write(folder, json.loads((folder / "run.json").read_text()) | {"joint": joint.to_json()})

    for folder in runs:
        tell(folder, ANKLE)
    assert pack_pretrained(runs, tmp_path / "a", name="mine").info.joint == ANKLE
    with pytest.raises(UsageError, match="the runs are of knee and ankle"):
        pack_pretrained(runs, tmp_path / "b", name="mine", joint=KNEE)
    tell(runs[1], KNEE)
    with pytest.raises(UsageError, match="the runs are of ankle and knee"):
        pack_pretrained(runs, tmp_path / "b", name="mine")


def test_a_folder_in_use_is_left_alone(tmp_path, runs):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine.txt").write_text("kept")
    with pytest.raises(UsageError, match="not empty"):
        pack_pretrained(runs, tmp_path / "out", name="mine")


def test_a_pretrained_bundle_starts_a_fine_tuning(tmp_path, knee, cohort):
    AnatomyBank(tmp_path / "bank").add("knee", Anatomy(knee.tissues, knee.affine, knee.side, "test"))
    small = ("--preset", "tiny", "--batch", 1, "--crop", 4, 32, 32, "--workers", 0, "--device", "cpu", "--quiet")
    trained = orthodx("pretrain", tmp_path / "bank", "--view", "axial", "--steps", 1, *small,
                      "--out", tmp_path / "pre")  # fmt: skip
    assert trained.exit_code == 0, trained.output
    packed = orthodx("models", "pack", tmp_path / "pre", "--out", tmp_path / "model", "--name", "mine", "--source", "x")
    assert packed.exit_code == 0, packed.output
    assert "axial" in packed.output
    assert open_bundle(tmp_path / "model").info.training[0]["config"]["crop"] == [4, 32, 32]
    segmented = orthodx("segment", cohort, "--model", tmp_path / "model", "--out", tmp_path / "masks")
    assert segmented.exit_code != 0
    assert "mine cannot segment -> it has encoders only" in segmented.output
    tuned = orthodx("finetune", tmp_path / "bank", "--view", "axial", "--encoders", tmp_path / "model", "--steps", 1,
                    *small, "--seed", 9, "--learning-rate", 1e-7, "--out", tmp_path / "fit")  # fmt: skip
    assert tuned.exit_code == 0, tuned.output
    fitted, start = open_bundle(tmp_path / "fit/my-model"), open_bundle(tmp_path / "model")
    assert fitted.info.heads.keys() == {"segment"}
    for key, found in fitted.encoder(View.AXIAL).state_dict().items():
        torch.testing.assert_close(found, start.encoder(View.AXIAL).state_dict()[key], atol=1e-3, rtol=1e-3)
