"""Evidence maps from lesion masks: alone on frozen encoders, or with the structures; at twice the detail too."""

import csv
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from orthodx.bundles.bundle import open_bundle
from orthodx.errors import UsageError
from orthodx.grid.spec import GridSpec
from orthodx.joints import KNEE, View
from orthodx.networks.encoders.ortho import OrthoConfig, OrthoEncoder
from orthodx.networks.layout import coarse
from orthodx.training.bundling import Card, bundle_masks
from orthodx.training.distributed import Team
from orthodx.training.masks.fit import MasksConfig, fit_masks
from orthodx.training.masks.tasks import JointTask, LesionTask, dense_task

CPU = torch.device("cpu")
MM, ACL = 3, 1


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    monkeypatch.setitem(OrthoEncoder.presets, "tiny", OrthoConfig(channels=(32, 16, 16, 16), time_channels=16))


class Knees:
    """Grey crops; every other one holds a bright bone with a dark line, two pixels wide, and that is the lesion."""

    def __init__(self, detail, both):
        self.detail, self.both = detail, both

    def __getitem__(self, key):
        i, _ = key
        g = torch.Generator().manual_seed(i)
        n = 32 * self.detail
        image = torch.rand(4, n, n, generator=g) * 0.2 - 0.6
        structures, lesions = torch.zeros(4, n, n, dtype=torch.uint8), torch.zeros(4, n, n, dtype=torch.uint8)
        image[1:3, n // 4 : -n // 4, n // 4 : -n // 4] = 0.6
        structures[1:3, n // 4 : -n // 4, n // 4 : -n // 4] = 1
        if i % 2:
            row = n // 2 + int(torch.randint(-4, 4, (), generator=g))
            image[1:3, row : row + 2, n // 4 : -n // 4] = -0.5
            lesions[1:3, row : row + 2, n // 4 : -n // 4] = MM
        return image[None], torch.stack([structures, lesions]) if self.both else lesions


def run(out, task, detail, steps=60, **more):
    config = MasksConfig(
        views=(View.SAGITTAL,), preset="tiny", steps=steps, batch=4, warmup=2, ema=0.8, seed=1, peak_rate=2e-3,
        detail=detail, validation_samples=6, validate_every=steps, **more,
    )  # fmt: skip
    source = Knees(detail, task.truth == "both")
    parts = fit_masks(
        config,
        source,
        out,
        team=Team(CPU),
        encoders={},
        workers=0,
        task=task,
        validation=source,
        say=lambda line: None,
    )
    with (out / "metrics.csv").open(newline="") as file:
        return config, parts, list(csv.DictReader(file))[-1]


@pytest.mark.parametrize("detail", [1, 2])
def test_evidence_of_a_fine_line_is_learned_on_a_frozen_encoder(tmp_path, detail):
    _, _, last = run(tmp_path, LesionTask(KNEE), detail, encoder_share=0.0)
    assert float(last["auroc_sagittal_MM"]) > 0.95
    assert last["auroc_sagittal_ACL"] == ""  # no crop shows one


@pytest.mark.parametrize("detail", [1, 2])
def test_structures_and_lesions_are_learned_together(tmp_path, detail):
    task = JointTask(KNEE)
    config, parts, last = run(tmp_path / "run", task, detail)
    assert float(last["dice_sagittal_femur"]) > 0.8
    assert float(last["auroc_sagittal_MM"]) > 0.8
    bundle = bundle_masks(tmp_path / "model", Card(name="mine"), config, task, parts, GridSpec())
    evidence, segment = open_bundle(bundle.path).head("evidence"), open_bundle(bundle.path).head("segment")
    assert (evidence.detail, segment.detail) == (detail, 1)
    image = torch.rand(1, 1, 4, 32 * detail, 32 * detail) * 2 - 1
    features = bundle.encoder(View.SAGITTAL).features(coarse(image, detail))
    assert evidence.maps(features, image).shape == (1, 8, 4, 8, 8)


def test_maps_at_twice_the_detail_alone_have_the_finer_path(tmp_path):
    for detail in (1, 2):
        task = LesionTask(KNEE)
        _, parts, _ = run(tmp_path / str(detail), task, detail, steps=1, encoder_share=0.0)
        assert Path(parts["evidence"]).is_file()
        finer = any(k.startswith("read_image.enter") for k in load_file(parts["evidence"]))
        assert finer == (detail == 2)


def test_masks_look_closer_alone_and_beside_evidence_do_not(tmp_path):
    with pytest.raises(UsageError, match="cannot look 2 times closer"):
        run(tmp_path, LesionTask(KNEE), 2, steps=1, head="mean")
    assert dense_task("segment", False, KNEE).closer == {"segment"}
    assert dense_task("diagnose", True, KNEE).closer == dense_task("diagnose", False, KNEE).closer == {"evidence"}
