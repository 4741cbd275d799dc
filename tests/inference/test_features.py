"""Features are read once for all heads, in the fastest way, and are still those of the plain network."""

import pytest
import torch

from orthodx.inference.features import FeatureReader
from orthodx.joints import View
from orthodx.networks.layout import image_channels_last
from orthodx.networks.published import PublishedConfig, PublishedEncoder

CPU = torch.device("cpu")


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
    fast = FeatureReader(lambda _: encoder, ["in_2", "mid_2"], CPU)({View.AXIAL: x})[View.AXIAL]
    assert set(fast) == {"in_2", "mid_2"}
    for name, block in fast.items():
        cosine = torch.cosine_similarity(block.float().flatten(), plain[name].flatten(), 0)
        assert float(cosine) > 0.999, name
        assert not block.requires_grad


def test_several_views_in_one_call_with_each_encoder_loaded_once(encoder):
    loaded = []

    def load(view):
        loaded.append(view)
        return encoder

    reader, x = FeatureReader(load, ["mid_0"], CPU), torch.randn(1, 1, 16, 16, 16)
    both = reader({View.SAGITTAL: x, View.CORONAL: -x})
    assert torch.equal(both[View.CORONAL]["mid_0"], reader({View.CORONAL: -x})[View.CORONAL]["mid_0"])
    assert not torch.equal(both[View.SAGITTAL]["mid_0"], both[View.CORONAL]["mid_0"])
    assert loaded == [View.SAGITTAL, View.CORONAL]


def test_the_first_convolution_already_writes_channels_last(encoder):
    reader = FeatureReader(lambda _: encoder, ["in_0"], CPU)
    block = reader({View.AXIAL: torch.randn(2, 1, 16, 16, 16)})[View.AXIAL]["in_0"]
    assert block.is_contiguous(memory_format=torch.channels_last_3d)
    x = torch.randn(2, 1, 3, 4, 5)
    assert torch.equal(image_channels_last(x), x)
