"""Crops of studies as another patient or scanner might give them."""

import json

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from orthodx.cli.app import app
from orthodx.errors import UsageError
from orthodx.grid.spec import GridSpec
from orthodx.inference.segment import segment
from orthodx.joints import KNEE, View
from orthodx.training.augmentation import Augmentation
from orthodx.training.finetune import finetune
from orthodx.training.sources import open_source

CROP = (6, 40, 48)


@pytest.fixture(scope="module")
def augment():
    return Augmentation(CROP)


def shown(wider, size=(2, 12, 8)):
    """A bright box, structure 4, right of and below the middle, in grey."""
    truth = torch.zeros(wider, dtype=torch.uint8)
    middle = [n // 2 for n in wider]
    truth[tuple(slice(m, m + n) for m, n in zip(middle, size, strict=True))] = 4
    return torch.where(truth > 0, 0.6, -0.4), truth


def test_structures_stay_on_their_image_and_no_value_is_new(augment):
    image, truth = shown(augment.wider)
    for seed in range(30):
        out, found = augment(image, truth, View.CORONAL, seed)
        assert out.shape == found.shape == CROP
        assert found.dtype == torch.uint8
        assert set(found.unique().tolist()) <= {0, 4}
        assert out.min() >= -1
        assert out.max() <= 1
        inside, shape = found == 4, np.array([2, 12, 8])
        assert inside.any((1, 2)).sum() == 2  # slices are neither mixed nor moved
        assert 0.55 * shape.prod() < inside.sum() < 1.7 * shape.prod()
        assert out[inside].mean() > out[(found == 0) & (out > -1)].mean() + 0.3


def test_a_sample_depends_on_its_seed_alone(augment):
    image, truth = shown(augment.wider)
    first = [augment(image, truth, View.AXIAL, seed) for seed in range(4)]
    again = [Augmentation(CROP)(image, truth, View.AXIAL, seed) for seed in (3, 2, 1, 0)][::-1]
    assert all(
        torch.equal(a, b) for one, other in zip(first, again, strict=True) for a, b in zip(one, other, strict=True)
    )
    assert not torch.equal(first[0][0], first[1][0])


@pytest.mark.parametrize(("view", "axis"), [(View.SAGITTAL, 0), (View.CORONAL, 2), (View.AXIAL, 2)])
def test_mirroring_is_left_to_right_in_the_world_half_of_the_time(augment, view, axis):
    image, truth = shown(augment.wider)
    ahead = []
    for seed in range(40):
        at = torch.nonzero(augment(image, truth, view, seed)[1]).float().mean(0)
        ahead.append([at[i] > (CROP[i] - 1) / 2 for i in (0, 2)][axis > 0].item())
    assert 10 <= sum(ahead) <= 30


def test_what_lies_beyond_the_image_stays_there(augment):
    image, truth = shown(augment.wider)
    image[:, :, : augment.wider[2] // 2] = -1
    empty = [augment(image, truth, View.SAGITTAL, seed)[0] == -1 for seed in range(8)]
    assert all(0.3 < one.float().mean() < 0.7 for one in empty)  # no noise is laid on it


def test_crops_of_studies_change_where_asked_and_lie_at_the_same_places(cohort, monkeypatch):
    def opened(augment):
        return open_source(
            [cohort], GridSpec(), (4, 32, 32), 3, joint=KNEE, truth=True, views=[View.SAGITTAL], augment=augment
        )

    plain, changed = opened(False), opened(True)
    for i in range(6):
        (image, _), (other, found) = plain[i, View.SAGITTAL], changed[i, View.SAGITTAL]
        assert other.shape == image.shape == (1, 4, 32, 32)
        assert not torch.equal(other, image)
        assert set(found.unique().tolist()) <= {0, *KNEE.names}
        assert torch.equal(other, changed[i, View.SAGITTAL][0])
    monkeypatch.setattr(
        Augmentation, "__call__", lambda self, image, truth, *_: (image[:, 8:-8, 8:-8], truth[:, 8:-8, 8:-8])
    )
    for i in range(6):  # the middle of what is handed over is the plain crop
        assert all(torch.equal(a, b) for a, b in zip(plain[i, View.SAGITTAL], changed[i, View.SAGITTAL], strict=True))


def test_the_record_tells_and_resume_goes_on_only_in_the_same_way(cohort, tmp_path):
    def fit(*more, out="fit"):
        line = [
            "finetune",
            cohort,
            "--from-scratch",
            "--view",
            "sagittal",
            "--crop",
            4,
            32,
            32,
            "--workers",
            0,
            "--steps",
            2,
        ]
        return CliRunner().invoke(app, [str(word) for word in (*line, "--out", tmp_path / out, *more)])

    assert fit().exit_code == 0
    assert fit("--no-augment", out="plain").exit_code == 0
    for out, augmented in (("fit", True), ("plain", False)):
        (record,) = json.loads((tmp_path / out / "my-model/model.json").read_text())["training"]
        assert record["augment"] is augmented
    weights = [(tmp_path / out / "my-model/segment.safetensors").read_bytes() for out in ("fit", "plain")]
    assert weights[0] != weights[1]
    other = fit("--no-augment", "--resume")
    assert other.exit_code == 2
    assert "augment" in other.output


def test_masks_tell_how_they_were_learned(cohort, tmp_path):
    for way, frozen in (({"from_scratch": True}, False), ({"encoders": "knee-small", "probe": True}, True)):
        out = tmp_path / str(frozen)
        bundle = finetune(cohort, out, views="sagittal", crop=(4, 32, 32), steps=1, workers=0, **way)
        segment(cohort, out / "masks", model=bundle.path, preview=False, workers=0)
        model = json.loads((out / "masks/run.json").read_text())["model"]
        assert (model["from_scratch"], model["frozen"], model["label_fraction"]) == (not frozen, frozen, 1.0)


def test_it_is_refused_where_there_is_nothing_to_change(tmp_path, torn_bank, cohort):
    with pytest.raises(UsageError, match="--no-augment changes crops of studies, and there are none"):
        finetune(torn_bank, tmp_path / "fit", from_scratch=True, augment=False)
    with pytest.raises(UsageError, match="--no-augment is for training from masks"):
        finetune(cohort, tmp_path / "fit", task="diagnose", from_scratch=True, augment=False)
