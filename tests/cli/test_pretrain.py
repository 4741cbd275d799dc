"""Options of `orthodx pretrain`, by what they change."""

import csv
import json

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from orthodx.cli.app import app
from orthodx.networks.encoders.ortho import OrthoConfig, OrthoEncoder
from orthodx.networks.encoders.published import PublishedConfig, PublishedEncoder
from orthodx.studies.run_record import sha256
from orthodx.synth.anatomy_bank import AnatomyBank

pytestmark = pytest.mark.usefixtures("one_thread")
TINY = OrthoConfig(channels=(8, 8, 8, 8), time_channels=8)
WEIGHTS = "encoder_axial.safetensors"


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    monkeypatch.setitem(OrthoEncoder.presets, "tiny", TINY)
    monkeypatch.setitem(PublishedEncoder.presets, "tiny", PublishedConfig(width=8, groups=1))
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)


@pytest.fixture
def pretrain(images):
    """Two steps on one small series."""

    def go(*words, at=images["axial"], code=0):
        line = ["pretrain", str(at), *map(str, words), "--view", "axial", "--preset", "tiny", "--steps", "2"]
        done = CliRunner().invoke(app, [*line, "--crop", "4", "32", "32", "--workers", "0", "--device", "cpu"])
        assert done.exit_code == code, done.output
        return done

    return go


@pytest.fixture
def bank(knee, tmp_path):
    AnatomyBank(tmp_path / "bank").add("knee", knee)
    return tmp_path / "bank"


@pytest.fixture
def start(tmp_path):
    """Weights of which each does something."""
    encoder = OrthoEncoder(TINY)
    for parameter in encoder.parameters():
        torch.nn.init.normal_(parameter, std=0.2, generator=torch.Generator().manual_seed(1))
    save_file({k: v.contiguous() for k, v in encoder.state_dict().items()}, tmp_path / "start.safetensors")
    return tmp_path / "start.safetensors"


def last_row(folder):
    with (folder / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))[-1]


def test_a_pipeline_gets_json_and_a_quiet_run_says_nothing(pretrain, tmp_path):
    done = pretrain("-o", tmp_path / "a", "--json", "--batch", 1)
    told = json.loads(done.stdout)
    assert told == {"weights": str(tmp_path / "a" / WEIGHTS), "metrics": str(tmp_path / "a/metrics.csv")}
    assert done.stderr.startswith("the axial encoder learns for 2 steps on cpu\n")
    assert "step 2/2" in done.stderr
    assert pretrain("-o", tmp_path / "b", "-q", "--batch", 1).output == ""


def test_equal_seeds_give_equal_weights_and_others_do_not(pretrain, tmp_path):
    found = []
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        pretrain("--out", tmp_path / name, "--seed", seed, "--batch", 1)
        found.append((tmp_path / name / WEIGHTS).read_bytes())
    assert found[0] == found[1]
    assert found[0] != found[2]


def test_a_run_starts_from_the_weights_given_and_moves_as_far_as_its_rate_allows(pretrain, start, tmp_path):
    rates, moved = [], []
    for name, rate in (("a", 1e-6), ("b", 1e-3)):
        pretrain("--out", tmp_path / name, "--init", start, "--learning-rate", rate, "--batch", 1)
        found, begun = load_file(tmp_path / name / WEIGHTS), load_file(start)
        moved.append(max(float((found[key] - begun[key]).abs().max()) for key in begun))
        rates.append(float(last_row(tmp_path / name)["rate"]))
    assert moved[0] < 1e-5
    assert moved[1] > 100 * moved[0] > 0
    assert rates[1] == pytest.approx(1000 * rates[0])


def test_a_start_is_never_written_over_and_told_as_it_was(pretrain, start, tmp_path):
    (tmp_path / "a").mkdir()
    own = tmp_path / "a" / WEIGHTS
    own.write_bytes(start.read_bytes())
    done = pretrain("--out", tmp_path / "a", "--init", own, "--batch", 1, code=2)
    assert f"{own} is there and is no result of" in done.output.replace("\n", " ")
    assert own.read_bytes() == start.read_bytes()
    pretrain("--out", tmp_path / "b", "--init", start, "--batch", 1)
    assert json.loads((tmp_path / "b/run.json").read_text())["starts"] == {"init": sha256(start)}


def test_a_run_goes_on_from_its_own_start_only(pretrain, start, tmp_path):
    pretrain("--out", tmp_path / "a", "--batch", 1)
    done = pretrain("--out", tmp_path / "a", "--init", start, "--batch", 1, "--resume", code=2)
    assert "init" in done.output
    assert json.loads((tmp_path / "a/run.json").read_text())["starts"] == {}


def test_a_checkpoint_that_does_not_tell_its_start_goes_on(pretrain, start, tmp_path):
    pretrain("--out", tmp_path / "a", "--init", start, "--batch", 1)
    state = tmp_path / "a/checkpoint.safetensors"
    with safe_open(state, "pt") as file:
        told, tensors = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    config = json.loads(told["config"])
    assert config.pop("init") == sha256(start)
    save_file(tensors, state, {**told, "config": json.dumps(config)})  # as versions before kept it
    pretrain("--out", tmp_path / "a", "--init", start, "--batch", 1, "--resume")


def test_batches_added_up_are_one_large_batch(pretrain, start, tmp_path):
    pretrain("--out", tmp_path / "a", "--init", start, "--batch", 2)
    pretrain("--out", tmp_path / "b", "--init", start, "--batch", 1, "--accumulate", 2)
    one, two = last_row(tmp_path / "a"), last_row(tmp_path / "b")
    assert float(two["loss"]) == pytest.approx(float(one["loss"]), rel=1e-3)
    assert float(two["gradient"]) == pytest.approx(float(one["gradient"]), rel=1e-2)


def test_studies_are_kept_on_the_grid_of_the_pixels_given(pretrain, tmp_path):
    shapes = []
    for name, pixel_mm in (("a", 1), ("b", 2)):
        pretrain("--out", tmp_path / name, "--cache", tmp_path / f"cache_{name}", "--pixel-mm", pixel_mm, "--batch", 1)
        (kept,) = (tmp_path / f"cache_{name}").glob("*.image.npy")
        shapes.append(np.load(kept, mmap_mode="r").shape)
    assert shapes == [(9, 96, 96), (9, 48, 48)]
    written = kept.stat().st_mtime_ns
    pretrain("--out", tmp_path / "again", "--cache", tmp_path / "cache_b", "--pixel-mm", 2, "--batch", 1)
    assert [path.stat().st_mtime_ns for path in (tmp_path / "cache_b").glob("*.image.npy")] == [written]


def test_the_encoder_named_is_the_one_that_learns(pretrain, tmp_path):
    pretrain("--out", tmp_path, "--encoder", "published", "--batch", 1)
    wanted = PublishedEncoder(PublishedConfig(width=8, groups=1)).state_dict()
    assert load_file(tmp_path / WEIGHTS).keys() == wanted.keys()


def test_a_run_is_probed_and_pictured_as_often_as_asked(pretrain, bank, tmp_path):
    pretrain("--out", tmp_path / "out", "--batch", 1, "--probe", bank, "--probe-every", 1, "--sample-every", 2)
    with (tmp_path / "out/metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows if row["probe"]] == ["1", "2"]
    assert [path.name for path in (tmp_path / "out/samples").iterdir()] == ["step_000002.png"]


def test_a_crop_that_no_encoder_reads_is_refused_in_one_line(tmp_path):
    line = ["pretrain", str(tmp_path), "--view", "axial", "--out", str(tmp_path / "out"), "--crop", "4", "30", "32"]
    done = CliRunner().invoke(app, line)
    assert (done.exit_code, len(done.stderr.splitlines())) == (2, 1), done.output
    assert "a crop of 4 x 30 x 32 cannot be read" in done.stderr


def test_a_cache_without_studies_is_refused(bank, tmp_path):
    line = [
        "pretrain",
        str(bank),
        "--view",
        "axial",
        "--out",
        str(tmp_path / "out"),
        "--cache",
        str(tmp_path / "cache"),
    ]
    done = CliRunner().invoke(app, line)
    assert (done.exit_code, len(done.stderr.splitlines())) == (2, 1), done.output
    assert "--cache keeps studies" in done.stderr
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("name", ["resnet18", "dynunet"])
def test_a_network_that_is_no_denoiser_is_refused_before_anything_is_read(name, tmp_path):
    line = ("pretrain", "absent", "--view", "axial", "--encoder", name, "--out", str(tmp_path / "o"))
    done = CliRunner().invoke(app, line)
    assert (done.exit_code, len(done.stderr.splitlines())) == (2, 1), done.output
    assert f"the encoder '{name}' is no denoiser -> give ortho or published" in done.stderr
