"""Exponential moving average of weights: what is evaluated and shipped."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn


class Ema:
    """Average of the named parameters of several modules; decay grows to `decay` in the first steps."""

    def __init__(self, modules: dict[str, nn.Module], decay: float = 0.999) -> None:
        self.modules, self.decay = modules, decay
        self.tensors: dict[str, Tensor] = {k: v.detach().clone() for k, v in self._live()}

    def _live(self) -> list[tuple[str, Tensor]]:
        return [(f"{m}.{k}", p) for m, module in self.modules.items() for k, p in module.named_parameters()]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Move the average towards the live weights after optimiser step `step` (from 0)."""
        decay = min(self.decay, (1 + step) / (10 + step))
        live = dict(self._live())
        torch._foreach_lerp_([self.tensors[k] for k in live], [p.detach() for p in live.values()], 1 - decay)

    def swap(self) -> None:
        """Exchange averaged and live weights; call twice to come back."""
        for k, p in self._live():
            p.data, self.tensors[k] = self.tensors[k], p.data

    def twin(self, module: str) -> nn.Module:
        """A frozen copy of one module that always holds the average: its weights share the average's memory."""
        twin = copy.deepcopy(self.modules[module]).requires_grad_(False).eval()
        for k, p in twin.named_parameters():
            p.data = self.tensors[f"{module}.{k}"]
        return twin

    def of(self, module: str) -> dict[str, Tensor]:
        """State dict of one module: averaged parameters, and its buffers as they are."""
        prefix = f"{module}."
        return self.modules[module].state_dict() | {
            k.removeprefix(prefix): v for k, v in self.tensors.items() if k.startswith(prefix)
        }
