"""Poolings, fusions, record branch and decoder reproduce the published definitions; and take missing views."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

from orthodx.networks.diagnosis.fusion import FUSIONS, GatedLogits
from orthodx.networks.diagnosis.pooling import POOLINGS, GlobalLocalPooling
from orthodx.networks.diagnosis.tabular import LateFusion
from orthodx.networks.encoders.published import PublishedConfig, PublishedEncoder
from orthodx.networks.heads.head import HEADS, Wanted
from orthodx.networks.heads.published_segment import PublishedSegmentConfig, PublishedSegmentHead

spec = importlib.util.spec_from_file_location("published_rule", Path(__file__).parent / "test_published.py")
rule = importlib.util.module_from_spec(spec)
spec.loader.exec_module(rule)
closed_form, grid, golden_values = rule.closed_form, rule.grid, rule.golden_values

ALL = torch.ones(3, 3, dtype=torch.bool)


def filled(module):
    module.load_state_dict({k: closed_form(k, tuple(v.shape)) for k, v in module.state_dict().items()})
    return module.eval()


def check(found, name):
    wanted = golden_values()[f"head/{name}"]
    assert list(found.shape) == list(wanted.shape)
    np.testing.assert_allclose(found.detach().numpy(), wanted, atol=1e-5 * np.abs(wanted).max())


@pytest.mark.parametrize(("name", "golden"), [("sap", "SelfAttnPooling3D"), ("global_local", "GlobalLocalPooling3D")])
def test_poolings(name, golden):
    found = filled(POOLINGS.get(name)(256))(grid((2, 256, 1, 16, 16), 0.011, 0.2))
    check(found, golden)


@pytest.mark.parametrize(("name", "golden"), [("sap", "SelfAttnPooling3D"), ("global_local", "GlobalLocalPooling3D")])
def test_heads_pool_every_position_of_the_published_bottleneck(name, golden):
    encoder, cls = PublishedEncoder(PublishedConfig()), HEADS.get(name)
    head = cls(cls.config_for(encoder, Wanted(shape=(16, 256, 256)))).eval()
    filled(head.pool)
    feature = grid((2, 256, 1, 16, 16), 0.011, 0.2)
    check(head.vector(head.summary({"mid_2": feature}, torch.zeros(2, 1, 16, 256, 256))), golden)


def test_heads_average_what_is_larger():
    encoder = PublishedEncoder(PublishedConfig())
    config = HEADS.get("sap").config_for(encoder, Wanted(shape=(28, 128, 256), block="in_0"))
    assert (config.tokens, config.block, config.block_channels) == ((7, 16, 16), "in_0", 64)
    assert HEADS.get("sap").config_for(encoder, Wanted()).tokens == (7, 8, 8)


def vectors():
    return torch.stack([grid((3, 512), 0.017 * (i + 1), 0.1 * i) for i in range(3)], 1)


@pytest.mark.parametrize(
    ("name", "golden"),
    [("linear_concat", "LinearFusion_concat"), ("linear_add", "LinearFusion_add"),
     ("cross_attention", "CrossAttn_concat")],
)  # fmt: skip
def test_fusions(name, golden):
    check(filled(FUSIONS.get(name)(512, 8))(vectors(), ALL), golden)


@pytest.mark.parametrize(("stacking", "golden"), [(False, "Gating_plain"), (True, "Gating_stacking")])
def test_gating(stacking, golden):
    gate = filled(GatedLogits(8, stacking=stacking))
    check(gate(grid((3, 3, 8), 0.31, 0.2), ALL), golden)


def test_the_record_branch():
    late = filled(LateFusion(1536))
    rows = [grid((3, 3), a, 0) for a in (0.5, 0.7, 0.9)]
    check(late(grid((3, 1536), 0.01, 0), *rows, torch.tensor([0, 5, 19])), "LateFusion")


def test_the_decoder():
    head = filled(PublishedSegmentHead(PublishedSegmentConfig(classes=11)))
    with torch.no_grad():
        found = head({"mid_2": grid((2, 256, 1, 16, 16), 0.011, 0.2)[:1]}, torch.zeros(1, 1, 16, 256, 256))
    flat, golden = found.flatten(), golden_values()
    assert list(found.shape) == golden["head/SegHead3D/shape"].tolist()
    wanted = golden["head/SegHead3D/samples"]
    at = np.linspace(0, flat.numel() - 1, 256).astype(int)
    np.testing.assert_allclose(flat.numpy()[at], wanted, atol=1e-4 * np.abs(wanted).max())


@pytest.mark.parametrize("name", FUSIONS.names())
def test_a_missing_view_changes_nothing_whatever_stands_in_its_place(name):
    torch.manual_seed(0)
    fusion = FUSIONS.get(name).build(32, 4, stacking=False).eval()
    views, present = torch.randn(2, 3, 4 if fusion.reads_logits else 32), torch.ones(2, 3, dtype=torch.bool)
    present[0, 1] = False
    spoiled = views.clone()
    spoiled[0, 1] = 1e6
    assert torch.equal(fusion(views, present), fusion(spoiled, present))
    assert not torch.allclose(fusion(views, present)[0], fusion(views, ALL[:2])[0])
    assert torch.isfinite(fusion(views, present)).all()


def test_view_weights_sum_to_one_over_the_views_there_are():
    torch.manual_seed(0)
    gate, logits, present = GatedLogits(4).eval(), torch.randn(2, 3, 4), torch.ones(2, 3, dtype=torch.bool)
    present[0, 2] = False
    weights = gate.weights(logits, present)
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 4))
    assert (weights[0, :, 2] == 0).all()
    logits[0, 2] = float("nan")
    assert torch.isfinite(gate(logits, present)).all()


def test_the_attention_of_a_pooling_is_a_map_of_the_image():
    torch.manual_seed(0)
    weights = GlobalLocalPooling(16).weights(torch.randn(2, 16, 2, 3, 4))
    assert weights.shape == (2, 2, 3, 4)
    torch.testing.assert_close(weights.sum((1, 2, 3)), torch.ones(2))
