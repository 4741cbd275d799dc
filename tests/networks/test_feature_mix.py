"""The mix of several blocks and timesteps: deterministic, learned, and written down in plain JSON."""

import dataclasses
import json

import pytest
import torch

from orthodx.networks.feature_mix import FeatureMix, FeatureMixConfig, noisy_features
from orthodx.networks.ortho import OrthoConfig, OrthoEncoder


@pytest.fixture(scope="module")
def encoder():
    torch.manual_seed(0)
    module = OrthoEncoder(OrthoConfig(channels=(8, 8, 16, 16), time_channels=8)).eval()
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return module


@pytest.fixture
def x():
    return torch.rand(2, 1, 4, 32, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1


def mix_of(encoder, **more):
    torch.manual_seed(2)
    return FeatureMix(FeatureMixConfig.of(encoder, ("mid", "up_1"), **{"width": 8, **more}))


@torch.no_grad()
def test_noisy_timesteps_are_read_the_same_at_every_call_and_for_every_image(encoder, x):
    mix = mix_of(encoder, timesteps=(0, 100))
    maps, again, alone = mix.read(encoder, x), mix.read(encoder, x), mix.read(encoder, x[1:])
    assert set(maps) == {(b, t) for b in ("mid", "up_1") for t in (0, 100)}
    for key, value in maps.items():
        assert torch.equal(value, again[key])
        torch.testing.assert_close(value[1:], alone[key])
    assert not torch.allclose(maps["mid", 0], maps["mid", 100])
    assert mix(maps).shape == (2, 8, 4, 8, 8)


@torch.no_grad()
def test_seed_and_draws_decide_which_noise_is_fed(encoder, x):
    def read(**more):
        return noisy_features(encoder, x, 300, FeatureMixConfig.of(encoder, ("mid",), **more))["mid"]

    one, other, several, none = read(), read(seed=1), read(draws=6), read(draws=0)
    assert not torch.allclose(one, other)
    assert torch.equal(none, read(draws=0, seed=1))
    far = read(draws=6, seed=5)  # the average of several noises depends less on which they are
    assert torch.linalg.vector_norm(several - far) < 0.7 * torch.linalg.vector_norm(one - other)


def test_the_mix_learns_which_map_to_read(encoder, x):
    mix = mix_of(encoder, timesteps=(0, 100))
    maps = {k: torch.randn_like(v) for k, v in mix.read(encoder, x).items()}
    with torch.no_grad():
        target = mix.project[0](maps["mid", 100])
        target = torch.nn.functional.interpolate(target, size=(4, 8, 8), mode="nearest")
    optimizer = torch.optim.Adam([mix.scores, mix.scale], lr=0.2)
    for _ in range(60):
        optimizer.zero_grad()
        ((mix(maps) - target) ** 2).mean().backward()
        optimizer.step()
    weights = mix.weights().detach()
    assert float(weights.sum()) == pytest.approx(1)
    assert float(weights[0, 1]) > 0.9


@torch.no_grad()
def test_no_map_outweighs_another_by_its_scale(encoder, x):
    for value in mix_of(encoder, timesteps=(0, 100)).read(encoder, x).values():
        assert value.mean((2, 3, 4)).abs().max() < 1e-4
        variance = value.var((2, 3, 4), unbiased=False)
        assert variance.max() < 1.001
        assert variance.median() > 0.9


def test_the_configuration_survives_json_and_the_weights_fit_it(encoder, x):
    mix = mix_of(encoder, timesteps=(0, 50), draws=2, seed=3)
    plain = json.loads(json.dumps(dataclasses.asdict(mix.config)))
    again = FeatureMix(FeatureMixConfig(**{k: tuple(v) if isinstance(v, list) else v for k, v in plain.items()}))
    assert again.config == mix.config
    again.load_state_dict(mix.state_dict())
    with torch.no_grad():
        assert torch.equal(again(again.read(encoder, x)), mix(mix.read(encoder, x)))
    with pytest.raises(ValueError, match="needs a timestep"):
        FeatureMixConfig(blocks=(), block_channels=())
