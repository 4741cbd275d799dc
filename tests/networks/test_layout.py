"""Maps stay channels-last through a training step, on the CPU and where torch's own normalisation would copy them."""

from collections import Counter

import pytest
import torch
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from orthodx.networks.encoders.ortho import OrthoConfig, OrthoEncoder
from orthodx.networks.layers import GroupNorm, unshuffle
from orthodx.networks.layout import coarse, coarse_labels
from orthodx.training.denoising.objective import Denoise

FORMATS = {4: torch.channels_last, 5: torch.channels_last_3d}


class Copies(TorchDispatchMode):
    """Shapes of the maps that are copied. On meta, convolutions keep a channels-last layout as cuDNN's do."""

    def __init__(self):
        super().__init__()
        self.shapes = Counter()

    def __torch_dispatch__(self, call, types, args=(), kwargs=None):
        out, name = call(*args, **(kwargs or {})), call.overloadpacket.__name__
        if name == "clone" and args[0].ndim > 4:
            self.shapes[tuple(args[0].shape)] += 1
        given = {"convolution": args[:2], "convolution_backward": args[:3]}.get(name, ())
        if given and args[0].device.type == "meta" and any(map(self._last, given)):
            return self._laid(out) if name == "convolution" else (self._laid(out[0]), self._laid(out[1]), out[2])
        return out

    def _last(self, x):
        return x.is_contiguous(memory_format=FORMATS[x.ndim]) and not x.is_contiguous()

    def _laid(self, x):
        return None if x is None else x.contiguous(memory_format=FORMATS[x.ndim])


@pytest.fixture
def _two_threads():
    """With one, torch takes another convolution for kernels of 1 x 1 x 1 in fp32, which knows no channels-last."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("_two_threads")
@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_no_layer_of_a_training_step_copies_its_map(device):
    objective = Denoise(OrthoEncoder(OrthoConfig(channels=(8, 8, 8, 8), time_channels=8))).to(device)
    x = torch.zeros(2, 1, 16, 64, 64, device=device)
    with Copies() as copies:
        loss = objective(x, [(torch.zeros(2, dtype=torch.long, device=device), torch.zeros_like(x))])["loss"].mean()
        loss.backward()
    tokens = 8 * 4 * 4
    assert {shape: n for shape, n in copies.shapes.items() if tokens not in shape} == {
        (2, 16, 32, 32, 2, 2): 1,  # the image to channels
        (2, 8, 8, 8, 8): 1,  # behind the mean of two slices
        (2, 16, 32, 2, 32, 2, 1): 1,  # channels to the image
        (2, 16, 32, 32, 1, 2, 2): 1,  # and its gradient back
    }


def test_an_image_is_unshuffled_into_channels_that_lie_last():
    x = torch.arange(2 * 3 * 4 * 6).float().view(2, 1, 3, 4, 6)
    y = unshuffle(x, 2)
    assert torch.equal(y[1, :, 2, 1, 2], x[1, 0, 2, 2:4, 4:6].flatten())
    assert y.is_contiguous(memory_format=torch.channels_last_3d)


@pytest.mark.parametrize("affine", [True, False])
def test_normalisation_by_moments_is_torchs_own(affine):
    torch.manual_seed(0)
    norm = GroupNorm(4, 16, affine=affine)
    for parameter in norm.parameters():
        torch.nn.init.normal_(parameter)
    x = (3 * torch.randn(2, 16, 3, 5, 7) + 4).contiguous(memory_format=torch.channels_last_3d).requires_grad_()
    y, upstream = norm.by_moments(x), torch.randn(2, 16, 3, 5, 7)
    plain = functional.group_norm(x, 4, norm.weight, norm.bias)
    assert y.stride() == x.stride()
    torch.testing.assert_close(y, plain, rtol=1e-4, atol=1e-5)
    learned = [x, *norm.parameters()]
    for mine, its in zip(
        torch.autograd.grad(y, learned, upstream), torch.autograd.grad(plain, learned, upstream), strict=True
    ):
        torch.testing.assert_close(mine, its, rtol=1e-3, atol=1e-4)


def test_normalisation_by_moments_writes_bf16_from_moments_in_float32():
    torch.manual_seed(0)
    norm, x = GroupNorm(4, 16), (3 * torch.randn(2, 16, 8, 32, 32) + 4).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        y = norm.by_moments(x)
    exact = functional.group_norm(x.float(), 4)
    assert y.dtype is torch.bfloat16
    error = y.float() - exact
    assert error.abs().max() < 2**-5  # a few roundings of a value up to 5
    assert error.mean((2, 3, 4)).abs().max() < 2**-7  # of a channel's scale and shift


def test_on_the_cpu_normalisation_is_torchs_own_to_the_bit():
    x = torch.randn(2, 16, 3, 5, 7)
    assert torch.equal(GroupNorm(4, 16)(x), torch.nn.GroupNorm(4, 16)(x))


@pytest.mark.parametrize("detail", [1, 2, 3])
def test_coarse_labels_lie_where_the_coarse_image_does(detail):
    off = []
    for start in range(6, 12):
        for end in range(24, 30):
            fine = torch.zeros(1, 1, 48, 48)
            fine[:, :, start:end, start:end] = 1
            image, labels = coarse(fine, detail)[0, 0], coarse_labels(fine, detail)[0, 0]
            assert image.shape == labels.shape
            at = [(torch.nonzero(m) * m[m > 0][:, None]).sum(0) / m.sum() for m in (image, labels)]
            off.append(at[0] - at[1])
    assert torch.stack(off).mean(0).abs().max() < 0.02
