"""Features are read once for all heads, in the fastest way, and are still those of the plain network."""

import pytest
import torch

from orthodx.errors import UsageError
from orthodx.joints import View
from orthodx.networks.diffusion import cosine_abar
from orthodx.networks.encoders.published import PublishedConfig, PublishedEncoder
from orthodx.networks.layout import image_channels_last
from orthodx.networks.reading import CLEAN, Noising, Reader, blocks_of

CPU = torch.device("cpu")


class Reads:
    """What a reader asks of a head."""

    def __init__(self, *blocks, detail=1):
        self.blocks, self.detail = blocks, detail


@pytest.fixture(scope="module")
def encoder():
    torch.manual_seed(0)
    module = PublishedEncoder(PublishedConfig(width=32)).eval()
    for parameter in module.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=parameter[0].numel() ** -0.5)
    return module


def test_the_fast_path_gives_the_features_of_the_plain_one(encoder):
    x = torch.randn(1, 1, 16, 32, 32)
    with torch.no_grad():
        plain = encoder.features(x)
    fast = Reader(lambda _: encoder, CPU).blocks(View.AXIAL, x, Reads("in_2", "mid_2"))
    assert set(fast) == {"in_2", "mid_2"}
    for name, block in fast.items():
        cosine = torch.cosine_similarity(block.float().flatten(), plain[name].flatten(), 0)
        assert float(cosine) > 0.999, name
        assert not block.requires_grad


def test_each_encoder_is_loaded_once_when_its_view_first_comes(encoder):
    loaded = []

    def load(view):
        loaded.append(view)
        return encoder

    reader, x, head = Reader(load, CPU), torch.randn(1, 1, 16, 16, 16), Reads("mid_0")
    one, other = (reader.blocks(view, x, head)["mid_0"] for view in (View.SAGITTAL, View.CORONAL))
    assert torch.equal(one, other)
    assert not torch.equal(one, reader.blocks(View.CORONAL, -x, head)["mid_0"])
    assert loaded == [View.SAGITTAL, View.CORONAL]


def test_a_head_that_looks_closer_is_read_with_what_the_encoder_sees(encoder):
    fine, head = torch.randn(1, 1, 16, 64, 64), Reads("mid_0", detail=2)
    found = Reader(lambda _: encoder, CPU).blocks(View.AXIAL, fine, head)["mid_0"]
    with torch.no_grad():
        plain = encoder.features(torch.nn.functional.avg_pool3d(fine, (1, 2, 2)))["mid_0"]
    assert found.shape == plain.shape
    assert torch.cosine_similarity(found.float().flatten(), plain.flatten(), 0) > 0.999


def test_the_first_convolution_already_writes_channels_last(encoder):
    reader = Reader(lambda _: encoder, CPU)
    block = reader.blocks(View.AXIAL, torch.randn(2, 1, 16, 16, 16), Reads("in_0"))["in_0"]
    assert block.is_contiguous(memory_format=torch.channels_last_3d)
    x = torch.randn(2, 1, 3, 4, 5)
    assert torch.equal(image_channels_last(x), x)


def test_noise_is_as_much_as_the_schedule_says_and_alike_for_all():
    image = torch.zeros(3, 1, 8, 32, 32)
    noisy = Noising(timestep=400, seed=1)(image)
    assert float(noisy.std()) == pytest.approx(float((1 - cosine_abar()[400]).sqrt()), rel=0.03)
    assert torch.equal(noisy[0], noisy[1])
    assert torch.equal(noisy, Noising(timestep=400, seed=1)(image))
    assert not torch.equal(noisy, Noising(timestep=400, seed=2)(image))
    fresh = Noising(timestep=400, fresh=True)
    assert not torch.equal(fresh(image)[0], fresh(image)[1])
    assert CLEAN(image) is image


def test_features_are_those_of_the_noisy_image_at_its_timestep(encoder):
    image, how = torch.randn(1, 1, 16, 32, 32).clamp(-1, 1), Noising(timestep=100, seed=3)
    with torch.inference_mode():
        found = blocks_of(encoder, image, ["mid_2"], noising=how)["mid_2"]
        wanted = encoder.features(how(image), 100, ["mid_2"])["mid_2"]
    assert torch.cosine_similarity(found.float().flatten(), wanted.flatten(), 0) > 0.999


def test_each_view_has_its_own_timestep(encoder):
    how = Noising(timestep=200, by_view=(200, 150, 50), seed=3)
    reader, x, head = Reader(lambda _: encoder, CPU, how), torch.randn(1, 1, 16, 16, 16), Reads("mid_0")
    for view, timestep in zip(View, how.by_view, strict=True):
        one = Reader(lambda _: encoder, CPU, Noising(timestep=timestep, seed=3))
        assert how.of(view) == one.noising
        assert torch.equal(reader.blocks(view, x, head)["mid_0"], one.blocks(view, x, head)["mid_0"])


@pytest.mark.parametrize("words", [{"timestep": -1}, {"timestep": 1000}, {"by_view": (1, 2, 1000)}])
def test_a_timestep_that_is_none_is_refused(words):
    with pytest.raises(UsageError, match="no timestep"):
        Noising(**words)
    with pytest.raises(ValueError, match="not one a view"):
        Noising(by_view=(1, 2))
