"""A run ends where validation gets no better, and its weights are those that validated best."""

import csv

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from orthodx.grid.spec import GridSpec
from orthodx.joints import KNEE, View
from orthodx.networks.encoders.ortho import OrthoConfig, OrthoEncoder
from orthodx.synth.source import SyntheticSource
from orthodx.training.distributed import Team
from orthodx.training.masks.fit import MasksConfig, fit_masks
from orthodx.training.masks.tasks import SegmentTask
from orthodx.training.patience import BEST, Waiting

ALONE = Team(torch.device("cpu"))


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    monkeypatch.setitem(OrthoEncoder.presets, "tiny", OrthoConfig(channels=(8, 8, 8, 8), time_channels=8))


@pytest.fixture
def source(knee):
    return SyntheticSource([(knee.tissues, knee.affine)], GridSpec(), crop=(4, 32, 32), seed=1)


@pytest.fixture
def scores(monkeypatch):
    """What the validations find, one after the other; two numbers, of which one may be unknown."""
    found = []

    def give(*values):
        found[:] = list(values)
        monkeypatch.setattr(
            SegmentTask,
            "validate",
            lambda self, *more: {"dice_sagittal_femur": found.pop(0), "dice_sagittal_tibia": float("nan")},
        )

    return give


def fit(out, source, resume=False, **more):
    settings = {"views": (View.SAGITTAL,), "preset": "tiny", "steps": 12, "batch": 1, "log_every": 4, "save_every": 2}
    settings |= {"validate_every": 2, "validation_samples": 1, "patience": 2}
    config = MasksConfig(**{**settings, **more})
    return fit_masks(config, source, out, task=SegmentTask(KNEE), team=ALONE, encoders={}, validation=source, workers=0,
                     resume=resume, say=lambda line: None)  # fmt: skip


def rows(out):
    with (out / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def same(parts, other):
    return all(torch.equal(w, load_file(other[part])[k]) for part in parts for k, w in load_file(parts[part]).items())


def test_a_run_ends_after_so_many_validations_without_a_better_one(tmp_path, source, scores):
    scores(0.3, 0.5, 0.5, 0.4, 0.9, 0.9)
    parts = fit(tmp_path / "a", source)
    assert [row["step"] for row in rows(tmp_path / "a") if row["validation"]] == ["2", "4", "6", "8"]
    assert [float(row["validation"]) for row in rows(tmp_path / "a") if row["validation"]] == [0.3, 0.5, 0.5, 0.4]
    scores(0.1, 0.2)
    best = fit(tmp_path / "b", source, stop_at=4)  # the step of the best validation
    assert same(parts, best)
    scores(0.1, 0.2, 0.3, 0.4)
    last = fit(tmp_path / "c", source, stop_at=8)
    assert not same(parts, last)


def test_a_run_that_gets_better_goes_on_to_its_end(tmp_path, source, scores):
    scores(*np.linspace(0.1, 0.9, 6))
    fit(tmp_path, source)
    assert rows(tmp_path)[-1]["step"] == "12"


def test_a_killed_run_waits_no_longer_than_a_whole_one(tmp_path, source, scores):
    found = (0.3, 0.5, 0.5, 0.4)
    scores(*found)
    whole = fit(tmp_path / "whole", source)

    class Stops:
        def __getitem__(self, key):
            if key[0] == 7:
                raise KeyboardInterrupt
            return source[key]

    scores(*found)
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path / "cut", Stops())
    scores(*found[3:])
    assert same(whole, fit(tmp_path / "cut", source, resume=True))
    assert [r["validation"] for r in rows(tmp_path / "cut")] == [r["validation"] for r in rows(tmp_path / "whole")]
    scores()
    assert same(whole, fit(tmp_path / "cut", source, resume=True))  # it is over already


def test_what_is_unknown_counts_as_no_validation(tmp_path):
    waiting = Waiting(1, tmp_path)
    assert waiting.judge({"dice": float("nan")}, {}) is None
    assert not waiting.over
    assert waiting.best_weights("segment") == {}
    assert not (tmp_path / BEST).exists()
