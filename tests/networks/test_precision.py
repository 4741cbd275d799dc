import pytest
import torch

from orthodx.networks import precision
from orthodx.networks.encoders.published import PublishedConfig, PublishedEncoder
from orthodx.networks.layers import VolumeConv
from orthodx.networks.precision import autocast, native_bf16

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("amx", "avx512", "maker", "faster"),
    [
        (False, False, "AuthenticAMD", False),
        (True, False, "GenuineIntel", True),
        (False, True, "AuthenticAMD", True),
        (False, True, "GenuineIntel", False),
        (True, True, "GenuineIntel", True),
    ],
)
def test_bf16_is_used_only_where_it_is_faster(monkeypatch, amx, avx512, maker, faster):
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512)
    cpus = f"processor\t: 0\nvendor_id\t: {maker}\n\nprocessor\t: 1\n"
    monkeypatch.setattr(precision, "_by_intel", precision._by_intel.__wrapped__)
    monkeypatch.setattr(precision.Path, "read_text", lambda path, **how: cpus)
    assert native_bf16(CPU) is faster
    with autocast(CPU):
        assert torch.is_autocast_enabled("cpu") is faster


def test_where_nothing_tells_the_maker_none_is_assumed(monkeypatch, tmp_path):
    monkeypatch.setattr(precision, "Path", lambda name: tmp_path / "nowhere")
    assert precision._by_intel.__wrapped__() is False


def test_other_devices_stay_in_full_precision():
    assert not native_bf16(torch.device("mps"))


@pytest.mark.parametrize("depth", [1, 2, 3, 8])
def test_weight_gradients_in_bf16_are_those_of_fp32(depth):
    torch.manual_seed(0)
    conv, x, upstream = VolumeConv(16, 16), torch.randn(2, 16, depth, 4, 4), torch.randn(2, 16, depth, 4, 4)
    conv(x).backward(upstream)
    exact, conv.weight.grad = conv.weight.grad, None
    with autocast(CPU):
        y = conv(x)
    y.backward(upstream.to(y.dtype))
    assert torch.linalg.vector_norm(conv.weight.grad - exact) < 0.02 * torch.linalg.vector_norm(exact)


def test_a_depth_of_two_is_convolved_as_any_other():
    torch.manual_seed(0)
    conv, x = VolumeConv(4, 4), torch.randn(1, 4, 2, 5, 5)
    plain = torch.nn.functional.conv3d(x, conv.weight, conv.bias, padding=1)
    torch.testing.assert_close(conv(x), plain)


def test_the_published_encoder_learns_the_same_in_bf16():
    torch.manual_seed(0)
    encoder = PublishedEncoder(PublishedConfig(width=16, groups=4))
    for parameter in encoder.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    x, gradients = torch.randn(1, 1, 16, 32, 32), []  # two slices deep in its innermost but one level
    for way in (torch.autocast("cpu", enabled=False), autocast(CPU)):
        with way:
            loss = encoder(x, torch.tensor([300])).float().square().mean()
        loss.backward()
        gradients.append(torch.cat([p.grad.flatten() for p in encoder.parameters()]))
        encoder.zero_grad()
    exact, rounded = gradients
    assert torch.linalg.vector_norm(rounded - exact) < 0.1 * torch.linalg.vector_norm(exact)
