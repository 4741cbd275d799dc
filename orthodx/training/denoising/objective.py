"""What a pretraining step minimises: the noise loss, alone or together with a loss on the encoder's features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from orthodx.networks import ViewEncoder
from orthodx.networks.diffusion import T, cosine_abar, noise_error, q_sample

TEACHER_TIMES = (50, 150, 250)  # where a teacher's features are read: little noise, as decoders' best features need
AHEAD = T // 5  # the aligned teacher sees up to this many timesteps less noise
Draw = tuple[Tensor, Tensor]  # timesteps (B,) and noise (B, 1, D, H, W)


class Denoise(nn.Module):
    """The noise loss of Ho et al. 2020.

    draws: independent draws a sample needs. weights: of each loss in the sum that is minimised; the keys of
    what `forward` returns. parts: the networks that learn, by their name in checkpoints.
    """

    draws = 1

    def __init__(self, encoder: ViewEncoder) -> None:
        super().__init__()
        self.encoder, self.weights = encoder, {"loss": 1.0}
        self.abar: Tensor
        self.register_buffer("abar", cosine_abar().float(), persistent=False)

    @property
    def parts(self) -> dict[str, nn.Module]:
        return {"encoder": self.encoder}

    def forward(self, x0: Tensor, draws: Sequence[Draw]) -> dict[str, Tensor]:
        """Images (B, 1, D, H, W) and `draws` draws -> each loss a sample (B,), not yet weighted."""
        t, noise = draws[0]
        return {"loss": noise_error(self.encoder(q_sample(x0, t, noise, self.abar), t), noise)}


class Distil(Denoise):
    """Also: features of the clean image at t = 0 that are the teacher's mean over noisy versions of it.

    After CleanDIFT (Stracke et al. 2025), which matches the teacher at one timestep at a time through heads that
    are thrown away; here the target is the mean over `TEACHER_TIMES`, so that no head is needed.
    teacher: the frozen encoder. Its blocks count equally.
    """

    draws = 1 + len(TEACHER_TIMES)

    def __init__(self, encoder: ViewEncoder, teacher: ViewEncoder, weight: float) -> None:
        super().__init__(encoder)
        self.weights["distil"] = weight
        self._teacher = (teacher.requires_grad_(False).eval(),)  # in a tuple: it is no part of what learns

    @torch.no_grad()
    def target(self, x0: Tensor, draws: Sequence[Draw]) -> dict[str, Tensor]:
        """The teacher's blocks, averaged over one noisy version of x0 per timestep."""
        mean: dict[str, Tensor] = {}
        for when, (_, noise) in zip(TEACHER_TIMES, draws, strict=True):
            t = torch.full((len(x0),), when, device=x0.device)
            for name, block in self._teacher[0].features(q_sample(x0, t, noise, self.abar), t).items():
                mean[name] = mean.get(name, 0.0) + block.float() / len(TEACHER_TIMES)
        return mean

    def forward(self, x0: Tensor, draws: Sequence[Draw]) -> dict[str, Tensor]:
        (t, noise), n = draws[0], len(x0)
        wanted = self.target(x0, draws[1:])
        both = torch.cat([q_sample(x0, t, noise, self.abar), x0]), torch.cat([t, torch.zeros_like(t)])
        blocks, epsilon = self.encoder.run(*both)
        errors = [feature_error(blocks[name][n:], target) for name, target in wanted.items()]
        return {"loss": noise_error(epsilon[:n], noise), "distil": torch.stack(errors).mean(0)}


class Align(Denoise):
    """Also: an early block that tells what a late block of the averaged encoder sees in a cleaner image.

    After self-representation alignment (Jiang et al. 2025, SRA). The early block lies a third of the way
    through the encoder, the late one two thirds; both see the same noise. The projection between them learns
    with the encoder and is thrown away in the end. teacher: the averaged encoder, frozen.
    """

    draws = 2

    def __init__(self, encoder: ViewEncoder, teacher: nn.Module, weight: float) -> None:
        super().__init__(encoder)
        self.weights["align"] = weight
        self._teacher: tuple[Any] = (teacher,)
        names = list(encoder.block_channels)
        self.early, self.late = names[len(names) * 3 // 10], names[len(names) * 7 // 10]
        c_in, c_out = encoder.block_channels[self.early], encoder.block_channels[self.late]
        self.projection = nn.Sequential(nn.Conv3d(c_in, c_out, 1), nn.SiLU(), nn.Conv3d(c_out, c_out, 1))

    @property
    def parts(self) -> dict[str, nn.Module]:
        return {"encoder": self.encoder, "projection": self.projection}

    def forward(self, x0: Tensor, draws: Sequence[Draw]) -> dict[str, Tensor]:
        (t, noise), (ahead, _) = draws
        cleaner = (t - ahead * AHEAD // T).clamp_min(0)
        with torch.no_grad():
            x_cleaner = q_sample(x0, cleaner, noise, self.abar)
            wanted = self._teacher[0].features(x_cleaner, cleaner, blocks=[self.late])[self.late].float()
        blocks, epsilon = self.encoder.run(q_sample(x0, t, noise, self.abar), t)
        found = self.projection(blocks[self.early]).float()
        d, h, w = map(min, zip(found.shape[2:], wanted.shape[2:], strict=True))
        error = feature_error(*(functional.adaptive_avg_pool3d(one, (d, h, w)) for one in (found, wanted)))
        return {"loss": noise_error(epsilon, noise), "align": error}


def feature_error(found: Tensor, wanted: Tensor) -> Tensor:
    """Mean squared difference of two maps (B, C, D, H, W), in units of each wanted channel's spread: (B,).

    Spread is the variance over the positions of one image; channels that hardly vary count by a tenth of
    the mean variance of all.
    """
    found, wanted = found.float(), wanted.float()
    variance = wanted.var((2, 3, 4), keepdim=True, unbiased=False)
    variance = variance + 0.1 * variance.mean(1, keepdim=True) + 1e-6
    return ((found - wanted) ** 2 / variance).flatten(1).mean(1)
