"""What every registered encoder and head promises."""

import math
from pathlib import Path

import pytest
import torch
from monai.networks.nets import DynUNet, resnet18

from orthodx.errors import OrthodxError, UsageError
from orthodx.networks import ENCODERS, HEADS, Wanted
from orthodx.networks.encoders.dynunet import DynUNetConfig
from orthodx.networks.encoders.ortho import OrthoConfig, OrthoEncoder
from orthodx.networks.encoders.resnet18 import ResNet18Config
from orthodx.networks.heads.head import head_config
from orthodx.networks.heads.linear_segment import LinearSegmentConfig
from orthodx.networks.heads.skip_segment import SkipSegmentConfig, SkipSegmentHead
from orthodx.networks.layers import shuffle, unshuffle
from orthodx.networks.layout import coarse
from orthodx.networks.registry import Registry
from orthodx.training.checkpoint import HeadStart, fill_head

DENOISERS = [name for name in ENCODERS.names() if ENCODERS.get(name).denoises]
SUPERVISED = [name for name in ENCODERS.names() if name not in DENOISERS]


def encoder_of(name):
    torch.manual_seed(0)
    cls = ENCODERS.get(name)
    return cls(next(iter(cls.presets.values()))).eval()


@pytest.mark.parametrize("name", ENCODERS.names())
def test_encoders_keep_their_published_geometry(name):
    encoder, x = encoder_of(name), torch.randn(2, 1, 6, 32, 48)
    for block, tensor in encoder.features(x).items():
        d, h, w = encoder.block_strides[block]
        assert tensor.shape == (2, encoder.block_channels[block], -(-6 // d), 32 // h, 48 // w), block
    if name in DENOISERS:
        assert encoder(x, torch.tensor([3, 900])).shape == x.shape


@pytest.mark.parametrize("name", ENCODERS.names())
def test_encoders_are_deterministic_and_save_and_load(name):
    encoder, x = encoder_of(name), torch.randn(1, 1, 4, 32, 32)
    other = encoder_of(name)
    other.load_state_dict(encoder.state_dict())
    with torch.no_grad():
        first, again, loaded = encoder.features(x), encoder.features(x), other.features(x)
    for block in first:
        assert torch.equal(first[block], again[block])
        assert torch.equal(first[block], loaded[block])


@pytest.mark.parametrize("name", ENCODERS.names())
def test_nothing_behind_the_last_block_asked_for_is_computed(name, monkeypatch):
    encoder, x = encoder_of(name), torch.randn(1, 1, 4, 32, 32)
    first, last = list(encoder.block_channels)[1], list(encoder.block_channels)[-1]
    computed, walk = [], encoder.walk

    def watched(*arguments):
        for block in walk(*arguments):
            computed.append(block[0])
            yield block

    monkeypatch.setattr(encoder, "walk", watched)
    with torch.no_grad():
        found = encoder.features(x, blocks=[first])
        assert computed == list(encoder.block_channels)[:2]
        assert torch.equal(found.pop(first), encoder.features(x)[first])
    assert not found
    assert computed[-1] == last
    with pytest.raises(UsageError, match="no block 'nowhere'"):
        encoder.features(x, blocks=["nowhere"])


@pytest.mark.parametrize("name", DENOISERS)
def test_every_weight_learns_from_the_noise_loss(name):
    encoder = encoder_of(name).train()
    for parameter in encoder.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    ((encoder(torch.randn(1, 1, 4, 32, 32), torch.tensor([50]))) ** 2).mean().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in encoder.parameters())


@pytest.mark.parametrize("name", SUPERVISED)
def test_baselines_learn_with_every_weight_and_are_no_denoisers(name):
    encoder, x = encoder_of(name).train(), torch.randn(1, 1, 5, 32, 32)
    sum(block.pow(2).mean() for block in encoder.features(x).values()).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in encoder.parameters())
    with pytest.raises(UsageError, match="is no denoiser"):
        encoder(x, torch.tensor([3]))


def test_baselines_are_those_of_monai():
    """ResNet-18 but for its norms and the strides of its ends; DynUNet to the bit, and odd slices lose nothing."""
    encoder, dyn = encoder_of("resnet18"), encoder_of("dynunet")
    theirs = resnet18(n_input_channels=1, feed_forward=False)
    assert [p.shape for p in encoder.parameters()] == [p.shape for p in theirs.parameters()]
    assert not [m for m in encoder.modules() if isinstance(m, torch.nn.BatchNorm3d)]
    flat = (1, 2, 2)
    whole = DynUNet(
        3, 1, 4, [(1, 3, 3), (1, 3, 3), 3, 3, 3], [1, flat, flat, flat, 2], [flat, flat, flat, 2],
        filters=[16, 32, 64, 128, 256],
    ).eval()  # fmt: skip
    for ours, theirs in (
        (dyn.enter, whole.input_block), (dyn.down, whole.downsamples), (dyn.mid, whole.bottleneck),
        (dyn.up, whole.upsamples),
    ):  # fmt: skip
        theirs.load_state_dict(ours.state_dict())
    head = HEADS.get("linear_segment")(head_config("linear_segment", dyn, Wanted(classes=4)))
    head.out.load_state_dict(whole.output_block.conv.conv.state_dict())
    x = torch.randn(1, 1, 6, 32, 48)
    with torch.no_grad():
        torch.testing.assert_close(head(dyn.features(x), x), whole(x))
        assert dyn.features(x[:, :, :5])["up_0"].shape[2] == 5


@pytest.mark.parametrize(
    ("cls", "config"),
    [
        (ResNet18Config, {"channels": (64, 128)}),
        (ResNet18Config, {"channels": (60, 128, 256, 512)}),
        (ResNet18Config, {"groups": 0}),
        (DynUNetConfig, {"channels": (16, 32, 64, 128)}),
        (DynUNetConfig, {"channels": (0, 32, 64, 128, 256)}),
        (LinearSegmentConfig, {"classes": 1}),
        (LinearSegmentConfig, {"stride": (0, 1, 1)}),
    ],
)
def test_impossible_baselines_are_refused(cls, config):
    with pytest.raises(ValueError, match=r"needs|multiples|impossible"):
        cls(**config)


def test_one_odd_slice_is_enough_for_ortho():
    assert encoder_of("ortho").features(torch.randn(1, 1, 1, 16, 16))["up_0"].shape[2] == 1
    assert encoder_of("ortho").features(torch.randn(1, 1, 5, 16, 16))["up_0"].shape[2] == 5


def test_the_time_step_matters_and_the_size_is_checked():
    encoder = OrthoEncoder(OrthoConfig())
    for parameter in encoder.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    x = torch.randn(1, 1, 4, 16, 16)
    assert not torch.allclose(encoder.features(x, 0)["mid"], encoder.features(x, 500)["mid"])
    with pytest.raises(ValueError, match="multiples of 16"):
        encoder.features(torch.randn(1, 1, 4, 30, 32))
    with pytest.raises(ValueError, match="multiples"):
        OrthoConfig(channels=(30, 64, 112, 160))


@pytest.mark.parametrize("name", ENCODERS.names())
def test_encoders_tell_their_ends_by_geometry(name):
    encoder = encoder_of(name)
    size = {block: math.prod(stride) for block, stride in encoder.block_strides.items()}
    pyramid = encoder.pyramid
    assert pyramid[0] == encoder.finest
    assert pyramid[-1] == encoder.deepest
    assert size[encoder.deepest] == max(size.values())
    assert [size[block] for block in pyramid] == sorted({size[block] for block in pyramid})


@pytest.mark.parametrize("classes", [3, 12])
@pytest.mark.parametrize("encoder_name", ENCODERS.names())
@pytest.mark.parametrize("name", HEADS.names())
def test_every_head_works_with_every_encoder_and_any_number_of_answers(name, encoder_name, classes):
    encoder, image = encoder_of(encoder_name), torch.randn(1, 1, 4, 32, 32)
    labels = classes - 1
    wanted = Wanted(classes=classes, labels=labels, harmed=(1,) + (0,) * (labels - 1))
    head = HEADS.get(name)(head_config(name, encoder, wanted))
    with torch.no_grad():
        features = encoder.features(image, blocks=head.blocks)
    logits = head(features, image)
    if head.task == "segment":
        assert logits.shape == (1, classes, 4, 32, 32)
        truth = torch.ones(1, 4, 32, 32, dtype=torch.long)
    else:
        assert logits.shape == (1, labels)
        truth = (torch.arange(labels) % 2).float()[None]
        truth[0, -1] = float("nan") if labels > 2 else 1
    head.loss(logits, truth).backward()
    learns = [p for p in head.parameters() if p.requires_grad]  # a part may be fixed
    assert learns
    assert all(p.grad is not None for p in learns)


@pytest.mark.parametrize("name", [name for name in HEADS.names() if 2 in HEADS.get(name).details])
@pytest.mark.parametrize("encoder_name", ENCODERS.names())
def test_heads_that_look_closer_do_so_with_every_encoder(name, encoder_name):
    encoder, image = encoder_of(encoder_name), torch.randn(1, 1, 4, 64, 64)
    head = HEADS.get(name)(head_config(name, encoder, Wanted(labels=2, harmed=(1, 0), detail=2)))
    with torch.no_grad():
        features = encoder.features(coarse(image, 2), blocks=head.blocks)
    if head.task == "segment":
        assert head(features, image).shape == (1, 2, 4, 64, 64)
    else:
        assert head.maps(features, image).shape == (1, 2, 4, 8, 8)


@pytest.mark.parametrize("detail", [1, 2])
def test_the_fine_path_begins_as_the_head_it_has_grown_from(detail):
    encoder, image = encoder_of("ortho"), torch.randn(1, 1, 4, 32 * detail, 32 * detail)
    wanted = Wanted(classes=4, detail=detail)
    plain = HEADS.get("skip_segment")(head_config("skip_segment", encoder, Wanted(classes=4)))
    fine = HEADS.get("fine_segment")(head_config("fine_segment", encoder, wanted))
    fill_head(fine, HeadStart(plain.state_dict(), Path("plain")), "here")
    with torch.no_grad():
        features = encoder.features(coarse(image, detail), blocks=plain.blocks)
        seen = plain(features, coarse(image, detail))
        torch.testing.assert_close(coarse(fine(features, image), detail), seen)
        torch.nn.init.normal_(fine.fine_out.weight)
        torch.nn.init.normal_(fine.fine_out.bias)
        other = fine(features, image)
    assert not torch.allclose(coarse(other, detail), seen, atol=0.1)
    if detail == 2:  # pixels finer than the encoder's make a difference of their own
        flat = coarse(image, 2).repeat_interleave(2, 3).repeat_interleave(2, 4)
        assert not torch.allclose(fine(features, flat), other, atol=0.1)


def test_the_loss_falls_to_nothing_for_a_right_answer():
    head = SkipSegmentHead(SkipSegmentConfig())
    truth = torch.randint(0, 12, (2, 4, 16, 16))
    right = torch.nn.functional.one_hot(truth, 12).permute(0, 4, 1, 2, 3).float() * 40
    assert head.loss(right, truth).item() == pytest.approx(0, abs=1e-3)
    assert head.loss(right.roll(1, 1), truth).item() > 1
    background = torch.zeros(1, 4, 16, 16, dtype=torch.long)
    assert torch.isfinite(head.loss(right[:1], background))


def test_pixel_shuffle_puts_pixels_where_torch_does():
    x = torch.randn(2, 8, 3, 5, 6)
    wanted = torch.stack([torch.nn.functional.pixel_shuffle(x[:, :, d], 2) for d in range(3)], 2)
    ours = shuffle(x.view(2, 2, 4, 3, 5, 6).reshape(2, 8, 3, 5, 6), 2)
    torch.testing.assert_close(unshuffle(shuffle(x[:, :4], 2), 2), x[:, :4])
    torch.testing.assert_close(ours, wanted)


def test_the_registry_refuses_twins_and_suggests_names():
    registry = Registry("thing", "orthodx.none")
    registry.register("resnet")(int)
    with pytest.raises(OrthodxError, match="registered twice"):
        registry.register("resnet")(float)
    with pytest.raises(OrthodxError) as caught:
        registry.get("resnot")
    assert caught.value.hint == "did you mean 'resnet'?"
