"""Diagnosis networks: evidence, what is ignored, what is weighed, what a record changes."""

from dataclasses import replace

import pytest
import torch

from orthodx.errors import UsageError
from orthodx.joints import View
from orthodx.networks import HEADS
from orthodx.networks.diagnosis.diagnoser import Diagnoser
from orthodx.networks.diagnosis.record_coding import RecordCoding
from orthodx.networks.encoders.ortho import OrthoConfig, OrthoEncoder
from orthodx.networks.encoders.published import PublishedEncoder
from orthodx.networks.heads.evidence import NOWHERE, EvidenceHead, strongest
from orthodx.networks.heads.head import Wanted, head_config
from orthodx.networks.heads.pooled import known_a_case, masked_bce
from orthodx.networks.layout import coarse
from orthodx.studies.records import Record

LABELS = ("ACL", "MM", "EFFU")
EIGHT = Wanted(labels=8, harmed=(0,) * 8)
FUSIONS = ("gating", "simple_concat", "linear_concat", "linear_add", "cross_attention")
PRESENT = torch.tensor([[True, True, True], [True, False, True], [False, True, False]])


@pytest.fixture(scope="module")
def encoder():
    torch.manual_seed(0)
    return OrthoEncoder(OrthoConfig(channels=(32, 16, 16, 16), time_channels=16)).eval()


@pytest.fixture(scope="module")
def image():
    return torch.rand(2, 1, 6, 32, 48, generator=torch.Generator().manual_seed(1)) * 2 - 1


def diagnoser(encoder, **options):
    torch.manual_seed(1)
    coding = RecordCoding(means=(40, 170, 70), sds=(10, 10, 10), patient_types=(), events=("fall",))
    settings = {"head": "evidence", "fusion": "gating", "coding": coding, **options}
    model = Diagnoser(Diagnoser.config_for(encoder, LABELS, **settings)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape) * 0.2)
    return model


@pytest.mark.parametrize("name", ["evidence", "mean", "global_local", "sap"])
def test_every_head_gives_logits_a_vector_and_heat(encoder, image, name):
    head = HEADS.get(name)(HEADS.get(name).config_for(encoder, EIGHT)).eval()
    features = encoder.features(image, blocks=head.blocks)
    summary = head.summary(features, image)
    assert head.vector(summary).shape == (2, head.width)
    assert head(features, image).shape == (2, 8)
    heat = head.heat(features, image)
    assert heat.shape[:2] == (2, 8)
    assert heat.min() >= 0
    larger = torch.nn.functional.pad(image, (0, 16, 0, 16, 0, 2))
    assert head.summary(encoder.features(larger, blocks=head.blocks), larger).shape == summary.shape


def test_the_strongest_cells_are_counted_as_said():
    maps = torch.full((1, 1, 4, 6, 6), -20.0)
    maps[0, 0, 0, 0, :4] = torch.tensor([3.0, 2.0, 1.0, 0.0])
    first, eight, _, cells = strongest(maps)[0]
    assert first == 3
    assert eight == pytest.approx((3 + 2 + 1 + 0 - 80) / 8)
    expected = torch.tensor([3.0, 2.0, 1.0, 0.0]).sigmoid().sum()
    assert cells == pytest.approx(float(torch.log1p(expected) / 2), abs=1e-4)


def test_no_evidence_lies_beyond_the_image(encoder, image):
    head = EvidenceHead(EvidenceHead.config_for(encoder, EIGHT)).eval()
    padded = image.clone()
    padded[:, :, 4:] = -1
    padded[..., 40:] = -1
    maps = head.maps(encoder.features(padded, blocks=head.blocks), padded)
    assert maps.shape == (2, 8, 6, 8, 12)
    assert (maps[:, :, 4:] == NOWHERE).all()
    assert (maps[..., 10:] == NOWHERE).all()
    assert (maps[:, :, :4, :, :10] > NOWHERE).all()


def test_a_closer_look_sees_what_the_encoder_cannot(encoder, image):
    torch.manual_seed(2)
    head = EvidenceHead(head_config("evidence", encoder, replace(EIGHT, detail=2))).eval()
    fine = image.repeat_interleave(2, 3).repeat_interleave(2, 4)
    checkered = fine.clone()
    checkered[..., 20:30:2, 20:30:2] += 0.2
    checkered[..., 21:30:2, 20:30:2] -= 0.2
    assert torch.allclose(coarse(checkered, 2), image, atol=1e-6)
    features = encoder.features(image, blocks=head.blocks)
    plain, other = head.maps(features, fine), head.maps(features, checkered)
    assert plain.shape == other.shape == (2, 8, 6, 8, 12)
    assert (plain - other).abs().max() > 1e-4
    fine[:, :, 4:] = -1
    assert (head.maps(features, fine)[:, :, 4:] == NOWHERE).all()
    lesions = torch.zeros(2, 8, 6, 64, 96, dtype=torch.bool)
    lesions[:, 2, 1, 9, 13] = True  # in the cell (1, 1) of 8 x 8 pixels
    right, wrong = torch.full((2, 8, 6, 8, 12), -6.0), torch.full((2, 8, 6, 8, 12), -6.0)
    right[:, 2, 1, 1, 1] = wrong[:, 2, 1, 2, 3] = 6
    assert head.map_loss(right, lesions) < 0.5 < head.map_loss(wrong, lesions)


def test_what_cannot_look_closer_says_so(encoder):
    with pytest.raises(UsageError, match="'mean' cannot look 2 times closer"):
        Diagnoser.config_for(encoder, LABELS, Wanted(labels=3, detail=2), head="mean", fusion="gating")
    with pytest.raises(UsageError, match="'evidence' cannot look 3 times closer"):
        head_config("evidence", encoder, replace(EIGHT, detail=3))


def test_the_map_loss_prefers_the_right_place(encoder):
    head = EvidenceHead(EvidenceHead.config_for(encoder, EIGHT))
    lesions = torch.zeros(1, 8, 4, 32, 32, dtype=torch.bool)
    lesions[0, 2, 1, 9, 13] = True  # one pixel marks its cell
    right, wrong = torch.full((1, 8, 4, 8, 8), -6.0), torch.full((1, 8, 4, 8, 8), -6.0)
    right[0, 2, 1, 2, 3] = 6
    wrong[0, 2, 1, 3, 3] = 6
    assert head.map_loss(right, lesions) < 0.2 < 0.7 < head.map_loss(wrong, lesions)
    assert head.map_loss(right, torch.zeros_like(lesions)).isfinite()


def test_evidence_reads_the_pyramid_of_any_encoder_and_says_where_strides_do_not_fit(encoder):
    published = PublishedEncoder(PublishedEncoder.Config())
    config = EvidenceHead.config_for(published, EIGHT)
    assert config.blocks[-1] == published.deepest == "mid_2"
    assert config.block_strides == ((1, 1, 1), (2, 2, 2), (4, 4, 4), (8, 8, 8), (16, 16, 16))
    assert EvidenceHead.config_for(encoder, EIGHT).blocks == ("up_0", "up_1", "up_2", "mid")
    published.block_strides = {name: (1, 3, 3) for name in published.block_strides}
    with pytest.raises(UsageError, match="blocks at strides"):
        EvidenceHead.config_for(published, EIGHT)


@pytest.mark.parametrize("fusion", FUSIONS)
def test_a_missing_view_says_nothing_and_weighs_nothing(encoder, fusion):
    model = diagnoser(encoder, fusion=fusion)
    vectors = torch.randn(3, 3, model.head(View.AXIAL).width, generator=torch.Generator().manual_seed(2))
    other = torch.where(PRESENT[..., None], vectors, vectors + 100)
    with torch.inference_mode():
        assert torch.equal(model.image_logits(vectors, PRESENT), model.image_logits(other, PRESENT))
        weights = model.weights(vectors, PRESENT)
    assert torch.allclose(weights.sum(2), torch.ones(3, 3))
    assert (weights.transpose(1, 2)[~PRESENT] == 0).all()
    assert torch.allclose(weights[2, :, 1], torch.ones(3))


def test_only_a_known_record_changes_the_answer(encoder):
    model = diagnoser(encoder)
    image = torch.tensor([[1.0, 2.0, 3.0]])
    alpha = model.record.alpha
    with torch.inference_mode():
        for nothing in (None, [None], [Record()], [Record(event="meteorite")]):
            assert torch.equal(model.mix(image, nothing), image)
        record = [Record(age=60, event="fall")]
        expected = alpha * image + (1 - alpha) * model.record_logits(record)
        assert torch.allclose(model.mix(image, record), expected)
        assert not torch.allclose(expected, image)
    with pytest.raises(ValueError, match="no health record"):
        diagnoser(encoder, coding=None).record_logits([None])


def test_summaries_are_standardised_as_fitted(encoder):
    head = HEADS.get("mean")(HEADS.get("mean").config_for(encoder, EIGHT))
    summaries = torch.randn(20, 16, 2, 2, 2) * 5 + 3
    head.fit_scale(summaries)
    scaled = head.standardised(summaries).transpose(0, 1).flatten(1)
    assert torch.allclose(scaled.mean(1), torch.zeros(16), atol=1e-5)
    assert torch.allclose(scaled.std(1, correction=0), torch.ones(16), atol=1e-4)


def test_a_case_counts_alike_whatever_else_is_in_its_batch():
    truth, weight = torch.tensor([[1.0], [0.0], [float("nan")], [1.0]]), torch.tensor([1.0, 1.0, 1.0, 0.25])
    known = known_a_case(truth, weight)
    assert known == pytest.approx(2.25 / 4)

    def pull(*chosen):
        """How much an epoch of these batches pulls at each case."""
        logits = torch.zeros(4, 1, requires_grad=True)
        for rows in map(list, chosen):
            masked_bce(logits[rows], truth[rows], weight=weight[rows, None], known_a_case=known).backward()
        return logits.grad.abs().flatten() * len(chosen[0])

    torch.testing.assert_close(pull([0], [1], [2], [3]), pull([0, 3], [1, 2]))
    assert pull([0], [1], [2], [3]).tolist() == pytest.approx([0.5 / known, 0.5 / known, 0, 0.125 / known])


def test_weights_of_cases_count_as_repeats():
    logits, truth = torch.tensor([[1.0], [-2.0]]), torch.tensor([[1.0], [1.0]])
    twice = masked_bce(logits[[0, 0, 1]], truth[[0, 0, 1]])
    assert masked_bce(logits, truth, weight=torch.tensor([[2.0], [1.0]])) == pytest.approx(float(twice))
