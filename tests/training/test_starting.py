"""What training from masks starts from, taken out of bundles that diagnose."""

import json
from dataclasses import asdict

import pytest
import torch
from safetensors.torch import save_file

from orthodx.bundles.bundle import BundleInfo, DiagnosisInfo, Part, save_bundle
from orthodx.grid.region import RegionSpec
from orthodx.grid.spec import GridSpec
from orthodx.joints import KNEE, View
from orthodx.networks.diagnoser import Diagnoser, DiagnoserConfig
from orthodx.networks.head import HEADS
from orthodx.networks.ortho import OrthoConfig, OrthoEncoder
from orthodx.training.bundling import bundle_run
from orthodx.training.finetune import FinetuneConfig
from orthodx.training.starting import dense_notes, dense_start, starting_weights

CONFIG = OrthoConfig(channels=(8, 8, 8, 8), time_channels=8)
ENCODER = OrthoEncoder(CONFIG)


def bundle(folder, head, fitted, *, own_encoders=False, detail=1):
    """A bundle of three encoders and a segmentation head of ones whose diagnosis was fitted for the views `fitted`."""
    cls = HEADS.get(head)
    head_config = asdict(cls.config_for(ENCODER)) | ({"detail": detail} if head != "mean" else {})
    config = {"head": head, "head_config": head_config, "fusion": "gating", "labels": KNEE.codes}
    segment = HEADS.get("skip_segment")
    weights = {f"encoder_{view}.safetensors": ENCODER.state_dict() for view in View}
    read = {view: Part("ortho", asdict(CONFIG), f"encoder_{view}.safetensors") for view in View}
    other = {view: Part("ortho", asdict(CONFIG), f"diagnose_encoder_{view}.safetensors") for view in fitted}
    if own_encoders:
        weights |= {part.file: ENCODER.state_dict() for part in other.values()}
    whole = Diagnoser(DiagnoserConfig(**{**config, "labels": tuple(config["labels"])})).state_dict()
    for view in fitted:
        for key in whole:
            if key.startswith(f"heads.{view}."):
                whole[key] = torch.full_like(whole[key], 7)
    weights["diagnose.safetensors"] = whole
    one = segment(segment.config_for(ENCODER))
    weights["segment.safetensors"] = {k: torch.ones_like(v) for k, v in one.state_dict().items()}
    info = BundleInfo(
        name="mine", version="1", joint="knee", structures=KNEE.names, grid=GridSpec(), encoders=read,
        heads={"segment": Part("skip_segment", asdict(segment.config_for(ENCODER)), "segment.safetensors"),
               "diagnose": Part(head, config, "diagnose.safetensors")},
        training=[], licence="x", sources=[], sha256={},
        diagnosis=DiagnosisInfo(
            encoders=other if own_encoders else {view: read[view] for view in fitted}, region=RegionSpec(),
            temperatures={}, thresholds={},
        ),
    )  # fmt: skip
    return save_bundle(folder, info, weights).path


def start(folder, task="diagnose", views=tuple(View), detail=1):
    _, heads = starting_weights(folder, views, task)
    return {part: (path.name, set(map(float, torch.cat([v.flatten() for v in tensors.values()]).unique())))
            for part, (path, tensors) in dense_start(folder, heads, task, views, detail).items()}  # fmt: skip


@pytest.mark.parametrize("views", [(View.CORONAL,), (View.SAGITTAL, View.AXIAL)])
def test_parts_are_taken_from_a_view_that_was_fitted(tmp_path, views):
    folder = bundle(tmp_path / "m", "anatomy", views)
    assert start(folder) == {"evidence": ("diagnose.safetensors", {7}), "segment": ("diagnose.safetensors", {7})}


def test_masks_are_taught_as_before(tmp_path):
    folder = bundle(tmp_path / "m", "anatomy", [View.AXIAL])
    assert start(folder, "segment") == {"segment": ("segment.safetensors", {1})}


def test_the_masks_head_stays_where_the_diagnosis_reads_the_same_encoders(tmp_path):
    for head, wanted in (("evidence", {"evidence", "segment"}), ("mean", {"segment"})):
        found = start(bundle(tmp_path / head, head, [View.SAGITTAL]))
        assert found.keys() == wanted
        assert found["segment"] == ("segment.safetensors", {1})


def test_the_masks_head_of_other_encoders_is_left_out(tmp_path):
    found = start(bundle(tmp_path / "m", "evidence", list(View), own_encoders=True))
    assert found == {"evidence": ("diagnose.safetensors", {7})}


def test_maps_of_another_detail_are_left_out(tmp_path):
    folder = bundle(tmp_path / "m", "anatomy", list(View), detail=2)
    assert start(folder, detail=2).keys() == {"evidence", "segment"}
    assert start(folder, detail=1).keys() == {"segment"}


def test_what_begins_from_noise_and_another_pixel_are_told(tmp_path):
    folder = bundle(tmp_path / "m", "evidence", list(View))
    assert dense_notes(None, GridSpec(), ["segment"], {}) == []
    assert dense_notes(folder, GridSpec(), ["segment"], {}) == ["'segment' begins from noise"]
    (note,) = dense_notes(folder, GridSpec(pixel_mm=2), [], {})
    assert "1 mm" in note
    assert "2" in note


def test_the_record_of_a_run_keeps_lists(tmp_path, monkeypatch):
    monkeypatch.setitem(OrthoEncoder.presets, "tiny", CONFIG)
    config = FinetuneConfig(views=(View.AXIAL,), preset="tiny", crop=(4, 32, 32), focus=(0.5, ("MM",)))
    save_file({k: v.contiguous() for k, v in ENCODER.state_dict().items()}, tmp_path / "encoder_axial.safetensors")
    parts = {"encoder_axial": tmp_path / "encoder_axial.safetensors"}
    made = bundle_run(tmp_path / "m", "mine", config, {}, parts, GridSpec())
    (record,) = json.loads((made.path / "model.json").read_text())["training"]
    assert (record["crop"], record["focus"], record["views"]) == ([4, 32, 32], [0.5, ["MM"]], ["axial"])
