"""The published cosine schedule, and what noising and sampling must satisfy."""

import pytest
import torch

from orthodx.networks.diffusion import T, cosine_abar, ddim, epsilon_of, noise_error, q_sample
from orthodx.networks.encoders.ortho import OrthoConfig, OrthoEncoder

# abar_t of the published schedule (float32 reference run)
GOLDEN = {0: 9.99958716e-01, 1: 9.99912576e-01, 10: 9.99278904e-01, 50: 9.91724685e-01, 100: 9.71575682e-01,
          150: 9.40000015e-01, 200: 8.97762913e-01, 500: 4.92285172e-01, 900: 2.36161088e-02,
          999: 2.42876691e-09}  # fmt: skip


@pytest.mark.parametrize("t", GOLDEN)
def test_the_cosine_schedule_is_the_published_one(t):
    assert float(cosine_abar()[t]) == pytest.approx(GOLDEN[t], rel=1e-4)


def test_noising_keeps_unit_variance():
    torch.manual_seed(0)
    x0, noise = torch.randn(2, 1, 4, 64, 64), torch.randn(2, 1, 4, 64, 64)
    x_t = q_sample(x0, torch.tensor([100, 800]), noise, cosine_abar())
    assert x_t.var().item() == pytest.approx(1.0, abs=0.03)


def test_the_noise_of_a_velocity_is_the_noise_that_was_added():
    torch.manual_seed(0)
    abar, t = cosine_abar(), torch.tensor([3, 999])
    x0, noise = torch.rand(2, 1, 2, 8, 8) * 2 - 1, torch.randn(2, 1, 2, 8, 8)
    a = abar[t].float().view(-1, 1, 1, 1, 1)
    velocity = a.sqrt() * noise - (1 - a).sqrt() * x0
    torch.testing.assert_close(epsilon_of(velocity, q_sample(x0, t, noise, abar), t, abar), noise, atol=1e-5, rtol=0)


def test_an_untrained_ortho_takes_pure_noise_for_noise():
    encoder = OrthoEncoder(OrthoConfig(channels=(8, 8, 8, 8), time_channels=8))
    noise = torch.randn(1, 1, 3, 16, 16)
    torch.testing.assert_close(encoder(noise, torch.tensor([999])), noise, atol=1e-3, rtol=0)


def test_a_perfect_denoiser_has_no_loss_and_ddim_finds_the_image():
    torch.manual_seed(0)
    abar = cosine_abar()
    image = torch.rand(1, 1, 4, 16, 16) * 2 - 1

    def perfect(x_t, t):
        a = abar[t].float().view(-1, 1, 1, 1, 1)
        return (x_t - a.sqrt() * image) / (1 - a).sqrt()

    noise = torch.randn_like(image)
    t = torch.tensor([400])
    assert noise_error(perfect(q_sample(image, t, noise, abar), t), noise).item() == pytest.approx(0, abs=1e-8)
    torch.testing.assert_close(ddim(perfect, torch.randn_like(image), abar, steps=20), image, atol=2e-2, rtol=0)
    assert len(abar) == T
