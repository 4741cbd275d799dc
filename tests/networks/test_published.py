"""The published encoder reproduces the published definitions, by the golden values beside this file."""

import json
import math
import zlib
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch

from orthodx.networks import reading
from orthodx.networks.diffusion import cosine_abar, q_sample
from orthodx.networks.encoders.published import PublishedConfig, PublishedEncoder

GOLDEN = Path(__file__).parent / "golden"


def golden_values():
    """Name -> array."""
    with np.load(GOLDEN / "published.npz", allow_pickle=False) as file:
        return dict(file)


def closed_form(name, shape):
    """The weight rule of the golden values."""
    phase = (zlib.crc32(name.encode()) % 10007) / 10007 * 2 * math.pi
    scale = 1.4 / math.sqrt(math.prod(shape[1:])) if len(shape) >= 2 else 0.1
    v = np.sin(phase + 0.7391 * np.arange(math.prod(shape), dtype=np.float64)) * scale
    if len(shape) == 1 and name.endswith("weight"):
        v = 1 + v
    return torch.from_numpy(v.reshape(shape).astype(np.float32))


def grid(shape, a, b):
    return torch.from_numpy(np.sin(a * np.arange(math.prod(shape)) + b).astype(np.float32).reshape(shape))


@pytest.fixture(scope="module")
def encoder():
    model = PublishedEncoder(PublishedConfig()).eval()
    model.load_state_dict({k: closed_form(k, tuple(v.shape)) for k, v in model.state_dict().items()})
    return model


def test_names_and_shapes_are_those_of_the_released_files(encoder):
    wanted = json.loads((GOLDEN / "published_shapes.json").read_text())
    assert {k: list(v.shape) for k, v in encoder.state_dict().items()} == wanted
    assert sum(p.numel() for p in encoder.parameters()) == pytest.approx(34.52e6, rel=1e-3)


def test_the_cosine_schedule():
    golden = golden_values()
    abar = cosine_abar()[golden["alphas_cumprod_t"].astype(int)]
    np.testing.assert_allclose(abar.numpy(), golden["alphas_cumprod"], rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("t", [50, 100, 200])
def test_every_block_and_the_output(encoder, t):
    shape = (1, 1, 16, 64, 64)
    x_t = q_sample(grid(shape, 0.013, 0.3), torch.tensor([t]), grid(shape, 1.7, 0.9), cosine_abar())
    with torch.no_grad():
        blocks, final = encoder.run(x_t, torch.tensor([t]))
        blocks["final"] = final
    golden = golden_values()
    assert list(blocks) == golden["blocks"].tolist()
    wanted = (golden[f"t{t}/{what}"] for what in ("shape", "samples", "stats"))
    for (name, block), wanted_shape, samples, stats in zip(blocks.items(), *wanted, strict=True):
        assert list(block.shape) == wanted_shape.tolist(), name
        flat = block.flatten().double().numpy()
        at = np.linspace(0, flat.size - 1, 64).astype(int)
        scale = np.abs(samples).max()
        np.testing.assert_allclose(flat[at], samples, atol=1e-4 * scale, err_msg=name)
        found = [flat.mean(), flat.std(ddof=1), flat.min(), flat.max()]
        np.testing.assert_allclose(found, stats, atol=1e-4 * scale, err_msg=name)
    if t == 100:
        for name in ("mid_0", "mid_1", "mid_2"):
            np.testing.assert_allclose(blocks[name].numpy(), golden[f"t100/{name}/full"], rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(blocks["final"][0, 0, 8].numpy(), golden["t100/final/crop"], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("t", [50, 200])
def test_a_noisy_image_is_read_as_published(encoder, t, monkeypatch):
    shape, golden = (1, 1, 16, 64, 64), golden_values()
    monkeypatch.setattr(reading, "autocast", lambda device: nullcontext())  # in float32, as the golden values are
    monkeypatch.setattr(torch, "randn", lambda size, **more: grid(size, 1.7, 0.9))  # their noise
    names = [name for name in golden["blocks"].tolist() if name.startswith("mid_")]
    with torch.no_grad():
        found = reading.blocks_of(encoder, grid(shape, 0.013, 0.3), names, noising=reading.Noising(timestep=t))
    for name in names:
        flat, samples = found[name].flatten(), golden[f"t{t}/samples"][golden["blocks"].tolist().index(name)]
        at = np.linspace(0, flat.numel() - 1, 64).astype(int)
        np.testing.assert_allclose(flat.numpy()[at], samples, atol=1e-4 * np.abs(samples).max(), err_msg=name)


def test_fewer_slices_than_sixteen_are_padded_and_cut_again(encoder):
    with torch.no_grad():
        blocks = encoder.features(torch.zeros(1, 1, 5, 32, 32))
    assert blocks["in_0"].shape[2] == 5
    assert blocks["in_3"].shape[2] == 3
    assert blocks["mid_2"].shape == (1, 256, 1, 2, 2)
