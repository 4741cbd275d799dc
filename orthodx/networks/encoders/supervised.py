"""Networks that are compared with: trained from scratch by a task's labels alone, no denoisers."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from orthodx.errors import UsageError
from orthodx.networks.encoders.encoder import ViewEncoder


class SupervisedEncoder(ViewEncoder):
    """A feature network of MONAI behind the contract of encoders: it ignores the timestep and predicts no noise."""

    denoises = False

    def epsilon(self, last: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
        """Raises `UsageError`: there is no noise prediction."""
        raise UsageError(f"{type(self).__name__} is no denoiser", hint="pretrain another --encoder")


def plain(layer: nn.Module, *maps: Tensor) -> Tensor:
    """A layer of MONAI in float32: oneDNN's bf16 weight gradient is infinite at a depth of two (torch 2.13)."""
    with torch.autocast(maps[0].device.type, enabled=False):
        out: Tensor = layer(*(x.float() for x in maps))
    return out
