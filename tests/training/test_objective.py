"""Distillation to clean images, and self-alignment: what they teach, that they resume, and what they refuse."""

import csv
import json

import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from orthodx.cli.app import app
from orthodx.errors import BundleError, UsageError
from orthodx.grid.spec import GridSpec
from orthodx.joints import View
from orthodx.networks.encoders.ortho import OrthoConfig, OrthoEncoder
from orthodx.synth.anatomy import Anatomy
from orthodx.synth.anatomy_bank import AnatomyBank
from orthodx.synth.source import SyntheticSource
from orthodx.training.denoising.fit import PretrainConfig, draw, fit_denoiser
from orthodx.training.denoising.objective import Align, Denoise, Distil, feature_error
from orthodx.training.distributed import Team
from orthodx.training.ema import Ema

ALONE = Team(torch.device("cpu"))
TINY = OrthoConfig(channels=(8, 8, 8, 8), time_channels=8)


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    monkeypatch.setitem(OrthoEncoder.presets, "tiny", TINY)


@pytest.fixture
def source(knee):
    return SyntheticSource([(knee.tissues, knee.affine)], GridSpec(), crop=(4, 32, 32), seed=1)


def lively(seed=0, std=0.2):
    """An encoder whose every weight does something."""
    torch.manual_seed(seed)
    encoder = OrthoEncoder(TINY)
    for parameter in encoder.parameters():
        torch.nn.init.normal_(parameter, std=std)
    return encoder


def images(count=2):
    return torch.rand(count, 1, 4, 32, 32, generator=torch.Generator().manual_seed(3)) * 2 - 1


def draws(objective, x, seed=0):
    return [draw(seed, 0, x, stream) for stream in range(objective.draws)]


def run(out, source, **more):
    settings = {"view": View.SAGITTAL, "preset": "tiny", "steps": 4, "batch": 2, "save_every": 2, "log_every": 2}
    extra = {k: more.pop(k) for k in ("teacher", "init", "resume") if k in more}
    config = PretrainConfig(**{**settings, **more})
    return fit_denoiser(config, source, out, team=ALONE, workers=0, say=lambda _: None, **extra)


def test_draws_of_one_sample_are_independent_and_the_first_is_what_it_always_was():
    x = torch.zeros(2, 1, 2, 3, 3)
    (t, noise), (_, other) = draw(7, 10, x), draw(7, 10, x, stream=1)
    assert torch.equal(noise, draw(7, 10, x, stream=0)[1])
    assert not torch.equal(noise, other)
    assert t.shape == (2,)


def test_the_error_of_features_is_blind_to_a_channels_scale_and_to_its_neighbours():
    wanted, scale = torch.randn(2, 4, 2, 5, 5), torch.tensor([1.0, 10.0, 100.0, 1000.0]).view(1, 4, 1, 1, 1)
    assert feature_error(wanted, wanted).tolist() == [0.0, 0.0]
    worse = wanted.clone()
    worse[1] += 1
    error = feature_error(worse, wanted)
    assert error[0] == 0
    assert 0.7 < error[1] < 1.2
    torch.testing.assert_close(feature_error(worse * 7, wanted * 7), error, rtol=1e-3, atol=1e-4)
    assert torch.isfinite(feature_error(worse * scale, torch.zeros_like(wanted))).all()


def test_distillation_brings_clean_features_to_the_noisy_mean_and_keeps_the_denoiser():
    teacher, student, x = lively(std=0.5), lively(std=0.5), images()
    objective = Distil(student, teacher, weight=5.0)

    @torch.no_grad()
    def unseen():
        found = [objective(x, draws(objective, x, seed)) for seed in range(1000, 1008)]
        return [float(torch.stack([one[name] for one in found]).mean()) for name in ("distil", "loss")]

    optimizer, before = torch.optim.Adam(objective.parameters(), lr=3e-3), unseen()
    for step in range(60):
        optimizer.zero_grad()
        losses = objective(x, draws(objective, x, seed=step))
        sum(objective.weights[name] * loss.mean() for name, loss in losses.items()).backward()
        optimizer.step()
    after = unseen()
    assert after[0] < 0.75 * before[0]
    assert after[1] < before[1]
    assert all(torch.equal(a, b) for a, b in zip(teacher.parameters(), lively(std=0.5).parameters(), strict=True))


def test_the_noise_loss_is_the_plain_one_whatever_stands_beside_it():
    encoder, x = lively(), images()
    plain = Denoise(encoder)
    ema = Ema({"encoder": encoder})
    with torch.no_grad():
        wanted = plain(x, draws(plain, x))["loss"]
        for objective in (Distil(encoder, lively(1), 1.0), Align(encoder, ema.twin("encoder"), 1.0)):
            torch.testing.assert_close(objective(x, draws(objective, x))["loss"], wanted)


def test_alignment_teaches_the_early_block_and_the_projection_alone_is_not_enough():
    encoder, x = lively(), images()
    objective = Align(encoder, Ema({"encoder": encoder}).twin("encoder"), weight=1.0)
    assert (objective.early, objective.late) == ("down_2", "up_2")
    objective(x, draws(objective, x))["align"].mean().backward()
    assert encoder.down[2].conv_1.weight.grad.abs().sum() > 0
    assert encoder.up[0].conv_1.weight.grad is None
    assert all(p.grad.abs().sum() > 0 for p in objective.projection.parameters())


def test_the_twin_follows_the_average():
    encoder = lively()
    ema = Ema({"encoder": encoder}, decay=0.5)
    twin = ema.twin("encoder")
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter += 1
    ema.update(100)
    ema.swap()
    ema.swap()
    ema.update(101)
    kept = ema.of("encoder")
    assert all(torch.equal(p, kept[k]) for k, p in twin.named_parameters())
    assert not any(p.requires_grad for p in twin.parameters())


class Stops:
    """A source that fails at sample 4, as a pulled plug does."""

    def __init__(self, source):
        self.source = source

    def __getitem__(self, key):
        if key[0] >= 4:
            raise KeyboardInterrupt
        return self.source[key]


@pytest.mark.parametrize("kind", ["distil", "align"])
def test_a_killed_run_resumes_to_the_very_same_weights(tmp_path, source, kind):
    more = {kind: 0.5}
    if kind == "distil":
        more["teacher"] = run(tmp_path / "teacher", source, steps=2)
    whole = run(tmp_path / "whole", source, **more)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "cut", Stops(source), **more)
    assert whole.read_bytes() == run(tmp_path / "cut", source, resume=True, **more).read_bytes()
    assert load_file(whole).keys() == OrthoEncoder(TINY).state_dict().keys()
    assert whole.read_bytes() != run(tmp_path / "plain", source, init=more.get("teacher")).read_bytes()
    with (tmp_path / "cut/metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["2", "4"]
    assert all(float(row[kind]) > 0 and float(row["loss"]) > 0 for row in rows)


def test_a_resumed_distillation_keeps_its_teacher(tmp_path, source):
    first, other = (run(tmp_path / name, source, steps=2, seed=i) for i, name in enumerate("ab"))
    run(tmp_path / "out", source, teacher=first, distil=1.0)
    with pytest.raises(BundleError, match=r"other options \(teacher\)"):
        run(tmp_path / "out", source, teacher=other, distil=1.0, resume=True)


def test_what_does_not_fit_together_is_refused(tmp_path, source):
    with pytest.raises(UsageError, match="either aligned or distilled"):
        PretrainConfig(view=View.AXIAL, align=1.0, distil=1.0)
    with pytest.raises(UsageError, match="a teacher and a weight"):
        run(tmp_path / "a", source, distil=1.0)
    weights = run(tmp_path / "b", source, steps=2)
    with pytest.raises(UsageError, match="starts from its teacher"):
        run(tmp_path / "c", source, distil=1.0, teacher=weights, init=weights)


@pytest.mark.parametrize("kind", ["distil", "align"])
def test_the_command_line_trains_with_either_and_writes_a_run_record(tmp_path, knee, source, kind):
    AnatomyBank(tmp_path / "bank").add("knee", Anatomy(knee.tissues, knee.affine, knee.side, "test"))
    if kind == "distil":
        option = ["--distil", str(run(tmp_path / "teacher", source, steps=1)), "--distil-weight", "2.5"]
    else:
        option = ["--align", "2.5"]
    command = ["pretrain", str(tmp_path / "bank"), "--view", "sagittal", "--preset", "tiny", "--steps", "1",
               "--batch", "1", "--crop", "4", "32", "32", "--workers", "0", "--device", "cpu",
               "--out", str(tmp_path / "out"), *option]  # fmt: skip
    done = CliRunner().invoke(app, command, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert f"  {kind} " in done.output
    record = json.loads((tmp_path / "out/run.json").read_text())
    assert record["config"][kind] == 2.5
    assert ("teacher" in record["starts"]) == (kind == "distil")
    with (tmp_path / "out/metrics.csv").open() as file:
        assert float(next(csv.DictReader(file))[kind]) > 0
