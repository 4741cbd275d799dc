"""The published method as a command: noisy images, a chosen block, self-attention pooling; told in the bundle."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

from orthodx.bundles import released
from orthodx.bundles.bundle import open_bundle
from orthodx.cli.app import app
from orthodx.grid.region import RegionSpec
from orthodx.inference.study_reader import StudyReader
from orthodx.joints import View
from orthodx.networks.encoders.ortho import OrthoConfig, OrthoEncoder
from orthodx.networks.encoders.published import PublishedConfig, PublishedEncoder
from orthodx.networks.encoders.resnet18 import ResNet18Config, ResNet18Encoder
from orthodx.networks.reading import Noising
from orthodx.requests import FinetuneRequest, RecipeName, Task
from orthodx.studies.nifti import write_image
from orthodx.studies.tables import read_table, write_table
from orthodx.training.checks import checked
from orthodx.training.diagnosis import recipe

TINY = PublishedConfig(width=16, multiples=(1, 1, 1, 1, 1), groups=4)
OWN, RESNET = OrthoConfig(channels=(16, 16, 16, 16), time_channels=16), ResNet18Config(channels=(8, 8, 8, 8))
AFFINES = {  # 3 mm slices of 1 mm pixels
    View.SAGITTAL: np.array([[0, 0, -3.0, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1.0]]),
    View.CORONAL: np.array([[1, 0, 0, 0], [0, 0, 3.0, 0], [0, 1, 0, 0], [0, 0, 0, 1.0]]),
    View.AXIAL: np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 3.0, 0], [0, 0, 0, 1.0]]),
}
REGION = recipe.PUBLISHED.region
SMALL = {**recipe.RECIPES, RecipeName.PUBLISHED: replace(recipe.PUBLISHED, region=(16, 32, 32))}
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    monkeypatch.setitem(PublishedEncoder.presets, "published", TINY)
    monkeypatch.setitem(ResNet18Encoder.presets, "small", RESNET)
    monkeypatch.setitem(OrthoEncoder.presets, "small", OWN)
    monkeypatch.setattr(recipe, "RECIPES", SMALL)


def invoke(*words):
    return CliRunner().invoke(app, list(map(str, words)))


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """What `models import` makes of released checkpoints, here of a network a quarter as wide."""
    folder, files = tmp_path_factory.mktemp("published"), []
    for seed, view in enumerate(View):
        torch.manual_seed(seed)
        encoder = PublishedEncoder(TINY)
        for parameter in encoder.parameters():  # its last layers are zero at birth
            torch.nn.init.normal_(parameter, std=0.1)
        weights = {f"denoise_fn.{k}": v for k, v in encoder.state_dict().items()}
        torch.save({"step": 21500, "ema": weights}, folder / f"{view}.pt")
        files.append(f"{view}={folder / f'{view}.pt'}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(released, "PublishedConfig", lambda: TINY)
        done = invoke("models", "import", *files, "--out", folder / "published-knee")
    assert done.exit_code == 0, done.output
    return folder / "published-knee"


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    """Ten patients of three series; those with an injury have a bright block in the middle."""
    folder = tmp_path_factory.mktemp("labelled") / "cohort"
    rows, rng = [], np.random.default_rng(0)
    for number in range(10):
        name = f"p{number}"
        (folder / name).mkdir(parents=True)
        for view, affine in AFFINES.items():
            image = rng.normal(300, 60, (32, 32, 16)).clip(0)
            image[8:20, 8:20, 4:12] += 300 * (number % 2)
            write_image(folder / name / f"{name}_{view}.nii.gz", image.astype(np.int16), affine)
        rows.append({"study_id": name, "ACL": number % 2})
    write_table(folder / "labels.csv", rows, ("study_id", "ACL"))
    return folder


def finetune(studies, out, *words):
    done = invoke("finetune", studies, "--out", out, "--task", "diagnose", "--device", "cpu", *words)
    assert done.exit_code == 0, done.output
    return open_bundle(out / "my-model")


def probabilities(studies, model, table):
    done = invoke("diagnose", studies, "--out", table, "--model", model, "--device", "cpu")
    assert done.exit_code in (0, 8), done.output
    return read_table(table)["ACL"].astype(float).to_numpy()


def test_an_imported_bundle_is_read_and_fitted_as_its_authors_do_without_further_options(labelled, published, tmp_path):
    made = finetune(labelled, tmp_path / "fit", "--encoders", published, "--probe", "--seed", "4")
    info = made.info.diagnosis
    assert (info.diagnoser.head, info.noising) == ("sap", Noising(timestep=100, seed=4))
    assert info.diagnoser.head_config.tokens == (1, 2, 2)  # all that the deepest block has
    assert info.region == RegionSpec(slices=16, rows=32, columns=32, whole=True)
    assert {part.name for part in info.encoders.values()} == {"published"}
    assert made.info.grid.pixel_mm == open_bundle(published).info.grid.pixel_mm != 1
    kept = json.loads((made.path / "model.json").read_text())["diagnosis"]
    assert (kept["noising"]["timestep"], kept["region"]["whole"]) == (100, True)
    first = probabilities(labelled, made.path, tmp_path / "a.csv")
    assert np.array_equal(first, probabilities(labelled, made.path, tmp_path / "b.csv"))
    on = finetune(labelled, tmp_path / "on", "--encoders", made.path, "--view", "axial", "--probe", "--epochs", "2")
    assert (on.info.diagnosis.diagnoser.head, on.info.diagnosis.noising.timestep) == ("sap", 100)


def test_timestep_block_and_noise_are_chosen(labelled, published, tmp_path):
    words = ("--encoders", published, "--timestep", "200", "--block", "mid_0", "--noise", "fresh", "--head", "mean",
             "--view", "sagittal", "--probe", "--cache", tmp_path / "cache")  # fmt: skip
    made = finetune(labelled, tmp_path / "fit", *words)
    info = made.info.diagnosis
    assert (info.noising.timestep, info.noising.fresh, info.diagnoser.head_config.block) == (200, True, "mid_0")
    first = probabilities(labelled, made.path, tmp_path / "a.csv")
    assert not np.array_equal(first, probabilities(labelled, made.path, tmp_path / "b.csv"))
    kept = len(list((tmp_path / "cache/features").iterdir()))
    finetune(labelled, tmp_path / "clean", "--encoders", published, "--timestep", "0", "--head", "mean", "--view",
             "sagittal", "--probe", "--cache", tmp_path / "cache")  # fmt: skip
    assert len(list((tmp_path / "cache/features").iterdir())) == 2 * kept  # other features, not those of noisy images


def test_the_published_fusion_reads_each_view_in_its_own_way(labelled, published, tmp_path):
    words = ("--timestep", "200,150,50", "--block", "mid_0,mid_0,mid_2", "--fusion", "cross_attention", "--probe")
    made = finetune(labelled, tmp_path / "fit", "--encoders", published, *words)
    info = made.info.diagnosis
    assert info.noising.by_view == (200, 150, 50)
    assert (info.diagnoser.blocks, info.diagnoser.fusion) == (("mid_0", "mid_0", "mid_2"), "cross_attention")
    reader = StudyReader(made, torch.device("cpu"))
    assert [reader.diagnoser.head(view).blocks for view in View] == [("mid_0",), ("mid_0",), ("mid_2",)]
    first = probabilities(labelled, made.path, tmp_path / "a.csv")
    assert np.array_equal(first, probabilities(labelled, made.path, tmp_path / "b.csv"))
    on = finetune(labelled, tmp_path / "on", "--encoders", made.path, "--probe")
    assert (on.info.diagnosis.noising.by_view, on.info.diagnosis.diagnoser.blocks) == (
        info.noising.by_view,
        info.diagnoser.blocks,
    )


def test_partial_fine_tuning_keeps_the_head_that_was_trained_with_its_encoder(labelled, published, tmp_path):
    view = ("--view", "coronal", "--epochs", "1", "--batch", "4", "--validation-share", "0.3")
    made = finetune(labelled, tmp_path / "fit", "--encoders", published, *view)
    settings = json.loads((tmp_path / "fit/run.json").read_text())["config"]
    assert (settings["peak_rate"], settings["encoder_share"], settings["epochs"]) == (5e-4, 0.05, 1)
    assert settings["stage_one"]["augment"] is False
    before = open_bundle(published).encoder(View.CORONAL).state_dict()
    after = made.encoder(View.CORONAL, "diagnose").state_dict()
    assert any(not torch.equal(before[k], after[k]) for k in before)


def test_three_methods_side_by_side_in_one_report(labelled, published, tmp_path):
    """The commands of docs/models.md, on one view and with one pass."""
    shared = ("--view", "sagittal", "--region", "16", "32", "32")
    finetune(labelled, tmp_path / "published", "--encoders", published, "--probe", *shared)
    words = ("--from-scratch", "--head", "sap", "--epochs", "1", *shared)
    finetune(labelled, tmp_path / "ours", *words)
    finetune(labelled, tmp_path / "resnet", "--encoder", "resnet18", "--head", "mean", *words[:1], *words[3:])
    for name in ("published", "ours", "resnet"):
        probabilities(labelled, tmp_path / name / "my-model", tmp_path / f"{name}.csv")
    done = invoke("evaluate", "--predictions", tmp_path / "published.csv", "--labels", labelled / "labels.csv",
                  "--compare", tmp_path / "ours.csv", "--compare", tmp_path / "resnet.csv",
                  "--out", tmp_path / "report", "--resamples", "100")  # fmt: skip
    assert done.exit_code == 0, done.output
    rows = pd.read_csv(tmp_path / "report/metrics.csv", keep_default_na=False)
    assert {"ours", "resnet"} <= set(rows.against)


def test_transfer_takes_an_imported_bundle_to_another_joint(labelled, published, tmp_path):
    words = ("--joint", "knee", "--view", "sagittal", "--probe", "--no-scratch", "--baseline", "resnet18")
    done = invoke(
        "transfer", labelled, "--from", published, "--out", tmp_path, "--epochs", "1", "--device", "cpu", *words
    )
    assert done.exit_code == 0, done.output
    info = open_bundle(tmp_path / "my-model").info.diagnosis
    assert (info.diagnoser.head, info.noising.timestep, info.region.whole) == ("sap", 100, True)
    baseline = open_bundle(tmp_path / "arms/resnet18-100pc-seed0/resnet18-100pc-seed0").info.diagnosis
    assert (baseline.noising.timestep, baseline.region) == (0, RegionSpec(slices=16, rows=32, columns=32))


def test_what_is_not_asked_for_is_the_recipes_or_the_bundles(published):
    asked = FinetuneRequest("studies", "out", task=Task.DIAGNOSE, encoders=published, device="cpu")
    assert REGION == (16, 256, 256)
    run = checked(asked, print)
    assert (run.pixel_mm, run.learning_rate, run.epochs, run.stage_one.descent) == (0.625, 5e-4, 5, 10)
    run = checked(replace(asked, pixel_mm=1.0, region=(8, 32, 32), probe=True, epochs=3, learning_rate=1e-3), print)
    assert (run.pixel_mm, run.region.slices, run.stage_one.descent, run.stage_one.rate) == (1.0, 8, 3, 1e-3)
    run = checked(replace(asked, recipe="ours"), print)
    assert (run.head, run.region, run.noising, run.stage_one) == (
        "evidence",
        RegionSpec(),
        Noising(),
        recipe.StageOne(),
    )
    ours = FinetuneRequest("studies", "out", task=Task.DIAGNOSE, from_scratch=True, recipe="published", device="cpu")
    run = checked(ours, print)
    assert (run.encoder, run.head, run.noising.timestep, run.region.whole) == ("ortho", "sap", 100, True)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--block", "mid_9", "--head", "mean"), "has no block 'mid_9'"),
        (("--block", "mid_0", "--recipe", "ours", "--head", "evidence"), "chooses its blocks itself"),
        (("--recipe", "published", "--head", "evidence"), "is not fitted by descent"),
        (("--timestep", "1000"), "no timestep 1000"),
        (("--timestep", "100,50"), "2 values for 1 views"),
        (("--timestep", "0", "--noise", "fresh"), "--noise needs --timestep"),
        (("--recipe", "ours", "--epochs", "2"), "--epochs does nothing with --probe"),
        (("--pixel-mm", "1"), "give --pixel-mm 0.625"),
    ],
)
def test_what_cannot_be_read_is_refused(labelled, published, tmp_path, words, said):
    own = ("--task", "diagnose", "--probe", "--view", "sagittal", "--region", "16", "32", "32", "--encoders", published)
    done = invoke("finetune", labelled, "--out", tmp_path / "fit", *own, *words)
    assert done.exit_code == 2, done.output
    assert said in " ".join(done.output.split())


def test_masks_read_no_noise(labelled, tmp_path):
    done = invoke("finetune", labelled, "--out", tmp_path, "--task", "segment", "--from-scratch", "--timestep", "5")
    assert done.exit_code == 2
    assert "--timestep is for --task diagnose" in done.output
