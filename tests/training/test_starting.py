"""What training from masks starts from, taken out of bundles that diagnose."""

import json

import pytest
import torch
from safetensors.torch import save_file

from orthodx.bundles.bundle import BundleInfo, DiagnosisInfo, Part, save_bundle
from orthodx.grid.region import RegionSpec
from orthodx.grid.spec import GridSpec
from orthodx.joints import KNEE, Abnormality, Joint, View
from orthodx.networks.diagnosis.diagnoser import Diagnoser
from orthodx.networks.encoders.ortho import OrthoConfig, OrthoEncoder
from orthodx.networks.heads.head import HEADS, Wanted
from orthodx.training.bundling import Card, bundle_masks
from orthodx.training.checkpoint import fill_head
from orthodx.training.masks.fit import MasksConfig
from orthodx.training.masks.tasks import SegmentTask
from orthodx.training.starting import Start, dense_notes, dense_start, start_of

CONFIG = OrthoConfig(channels=(8, 8, 8, 8), time_channels=8)
ENCODER = OrthoEncoder(CONFIG)


def bundle(folder, head, fitted, *, own_encoders=False, detail=1):
    """A bundle of three encoders and a segmentation head of ones whose diagnosis was fitted for the views `fitted`."""
    wanted = Wanted.of(KNEE, detail=1 if head == "mean" else detail)
    diagnoser = Diagnoser.config_for(ENCODER, KNEE.codes, wanted, head=head, fusion="gating")
    weights = {f"encoder_{view}.safetensors": ENCODER.state_dict() for view in View}
    read = {view: Part("ortho", CONFIG, f"encoder_{view}.safetensors") for view in View}
    other = {view: Part("ortho", CONFIG, f"diagnose_encoder_{view}.safetensors") for view in fitted}
    if own_encoders:
        weights |= {part.file: ENCODER.state_dict() for part in other.values()}
    whole = Diagnoser(diagnoser).state_dict()
    for view in fitted:
        for key in whole:
            if key.startswith(f"heads.{view}."):
                whole[key] = torch.full_like(whole[key], 7)
    weights["diagnose.safetensors"] = whole
    config = HEADS.get("skip_segment").config_for(ENCODER, wanted)
    one = HEADS.get("skip_segment")(config)
    weights["segment.safetensors"] = {k: torch.ones_like(v) for k, v in one.state_dict().items()}
    info = BundleInfo(
        name="mine",
        version="1",
        joint=KNEE,
        grid=GridSpec(),
        encoders=read,
        heads={"segment": Part("skip_segment", config, "segment.safetensors")},
        training=[],
        licence="x",
        sources=[],
        sha256={},
        diagnosis=DiagnosisInfo(
            diagnoser=diagnoser,
            file="diagnose.safetensors",
            encoders=other if own_encoders else {view: read[view] for view in fitted},
            region=RegionSpec(),
            temperatures=dict.fromkeys(diagnoser.labels, 1.0),
            thresholds=dict.fromkeys(diagnoser.labels, 0.5),
        ),
    )
    return save_bundle(folder, info, weights).path


def start(folder, task="diagnose", views=tuple(View), detail=1, joint=KNEE):
    found = dense_start(start_of(folder, views, task), task, joint, views, detail)
    return {
        part: (begin.path.name, set(map(float, torch.cat([v.flatten() for v in begin.tensors.values()]).unique())))
        for part, begin in found.items()
    }


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


def test_parts_of_another_joint_are_left_out_and_labels_are_taken_by_name(tmp_path):
    folder = bundle(tmp_path / "m", "anatomy", list(View))
    own = Joint("mine", KNEE.structures[:2], (Abnormality("MM", "", None, 1), Abnormality("NEW", "", None, 2)))
    found = dense_start(start_of(folder, tuple(View), "diagnose"), "diagnose", own, tuple(View))
    assert found.keys() == {"evidence"}
    assert found["evidence"].rows == {0: KNEE.codes.index("MM")}
    head = HEADS.get("evidence")(HEADS.get("evidence").config_for(ENCODER, Wanted.of(own)))
    noise = head.out.bias[1].item()
    fill_head(head, found["evidence"], "here")
    assert (head.out.bias[0].item(), head.out.bias[1].item()) == (7, noise)
    assert set(head.body[0].conv_1.weight.flatten().tolist()) == {7}
    strangers = Joint("other", KNEE.structures[:2], (Abnormality("NEW", "", None, 1),))
    assert start(folder, joint=strangers) == {"evidence": ("diagnose.safetensors", {7})}
    assert (
        dense_start(start_of(folder, tuple(View), "diagnose"), "diagnose", strangers, tuple(View))["evidence"].rows
        == {}
    )


def test_what_begins_from_noise_and_another_pixel_are_told(tmp_path):
    begin = start_of(bundle(tmp_path / "m", "evidence", list(View)), tuple(View), "segment")
    assert dense_notes(Start(), GridSpec(), ["segment"], {}) == []
    assert dense_notes(begin, GridSpec(), ["segment"], {}) == ["'segment' begins from noise"]
    (note,) = dense_notes(begin, GridSpec(pixel_mm=2), [], {})
    assert "1 mm" in note
    assert "2" in note


def test_the_record_of_a_run_keeps_lists(tmp_path, monkeypatch):
    monkeypatch.setitem(OrthoEncoder.presets, "tiny", CONFIG)
    config = MasksConfig(views=(View.AXIAL,), preset="tiny", crop=(4, 32, 32), focus=(0.5, ("MM",)))
    parts = {"encoder_axial": tmp_path / "encoder_axial.safetensors", "segment": tmp_path / "segment.safetensors"}
    head = HEADS.get("skip_segment")
    for path, module in zip(parts.values(), (ENCODER, head(head.config_for(ENCODER, Wanted.of(KNEE)))), strict=True):
        save_file({k: v.contiguous() for k, v in module.state_dict().items()}, path)
    made = bundle_masks(tmp_path / "m", Card(name="mine"), config, SegmentTask(KNEE), parts, GridSpec())
    (record,) = json.loads((made.path / "model.json").read_text())["training"]
    assert (record["crop"], record["focus"], record["views"]) == ([4, 32, 32], [0.5, ["MM"]], ["axial"])
