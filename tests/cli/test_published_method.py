"""The published method as a command: noisy images, a chosen block, self-attention pooling; told in the bundle."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from orthodx.bundles.bundle import BundleInfo, Part, open_bundle, save_bundle
from orthodx.cli.app import app
from orthodx.errors import UsageError
from orthodx.grid.spec import GridSpec
from orthodx.joints import KNEE, View
from orthodx.networks.diffusion import cosine_abar
from orthodx.networks.encoders.published import PublishedConfig, PublishedEncoder
from orthodx.networks.heads import pooled
from orthodx.networks.reading import CLEAN, Noising, blocks_of
from orthodx.requests import FinetuneRequest, Task, TransferRequest
from orthodx.studies.nifti import write_image
from orthodx.studies.tables import read_table, write_table
from orthodx.training.checks import checked, region_of

TINY = PublishedConfig(width=16, multiples=(1, 1, 1, 1, 1), groups=4)
AFFINE = np.array([[0, 0, -3.0, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1.0]])  # sagittal
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    monkeypatch.setitem(PublishedEncoder.presets, "published", TINY)
    monkeypatch.setattr(pooled, "TOKENS", (1, 2, 2))


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A bundle of one encoder, such as `models import` makes of released checkpoints."""
    torch.manual_seed(0)
    file = "encoder_sagittal.safetensors"
    info = BundleInfo(
        name="published-knee",
        version="1",
        joint=KNEE,
        grid=GridSpec(),
        encoders={View.SAGITTAL: Part("published", TINY, file)},
        heads={},
        training=[{"stage": "imported"}],
        licence="MIT",
        sources=["released"],
        sha256={},
    )
    encoder = PublishedEncoder(TINY)
    for parameter in encoder.parameters():  # its last layers are zero at birth
        torch.nn.init.normal_(parameter, std=0.1)
    return save_bundle(tmp_path_factory.mktemp("published") / "knee", info, {file: encoder.state_dict()}).path


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    folder = tmp_path_factory.mktemp("labelled") / "cohort"
    rows, rng = [], np.random.default_rng(0)
    for number in range(10):
        image = rng.normal(300, 60, (32, 32, 16)).clip(0)
        image[8:20, 8:20, 4:12] += 300 * (number % 2)
        name = f"p{number}"
        (folder / name).mkdir(parents=True)
        write_image(folder / name / f"{name}.nii.gz", image.astype(np.int16), AFFINE)
        rows.append({"study_id": name, "ACL": number % 2})
    write_table(folder / "labels.csv", rows, ("study_id", "ACL"))
    return folder


def invoke(*words):
    return CliRunner().invoke(app, list(map(str, words)))


def finetune(studies, out, *words):
    small = ("--region", "16", "32", "32", "--view", "sagittal", "--probe", "--device", "cpu")
    done = invoke("finetune", studies, "--out", out, "--task", "diagnose", *small, *words)
    assert done.exit_code == 0, done.output
    return open_bundle(out / "my-model")


def probabilities(studies, model, table):
    done = invoke("diagnose", studies, "--out", table, "--model", model, "--device", "cpu")
    assert done.exit_code in (0, 8), done.output
    return read_table(table)["ACL"].astype(float).to_numpy()


def test_an_imported_bundle_is_read_as_its_authors_do_without_further_options(labelled, published, tmp_path):
    made = finetune(labelled, tmp_path / "fit", "--encoders", published, "--seed", "4")
    info = made.info.diagnosis
    assert (info.diagnoser.head, info.noising) == ("sap", Noising(timestep=100, seed=4))
    assert info.encoders[View.SAGITTAL].name == "published"
    assert json.loads((made.path / "model.json").read_text())["diagnosis"]["noising"]["timestep"] == 100
    first = probabilities(labelled, made.path, tmp_path / "a.csv")
    assert np.array_equal(first, probabilities(labelled, made.path, tmp_path / "b.csv"))


def test_timestep_block_and_noise_are_chosen(labelled, published, tmp_path):
    words = ("--encoders", published, "--timestep", "200", "--block", "mid_0", "--noise", "fresh", "--head", "mean")
    made = finetune(labelled, tmp_path / "fit", *words, "--cache", tmp_path / "cache")
    info = made.info.diagnosis
    assert (info.noising.timestep, info.noising.fresh, info.diagnoser.head_config.block) == (200, True, "mid_0")
    first = probabilities(labelled, made.path, tmp_path / "a.csv")
    assert not np.array_equal(first, probabilities(labelled, made.path, tmp_path / "b.csv"))
    kept = len(list((tmp_path / "cache/features").iterdir()))
    finetune(labelled, tmp_path / "clean", "--encoders", published, "--timestep", "0", "--head", "mean", "--cache",
             tmp_path / "cache")  # fmt: skip
    assert len(list((tmp_path / "cache/features").iterdir())) == 2 * kept  # other features, not those of noisy images


def test_the_region_is_the_published_one_in_every_arm(published):
    asked = FinetuneRequest("studies", "out", task=Task.DIAGNOSE, encoders=published, views="sagittal", device="cpu")
    assert checked(asked, print).region == (16, 256, 256)
    assert checked(replace(asked, region=(8, 32, 32)), print).region == (8, 32, 32)
    transfer = TransferRequest("studies", "out", start="published-knee")
    assert region_of("published", transfer) == (16, 256, 256)
    assert region_of("ortho", transfer) == transfer.region


def test_noise_is_as_much_as_the_schedule_says_and_alike_for_all():
    image = torch.zeros(3, 1, 8, 32, 32)
    noisy = Noising(timestep=400, seed=1)(image)
    assert float(noisy.std()) == pytest.approx(float((1 - cosine_abar()[400]).sqrt()), rel=0.03)
    assert torch.equal(noisy[0], noisy[1])
    assert torch.equal(noisy, Noising(timestep=400, seed=1)(image))
    assert not torch.equal(noisy, Noising(timestep=400, seed=2)(image))
    fresh = Noising(timestep=400, fresh=True)
    assert not torch.equal(fresh(image)[0], fresh(image)[1])
    assert CLEAN(image) is image


def test_features_are_those_of_the_noisy_image_at_its_timestep():
    torch.manual_seed(0)
    encoder = PublishedEncoder(TINY).eval()
    image, how = torch.randn(1, 1, 16, 32, 32).clamp(-1, 1), Noising(timestep=100, seed=3)
    with torch.inference_mode():
        found = blocks_of(encoder, image, ["mid_2"], noising=how)["mid_2"]
        wanted = encoder.features(how(image), 100, ["mid_2"])["mid_2"]
    assert torch.allclose(found.float(), wanted.float(), atol=0.05)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--block", "mid_9", "--head", "mean"), "has no block 'mid_9'"),
        (("--block", "mid_0", "--head", "evidence"), "chooses its blocks itself"),
        (("--timestep", "1000"), "no timestep 1000"),
        (("--timestep", "0", "--noise", "fresh"), "--noise needs --timestep"),
    ],
)
def test_what_cannot_be_read_is_refused(labelled, published, tmp_path, words, said):
    own = ("--task", "diagnose", "--probe", "--view", "sagittal", "--region", "16", "32", "32", "--encoders", published)
    done = invoke("finetune", labelled, "--out", tmp_path / "fit", *own, *words)
    assert done.exit_code == 2
    assert said in " ".join(done.output.split())


def test_masks_read_no_noise(labelled, tmp_path):
    done = invoke("finetune", labelled, "--out", tmp_path, "--task", "segment", "--from-scratch", "--timestep", "5")
    assert done.exit_code == 2
    with pytest.raises(UsageError):
        Noising(timestep=-1)
