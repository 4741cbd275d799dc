"""Pretraining over several batches, processes and pictures gives what one plain run would."""

import csv
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from orthodx.errors import BundleError
from orthodx.grid.spec import GridSpec
from orthodx.joints import View
from orthodx.networks.encoders.ortho import OrthoConfig, OrthoEncoder
from orthodx.synth.anatomy import Anatomy
from orthodx.synth.anatomy_bank import AnatomyBank
from orthodx.synth.source import SyntheticSource
from orthodx.training.checkpoint import PREVIOUS
from orthodx.training.denoising.fit import PretrainConfig, draw, fit_denoiser
from orthodx.training.denoising.probe import at_sites, probe
from orthodx.training.distributed import Team

ALONE = Team(torch.device("cpu"))


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    monkeypatch.setitem(OrthoEncoder.presets, "tiny", OrthoConfig(channels=(8, 8, 8, 8), time_channels=8))


@pytest.fixture
def source(knee):
    return SyntheticSource([(knee.tissues, knee.affine)], GridSpec(), crop=(4, 32, 32), seed=1)


def run(out, source, **more):
    settings = {"view": View.SAGITTAL, "preset": "tiny", "steps": 4, "batch": 2, "save_every": 2, "log_every": 2}
    extra = {k: more.pop(k) for k in ("labelled", "resume") if k in more}
    weights = fit_denoiser(
        PretrainConfig(**{**settings, **more}), source, out, team=ALONE, workers=0, say=lambda _: None, **extra
    )
    return load_file(weights)


def assert_same(a, b, atol=2e-5):
    assert a.keys() == b.keys()
    for name in a:
        torch.testing.assert_close(a[name], b[name], rtol=1e-2, atol=atol, msg=name)


def in_fp32(monkeypatch):
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)


def test_batches_added_up_are_one_large_batch(tmp_path, source, monkeypatch):
    in_fp32(monkeypatch)
    assert_same(run(tmp_path / "a", source, batch=2), run(tmp_path / "b", source, batch=1, accumulate=2))


def test_a_killed_run_that_adds_up_batches_resumes_exactly(tmp_path, source):
    whole = run(tmp_path / "whole", source, accumulate=2)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "cut", Stops(source, at=13), accumulate=2)
    resumed = run(tmp_path / "cut", source, accumulate=2, resume=True)
    assert all(torch.equal(whole[k], resumed[k]) for k in whole)
    assert (tmp_path / "cut" / PREVIOUS).is_file()


def test_each_sample_has_noise_of_its_own():
    images = torch.zeros(4, 1, 2, 3, 3)
    t, noise = draw(7, 10, images)
    t_late, noise_late = draw(7, 12, images[:2])
    assert torch.equal(t[2:], t_late)
    assert torch.equal(noise[2:], noise_late)
    assert not torch.equal(noise[0], noise[1])


TWO = """
import sys
from pathlib import Path
import torch
from orthodx.grid.spec import GridSpec
from orthodx.joints import View
from orthodx.networks.encoders.ortho import OrthoConfig, OrthoEncoder
from orthodx.synth.anatomy_bank import AnatomyBank
from orthodx.synth.source import SyntheticSource
from orthodx.training.distributed import join, leave
from orthodx.training.denoising.fit import PretrainConfig, fit_denoiser
torch.set_num_threads(1)
torch.cpu._is_amx_tile_supported = torch.cpu._is_avx512_bf16_supported = lambda: False
OrthoEncoder.presets["tiny"] = OrthoConfig(channels=(8, 8, 8, 8), time_channels=8)
source = SyntheticSource(AnatomyBank(Path(sys.argv[1])), GridSpec(), crop=(4, 32, 32), seed=1)
team = join(torch.device("cpu"))
assert team.size == 2
config = PretrainConfig(view=View.SAGITTAL, preset="tiny", steps=4, batch=1, save_every=2, log_every=2)
fit_denoiser(config, source, Path(sys.argv[2]), team=team, workers=0, say=lambda _: None,
             resume=len(sys.argv) > 3)
leave(team)
"""


def in_two_processes(tmp_path, knee, *words):
    AnatomyBank(tmp_path / "bank").add("knee", Anatomy(knee.tissues, knee.affine, knee.side, "test"))
    script = tmp_path / "two.py"
    script.write_text(TWO)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(script)]
    done = subprocess.run(
        [*command, str(tmp_path / "bank"), str(tmp_path / "two"), *words], capture_output=True, text=True, timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]


class Stops:
    """A source that is broken off at a sample."""

    def __init__(self, source, at):
        self.source, self.at = source, at

    def __getitem__(self, key):
        if key[0] >= self.at:
            raise KeyboardInterrupt
        return self.source[key]


def test_two_processes_go_on_with_what_one_began(tmp_path, source, knee, monkeypatch):
    in_fp32(monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "two", Stops(source, at=5), batch=2)  # two of four steps are saved
    in_two_processes(tmp_path, knee, "resume")
    assert_same(load_file(tmp_path / "two/encoder_sagittal.safetensors"), run(tmp_path / "one", source, batch=2))


def test_a_run_goes_on_with_as_many_volumes_a_step_however_they_are_split(tmp_path, source, monkeypatch):
    in_fp32(monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "cut", Stops(source, at=9), batch=2, accumulate=2)
    with pytest.raises(BundleError, match="volumes a step: --batch x --accumulate"):
        run(tmp_path / "cut", source, batch=2, resume=True)
    whole = run(tmp_path / "whole", source, batch=2, accumulate=2)
    assert_same(run(tmp_path / "cut", source, batch=4, resume=True), whole)


def test_two_processes_make_the_update_of_one_with_the_same_global_batch(tmp_path, source, knee, monkeypatch):
    in_fp32(monkeypatch)
    in_two_processes(tmp_path, knee)
    assert_same(load_file(tmp_path / "two/encoder_sagittal.safetensors"), run(tmp_path / "one", source, batch=2))
    with (tmp_path / "two/metrics.csv").open() as file:
        assert [row["step"] for row in csv.DictReader(file)] == ["2", "4"]


def test_pictures_are_drawn_on_the_way(tmp_path, source):
    run(tmp_path, source, steps=2, sample_every=1)
    pictures = sorted((tmp_path / "samples").glob("*.png"))
    assert [p.name for p in pictures] == ["step_000001.png", "step_000002.png"]
    assert pictures[0].read_bytes()[:4] == b"\x89PNG"


def test_the_weights_that_probe_best_are_kept(tmp_path, source, monkeypatch):
    scores = iter([0.3, 0.6, 0.5, 0.2])
    monkeypatch.setattr("orthodx.training.denoising.fit.probe", lambda *_, **__: next(scores))
    kept = run(tmp_path, source, probe_every=1, labelled=source)
    best = load_file(tmp_path / "best.safetensors")
    assert all(torch.equal(kept[k], best[k]) for k in kept)
    last = load_file(tmp_path / "checkpoint.safetensors")
    assert any(not torch.equal(kept[k], last[f"ema/encoder.{k}"]) for k in kept)
    with (tmp_path / "metrics.csv").open() as file:
        assert [row["probe"] for row in csv.DictReader(file)] == ["0.3", "0.6", "0.5", "0.2"]


class Labelled:
    """Images of a bright square whose place is the truth."""

    def __getitem__(self, key):
        rng = np.random.default_rng(key[0])
        truth = torch.zeros(4, 16, 16, dtype=torch.uint8)
        top, left = rng.integers(1, 8, 2)
        truth[:, top : top + 6, left : left + 6] = 3
        return truth[None].float() - 0.5 + 0.05 * torch.randn(1, 4, 16, 16), truth


def test_a_probe_tells_features_that_see_from_features_that_do_not():
    torch.manual_seed(0)
    seeing = probe(lambda x: {"a": x}, Labelled(), View.AXIAL, images=4, device=torch.device("cpu"))
    blind = probe(lambda x: {"a": torch.randn_like(x)}, Labelled(), View.AXIAL, images=4, device=torch.device("cpu"))
    assert seeing > 0.95
    assert blind < 0.75


def test_sites_read_the_block_voxel_above_them():
    block = torch.arange(2 * 4 * 4).float().view(1, 1, 2, 4, 4)
    sites = torch.tensor([[0, 0, 0], [3, 7, 7], [1, 2, 5]])
    assert at_sites({"a": block}, (4, 8, 8), sites)[:, 0].tolist() == [0.0, 31.0, 6.0]
