"""Denoising diffusion (Ho et al. 2020) with the cosine schedule (Nichol & Dhariwal 2021)."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

T = 1000
Denoiser = Callable[[Tensor, Tensor], Tensor]


def cosine_abar(steps: int = T, s: float = 0.008) -> Tensor:
    """Cumulative signal power abar_t, (steps,) float64, betas clipped at 0.999."""
    t = torch.linspace(0, steps, steps + 1, dtype=torch.float64) / steps
    f = torch.cos((t + s) / (1 + s) * math.pi / 2) ** 2
    f = f / f[0]
    beta = (1 - f[1:] / f[:-1]).clamp(0, 0.999)
    return torch.cumprod(1 - beta, 0)


def _at(abar: Tensor, t: Tensor, x: Tensor) -> Tensor:
    return abar.float().to(x.device)[t].view(-1, *[1] * (x.ndim - 1))


def q_sample(x0: Tensor, t: Tensor, noise: Tensor, abar: Tensor) -> Tensor:
    """x_t = sqrt(abar_t) x0 + sqrt(1 - abar_t) noise; x0 and noise (B, 1, D, H, W), t (B,)."""
    a = _at(abar, t, x0)
    return a.sqrt() * x0 + (1 - a).sqrt() * noise


def epsilon_of(velocity: Tensor, x_t: Tensor, t: Tensor, abar: Tensor) -> Tensor:
    """The noise in x_t (B, 1, D, H, W) whose velocity is sqrt(abar_t) noise - sqrt(1 - abar_t) x0."""
    a = _at(abar, t, x_t)
    return (1 - a).sqrt() * x_t + a.sqrt() * velocity


def noise_error(epsilon: Tensor, noise: Tensor) -> Tensor:
    """Per-sample mean of |epsilon - epsilon_theta|^2 of two (B, 1, D, H, W), (B,)."""
    return ((epsilon.float() - noise) ** 2).flatten(1).mean(1)


@torch.no_grad()
def ddim(denoise: Denoiser, noise: Tensor, abar: Tensor, steps: int = 50) -> Tensor:
    """Deterministic sampling (Song et al. 2021, eta = 0) from `noise` (B, 1, D, H, W) to an image in [-1, 1]."""
    times = torch.linspace(len(abar) - 1, 0, steps).round().long()
    x = noise
    for now, after in zip(times.tolist(), [*times[1:].tolist(), -1], strict=True):
        t = torch.full((x.shape[0],), now, device=x.device, dtype=torch.long)
        a = _at(abar, t, x)
        a_next = torch.ones_like(a) if after < 0 else _at(abar, torch.full_like(t, after), x)
        epsilon = denoise(x, t).float()
        x0 = ((x - (1 - a).sqrt() * epsilon) / a.sqrt()).clamp(-1, 1)
        epsilon = (x - a.sqrt() * x0) / (1 - a).sqrt().clamp_min(1e-4)
        x = a_next.sqrt() * x0 + (1 - a_next).sqrt() * epsilon
    return x
