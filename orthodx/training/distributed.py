"""One process or many: what `torchrun` started, and the few things the processes of a run do together."""

from __future__ import annotations

import contextlib
import gc
import os
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

Value = TypeVar("Value")


@dataclass(frozen=True)
class Team:
    """The processes of one run: this one's number, how many there are, and the device it computes on."""

    device: torch.device
    rank: int = 0
    size: int = 1

    @property
    def chief(self) -> bool:
        """The one process that writes files and talks."""
        return self.rank == 0

    def wrap(self, module: nn.Module) -> nn.Module:
        """The module, with its gradients averaged over all processes in every backward pass."""
        if self.size == 1:
            return module
        for parameter in module.parameters():
            if parameter.requires_grad and 1 in parameter.shape:
                parameter.register_hook(partial(_laid_out_as, parameter))
        return DistributedDataParallel(module, device_ids=None if self.device.type == "cpu" else [self.device])

    def average_gradients(self, module: nn.Module) -> None:
        """Average the gradients that are there over all processes, in one message; the same must be there in each."""
        if self.size == 1:
            return
        gradients = [p.grad for p in module.parameters() if p.grad is not None]
        if not gradients:  # of a view that this step is not of
            return
        flat = torch.cat([g.flatten() for g in gradients]).to(self.device)
        distributed.all_reduce(flat)
        parts = (flat / self.size).split([g.numel() for g in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view_as(gradient))

    def sum(self, value: Tensor) -> Tensor:
        """The sum of every process's `value`, in each of them; on the CPU the device is not waited for."""
        if self.size == 1:
            return value
        total = value.clone()
        distributed.all_reduce(total)
        return total

    def gather(self, value: Value) -> list[Value]:
        """Every process's `value`, in each of them; it must be picklable."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        distributed.all_gather_object(values, value)
        return values

    def any(self, here: bool) -> bool:
        """Whether it is so in any process."""
        return bool(self.sum(torch.tensor(float(here))) > 0)


def _laid_out_as(parameter: Tensor, gradient: Tensor) -> Tensor:
    """The gradient with its parameter's strides along axes of length 1, where any will do but DDP compares them."""
    axes = zip(gradient.shape, parameter.stride(), gradient.stride(), strict=True)
    return gradient.as_strided(gradient.shape, [own if n == 1 else found for n, own, found in axes])


def is_chief() -> bool:
    """Whether this is the one process that writes and talks; true without `torchrun`."""
    return os.environ.get("RANK", "0") == "0"


def processes() -> int:
    """How many `torchrun` started; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def join(device: torch.device) -> Team:
    """Join the processes that `torchrun` started (gloo for what is on the CPU, NCCL on CUDA); alone without it."""
    size = processes()
    if size == 1:
        return Team(device)
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    if not distributed.is_initialized():
        distributed.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo")
    return Team(device, distributed.get_rank(), size)


def leave(team: Team) -> None:
    """Part from the other processes, all at once; nothing to do alone."""
    if team.size > 1:
        distributed.barrier()
        gc.collect()  # what still holds the group would end its threads too late, at the exit: an abort, now and then
        distributed.destroy_process_group()


def unsynchronised(module: nn.Module) -> contextlib.AbstractContextManager[None]:
    """A backward pass in here leaves its gradients for a later one to average (gradient accumulation)."""
    return module.no_sync() if isinstance(module, DistributedDataParallel) else contextlib.nullcontext()
