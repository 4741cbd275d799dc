"""Pretraining draws other noise for each seed, sample and stream; batches added up give the gradient of one."""

import csv
import itertools

import pytest
import torch
from safetensors.torch import save_file

from orthodx.joints import View
from orthodx.networks.encoders.ortho import OrthoConfig, OrthoEncoder
from orthodx.training.denoising.fit import PretrainConfig, draw, fit_denoiser
from orthodx.training.distributed import Team

ALONE = Team(torch.device("cpu"))
TINY = OrthoConfig(channels=(8, 8, 8, 8), time_channels=8)


@pytest.fixture
def start(monkeypatch, tmp_path):
    """Weights that every run begins with, each of which does something."""
    monkeypatch.setitem(OrthoEncoder.presets, "tiny", TINY)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    torch.manual_seed(0)
    encoder = OrthoEncoder(TINY)
    for parameter in encoder.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    save_file({k: v.contiguous() for k, v in encoder.state_dict().items()}, tmp_path / "start.safetensors")
    return tmp_path / "start.safetensors"


class Images:
    """Sample i is always the same image."""

    def __getitem__(self, key):
        image = torch.rand(1, 4, 32, 32, generator=torch.Generator().manual_seed(key[0])) * 2 - 1
        return image, torch.zeros(4, 32, 32, dtype=torch.uint8)


@pytest.fixture
def first_row(start, tmp_path):
    """What metrics.csv says of the first step."""

    def run(name, **more):
        config = PretrainConfig(view=View.SAGITTAL, preset="tiny", steps=1, log_every=1, **more)
        fit_denoiser(config, Images(), tmp_path / name, team=ALONE, workers=0, init=start, say=lambda _: None)
        with (tmp_path / name / "metrics.csv").open(newline="") as file:
            return {k: float(v) for k, v in next(csv.DictReader(file)).items() if v}

    return run


def assert_all_differ(draws):
    for (t, noise), (other_t, other_noise) in itertools.combinations(draws, 2):
        assert (t != other_t).any()
        assert (noise != other_noise).float().mean() > 0.99


IMAGES = torch.zeros(16, 1, 2, 4, 4)


def test_each_seed_has_timesteps_and_noise_of_its_own():
    assert_all_differ([draw(seed, 0, IMAGES) for seed in range(4)])


def test_each_stream_has_timesteps_and_noise_of_its_own():
    assert_all_differ([draw(5, 0, IMAGES, stream) for stream in range(4)])


def test_each_sample_of_a_batch_has_noise_of_its_own_and_timesteps_cover_the_range():
    t, noise = draw(5, 0, torch.zeros(256, 1, 2, 4, 4))
    assert len({tuple(one.flatten().tolist()) for one in noise}) == 256
    assert len(t.unique()) > 200
    assert (int(t.min()) < 50, int(t.max()) >= 950) == (True, True)


def test_a_run_of_another_seed_learns_from_other_noise(first_row):
    one, again, other = (first_row(name, batch=2, seed=seed) for name, seed in (("a", 1), ("b", 1), ("c", 2)))
    assert one["loss"] == again["loss"]
    assert one["loss"] != other["loss"]


def test_the_gradient_of_two_batches_added_up_is_that_of_one_as_large(first_row):
    whole, halves = first_row("a", batch=4), first_row("b", batch=2, accumulate=2)
    assert halves["loss"] == pytest.approx(whole["loss"], rel=1e-4)
    assert halves["gradient"] == pytest.approx(whole["gradient"], rel=1e-3)
