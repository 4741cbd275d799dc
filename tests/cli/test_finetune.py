"""Options of `orthodx finetune` from masks, by what they change."""

import csv
import json
from collections import Counter
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from orthodx.bundles.bundle import open_bundle, save_bundle
from orthodx.cli.app import app
from orthodx.grid.spec import GridSpec
from orthodx.joints import View
from orthodx.networks.encoders.ortho import OrthoConfig, OrthoEncoder
from orthodx.networks.encoders.published import PublishedConfig, PublishedEncoder
from orthodx.studies.nifti import write_image
from orthodx.training.study_source import StudySource

pytestmark = pytest.mark.usefixtures("one_thread")
TINY = OrthoConfig(channels=(8, 8, 8, 8), time_channels=8)
AFFINES = {"axial": np.diag([1.0, 1, 4, 1]), "sagittal": np.diag([4.0, 1, 1, 1])}


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    monkeypatch.setitem(OrthoEncoder.presets, "tiny", TINY)
    monkeypatch.setitem(PublishedEncoder.presets, "tiny", PublishedConfig(width=8, groups=1))
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)


def written(folder, name, seed):
    """An axial and a sagittal series with a bright femur."""
    for i, (view, affine) in enumerate(AFFINES.items()):
        shape = (4, 32, 32) if view == "sagittal" else (32, 32, 4)
        femur = np.zeros(shape, np.int16)
        femur[tuple(slice(n // 4, n // 2) for n in shape)] = 1
        noise = np.random.default_rng(seed + i).integers(1, 100, shape)
        write_image(folder / f"{name}{view}.nii.gz", (noise + 500 * femur).astype(np.int16), affine)
        write_image(folder / f"truth/{name}{view}.nii.gz", femur, affine)
    return folder


@pytest.fixture
def studies(tmp_path):
    """What is learned from."""
    return written(tmp_path / "studies", "", 0)


@pytest.fixture
def held(tmp_path):
    """What validates."""
    return written(tmp_path / "held", "held_", 7)


@pytest.fixture
def finetune(studies):
    """Two steps on small crops."""

    def go(*words):
        line = ["finetune", str(studies), *map(str, words), "--preset", "tiny", "--steps", "2", "--batch", "1"]
        done = CliRunner().invoke(app, [*line, "--crop", "4", "32", "32", "--workers", "0", "--device", "cpu"])
        assert done.exit_code == 0, done.output
        return done

    return go


def test_masks_are_learned_and_found_closer_than_the_encoders_look(studies, held, finetune, tmp_path):
    line = ("--from-scratch", "--head", "fine_segment", "--detail", "2", "--view", "sagittal", "--validation", held)
    finetune(*line, "--out", tmp_path / "a", "--seed", 3)
    bundle = open_bundle(tmp_path / "a/my-model")
    assert (bundle.info.heads["segment"].name, bundle.head("segment").detail, bundle.info.grid.pixel_mm) == (
        "fine_segment", 2, 1.0,
    )  # fmt: skip
    crop = finetune_crops(tmp_path / "a")
    assert crop == {"detail": 2, "crop": [4, 32, 32], "head": "fine_segment"}
    # from its bundle the head goes on as it is; a plain one takes what both have; another begins anew
    finetune("--encoders", tmp_path / "a/my-model", "--view", "sagittal", "--out", tmp_path / "b")
    assert finetune_crops(tmp_path / "b") == crop
    finetune(
        "--encoders", tmp_path / "a/my-model", "--view", "sagittal", "--head", "skip_segment", "--out", tmp_path / "c"
    )
    assert finetune_crops(tmp_path / "c") == {"crop": [4, 32, 32], "detail": 1, "head": "skip_segment"}
    finetune(
        "--encoders", tmp_path / "a/my-model", "--view", "sagittal", "--head", "linear_segment", "--out", tmp_path / "d"
    )
    assert set(open_bundle(tmp_path / "d/my-model").head("segment").state_dict()) == {"out.weight", "out.bias"}
    found = CliRunner().invoke(app, ["segment", str(studies / "sagittal.nii.gz"), "--model", str(bundle.path), "--out",
                                     str(tmp_path / "masks"), "--device", "cpu"])  # fmt: skip
    assert found.exit_code == 0, found.output
    image, mask = nib.load(studies / "sagittal.nii.gz"), nib.load(next((tmp_path / "masks").glob("*.nii.gz")))
    assert mask.shape == image.shape
    assert np.allclose(mask.affine, image.affine)


def test_what_begins_as_a_bundle_reads_slices_as_it_does(finetune, tmp_path):
    finetune("--from-scratch", "--view", "axial", "--out", tmp_path / "a")
    before = open_bundle(tmp_path / "a/my-model")
    assert before.info.grid.min_slice_mm == GridSpec().min_slice_mm
    coarser = replace(before.info, grid=replace(before.info.grid, min_slice_mm=2.75))
    save_bundle(tmp_path / "coarse", coarser, {f: load_file(before.path / f) for f in before.info.sha256})
    finetune("--encoders", tmp_path / "coarse", "--view", "axial", "--pixel-mm", "1.25", "--out", tmp_path / "b")
    assert open_bundle(tmp_path / "b/my-model").info.grid == replace(coarser.grid, pixel_mm=1.25)


def finetune_crops(out):
    """What the run's record says of its crops and head."""
    config = json.loads((out / "run.json").read_text(encoding="utf-8"))["config"]
    return {name: config[name] for name in ("detail", "crop", "head")}


def steps(folder):
    with (folder / "metrics.csv").open(newline="") as file:
        return [row["step"] for row in csv.DictReader(file)]


def test_the_model_has_the_name_given_and_a_quiet_run_says_nothing(finetune, tmp_path):
    done = finetune("--from-scratch", "--view", "axial", "-o", tmp_path / "out", "--name", "mine", "-q")
    assert done.output == ""
    assert open_bundle(tmp_path / "out/mine").info.name == "mine"


def test_encoders_learn_by_their_share_of_the_rate(finetune, tmp_path):
    torch.manual_seed(0)
    start = {k: v.contiguous() for k, v in OrthoEncoder(TINY).state_dict().items()}
    save_file(start, tmp_path / "encoder_axial.safetensors")
    moved = []
    for share in (0.1, 1):
        out = tmp_path / str(share)
        finetune("--encoders", tmp_path, "--view", "axial", "--out", out, "--encoder-share", share)
        found = load_file(out / "encoder_axial.safetensors")
        moved.append(sum(float((found[key] - start[key]).abs().sum()) for key in start))
    assert moved[1] > 5 * moved[0] > 0


@pytest.mark.parametrize("still", [("--probe",), ("--encoder-share", 0)])
def test_encoders_that_are_left_alone_stay_as_they_are(finetune, tmp_path, still):
    torch.manual_seed(0)
    start = {k: v.contiguous() for k, v in OrthoEncoder(TINY).state_dict().items()}
    save_file(start, tmp_path / "encoder_axial.safetensors")
    finetune("--encoders", tmp_path, "--view", "axial", "--out", tmp_path / "out", *still)
    found = load_file(tmp_path / "out/encoder_axial.safetensors")
    assert all(torch.equal(found[key], start[key]) for key in start)


@pytest.mark.parametrize("more", [(), ("--shared-encoder",)])
def test_the_views_share_an_encoder_when_asked_to(finetune, tmp_path, more):
    finetune("--from-scratch", "--view", "axial", "--view", "sagittal", "--out", tmp_path, *more)
    one, two = ((tmp_path / f"encoder_{view}.safetensors").read_bytes() for view in ("axial", "sagittal"))
    assert (one == two) == bool(more)


def test_one_view_shares_its_encoder_with_no_other(studies, tmp_path):
    line = ["finetune", studies, "--from-scratch", "--view", "axial", "--shared-encoder", "--out", tmp_path / "o"]
    done = CliRunner().invoke(app, list(map(str, line)))
    assert done.exit_code == 2
    assert "--shared-encoder needs several views" in done.stderr


def test_a_run_stops_where_it_is_told_to_and_goes_on(finetune, tmp_path):
    line = ("--from-scratch", "--view", "axial", "--out", tmp_path)
    finetune(*line, "--stop-at", 1)
    assert steps(tmp_path) == ["1"]
    finetune(*line, "--resume")
    assert steps(tmp_path) == ["1", "2"]


def test_the_encoder_named_is_the_one_that_learns(finetune, tmp_path):
    line = ("--from-scratch", "--view", "axial", "--out", tmp_path, "--encoder", "published")
    finetune(*line, "--head", "published_segment")
    info = open_bundle(tmp_path / "my-model").info
    assert (info.encoders[View.AXIAL].name, info.heads["segment"].name) == ("published", "published_segment")


def test_studies_that_train_do_not_validate(studies, tmp_path):
    line = ("finetune", studies, "--from-scratch", "--view", "axial", "--preset", "tiny", "--steps", 2, "--batch", 1)
    more = ("--crop", 4, 32, 32, "--workers", 0, "--device", "cpu", "--validation", studies, "--out", tmp_path / "out")
    done = CliRunner().invoke(app, [*map(str, line), *map(str, more)])
    assert (done.exit_code, len(done.stderr.splitlines())) == (2, 1), done.output
    assert f"study 'studies ({studies})' is in training and in validation" in done.stderr


def test_other_patients_may_have_the_same_numbers(tmp_path):
    train, held = written(tmp_path / "train/images", "", 0), written(tmp_path / "val/images", "", 7)
    line = ("finetune", train, "--from-scratch", "--view", "axial", "--preset", "tiny", "--steps", 2, "--batch", 1)
    more = ("--crop", 4, 32, 32, "--workers", 0, "--device", "cpu", "--validation", held, "--out", tmp_path / "out")
    done = CliRunner().invoke(app, [*map(str, line), *map(str, more)])
    assert done.exit_code == 0, done.output


def test_a_run_goes_on_with_the_masks_and_the_validation_it_began_with(finetune, held, studies, tmp_path):
    line = ["finetune", studies, "--from-scratch", "--view", "axial", "--validation", held, "--preset", "tiny"]
    line += ["--out", tmp_path / "o"]
    line += ["--steps", 2, "--batch", 1, "--crop", 4, 32, 32, "--workers", 0, "--device", "cpu"]
    assert CliRunner().invoke(app, [*map(str, line), "--stop-at", "1"]).exit_code == 0
    written(held, "held_", 8)
    other = CliRunner().invoke(app, [*map(str, line), "--resume"])
    assert (other.exit_code, "was made with other options (validated_on)" in other.stderr) == (2, True), other.output
    written(held, "held_", 7)
    mask = nib.load(studies / "truth/axial.nii.gz")
    nib.save(nib.Nifti1Image(np.zeros(mask.shape, np.uint8), mask.affine), studies / "truth/axial.nii.gz")
    other = CliRunner().invoke(app, [*map(str, line), "--resume"])
    assert (other.exit_code, "was made with other options (data)" in other.stderr) == (2, True), other.output


def test_validation_reads_as_many_crops_as_often_as_asked(finetune, held, tmp_path, monkeypatch):
    read, item = Counter(), StudySource.__getitem__

    def counted(self, key):
        read[key] += 1
        return item(self, key)

    monkeypatch.setattr(StudySource, "__getitem__", counted)
    line = ("--from-scratch", "--view", "axial", "--out", tmp_path / "out", "--validation", held)
    finetune(*line, "--validate-every", 1, "--validation-samples", 3, "--patience", 5)
    assert (tmp_path / "out/best.safetensors").is_file()
    assert sorted(read.values()) == [1, 1, 2, 2, 2]  # a sample a step, and three after each step
    assert steps(tmp_path / "out") == ["1", "2"]
