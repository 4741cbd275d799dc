"""Training: exact resume, a guard against NaN, and a model that learns."""

import csv
import itertools

import pytest
import torch

from orthodx.errors import BundleError
from orthodx.grid.spec import GridSpec
from orthodx.joints import KNEE, View
from orthodx.networks.encoders.ortho import OrthoConfig, OrthoEncoder
from orthodx.synth.source import SyntheticSource
from orthodx.training.denoising.fit import PretrainConfig, fit_denoiser
from orthodx.training.distributed import Team
from orthodx.training.masks.fit import MasksConfig, fit_masks
from orthodx.training.masks.tasks import SegmentTask
from orthodx.training.optimise import DivergedError, learning_rate
from orthodx.training.sources import open_source

CPU = torch.device("cpu")
ALONE = Team(CPU)


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    """A preset small enough for tests."""
    monkeypatch.setitem(OrthoEncoder.presets, "tiny", OrthoConfig(channels=(32, 16, 16, 16), time_channels=16))


@pytest.fixture
def source(knee):
    return SyntheticSource([(knee.tissues, knee.affine)], GridSpec(), crop=(4, 32, 32), seed=1)


def quiet(_):
    pass


def config(**more):
    settings = {
        "view": View.SAGITTAL,
        "preset": "tiny",
        "steps": 6,
        "batch": 2,
        "save_every": 3,
        "log_every": 2,
    }
    return PretrainConfig(**{**settings, **more})


class Stops:
    """A source that fails at sample n, as a pulled plug does."""

    def __init__(self, source, n):
        self.source, self.n = source, n

    def __getitem__(self, key):
        if key[0] >= self.n:
            raise KeyboardInterrupt
        return self.source[key]


def test_a_killed_pretraining_resumes_to_the_very_same_weights(tmp_path, source):
    whole = fit_denoiser(config(), source, tmp_path / "whole", team=ALONE, workers=0, say=quiet)
    with pytest.raises(KeyboardInterrupt):
        fit_denoiser(config(), Stops(source, 9), tmp_path / "cut", team=ALONE, workers=0, say=quiet)
    resumed = fit_denoiser(config(), source, tmp_path / "cut", team=ALONE, workers=0, resume=True, say=quiet)
    assert whole.read_bytes() == resumed.read_bytes()
    with (tmp_path / "cut/metrics.csv").open() as file:
        assert [row["step"] for row in csv.DictReader(file)] == ["2", "4", "6"]


def test_a_checkpoint_of_other_options_is_not_continued(tmp_path, source):
    fit_denoiser(config(), source, tmp_path, team=ALONE, workers=0, say=quiet)
    with pytest.raises(BundleError, match="other options"):
        fit_denoiser(config(batch=3), source, tmp_path, team=ALONE, workers=0, resume=True, say=quiet)
    (tmp_path / "checkpoint.safetensors").write_bytes(b"garbage")
    with pytest.raises(BundleError, match="not a readable checkpoint"):
        fit_denoiser(config(), source, tmp_path, team=ALONE, workers=0, resume=True, say=quiet)


def test_nan_stops_with_the_last_good_state_saved(tmp_path, source):
    class Poisoned:
        def __getitem__(self, key):
            image, truth = source[key]
            return (image * float("nan") if key[0] >= 8 else image), truth

    with pytest.raises(DivergedError):
        fit_denoiser(config(), Poisoned(), tmp_path, team=ALONE, workers=0, say=quiet)
    from safetensors.torch import load_file

    tensors = load_file(tmp_path / "checkpoint.safetensors")
    assert all(torch.isfinite(t).all() for t in tensors.values())


def test_segmentation_learns_to_overfit_and_validates(tmp_path, source):
    class One:
        def __getitem__(self, key):
            return source[3, View.SAGITTAL]

    log = []
    settings = MasksConfig(views=(View.SAGITTAL,), preset="tiny", steps=40, batch=1, peak_rate=5e-3, warmup=2,
                              log_every=10, validate_every=40, validation_samples=1)  # fmt: skip
    parts = fit_masks(
        settings,
        One(),
        tmp_path,
        task=SegmentTask(KNEE),
        team=ALONE,
        encoders={},
        validation=One(),
        workers=0,
        say=log.append,
    )
    assert set(parts) == {"encoder_sagittal", "segment"}
    with (tmp_path / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert float(rows[-1]["loss"]) < 0.6 * float(rows[0]["loss"])
    assert any(value and key.startswith("dice_") for key, value in rows[-1].items())


def test_a_shared_encoder_is_saved_for_every_view(tmp_path, source):
    settings = MasksConfig(preset="tiny", steps=3, batch=1, shared_encoder=True, log_every=3)
    parts = fit_masks(settings, source, tmp_path, task=SegmentTask(KNEE), team=ALONE, encoders={}, workers=0, say=quiet)
    assert parts["encoder_axial"].read_bytes() == parts["encoder_sagittal"].read_bytes()


def test_a_run_stopped_on_the_way_writes_its_weights_and_goes_on_as_if_it_had_not(tmp_path, source):
    def run(out, **more):
        settings = MasksConfig(views=(View.AXIAL,), preset="tiny", steps=4, batch=1, warmup=1, log_every=1, **more)
        parts = fit_masks(
            settings,
            source,
            out,
            task=SegmentTask(KNEE),
            team=ALONE,
            encoders={},
            workers=0,
            say=quiet,
            resume=out.exists(),
        )
        return parts["segment"].read_bytes()

    whole, half = run(tmp_path / "whole"), run(tmp_path / "parts", stop_at=2)
    assert half != whole
    assert run(tmp_path / "parts", stop_at=2) == half
    assert run(tmp_path / "parts") == whole


def test_studies_on_disk_are_a_source_too(cohort):
    source = open_source([cohort], GridSpec(), (6, 64, 64), 0, joint=KNEE, truth=True)
    image, truth = source[0, View.CORONAL]
    assert image.shape == (1, 6, 64, 64)
    assert sum(int(source[i, View.CORONAL][1].max()) for i in range(6)) > 0
    assert truth.shape == (6, 64, 64)


def test_the_rate_warms_up_and_falls():
    rates = [learning_rate(s, 100, 1.0, 10) for s in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == pytest.approx(1.0)
    assert rates[-1] < 0.03
    assert all(a >= b for a, b in itertools.pairwise(rates[10:]))
