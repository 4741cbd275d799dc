"""What every loop shares: precision, learning-rate schedule, the guarded optimiser step, data feeding."""

from __future__ import annotations

import math
import signal
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from orthodx.errors import OrthodxError
from orthodx.joints import View
from orthodx.studies.processes import children
from orthodx.training.distributed import Team


class DivergedError(OrthodxError):
    """The loss or a gradient became NaN or infinite; the last good state is saved."""


def learning_rate(step: int, steps: int, peak: float, warmup: int) -> float:
    """Linear warm-up to `peak`, then a cosine to 2 % of it at the last step."""
    if step < warmup:
        return peak * (step + 1) / warmup
    done = (step - warmup) / max(1, steps - warmup)
    return peak * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(done, 1.0))))


def guarded_step(
    optimizer: torch.optim.Optimizer, values: Mapping[str, Tensor], clip: float = 1.0
) -> tuple[float, dict[str, Tensor]]:
    """Clip the norm of the gradients that are there and step; returns the norm, and the values on the CPU.

    values: of the step, on one device; what is minimised is "total", or else "loss". They and the norm are read in one
    copy, the only time in a step that the processor waits for the device. Raises `DivergedError` before touching any
    weight where a gradient is not finite.
    """
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    norm = torch.nn.utils.clip_grad_norm_(parameters, clip)
    found = [value.detach().flatten() for value in values.values()]
    first, *read = torch.cat([norm.flatten().to(found[0].device), *found]).cpu().split([1, *map(len, found)])
    there, here = float(first), dict(zip(values, read, strict=True))
    if not math.isfinite(there):
        raise DivergedError(
            f"training diverged: loss {float(here.get('total', here['loss']).mean()):.4g}, gradient {there:.4g}",
            hint="go on with --resume and a lower --learning-rate",
        )
    optimizer.step()
    return there, here


def view_order(views: Sequence[View], steps: int, shares: Sequence[float] | None, seed: int) -> list[View]:
    """The view of each of `steps` steps: in turn, or drawn with the given shares (any positive numbers)."""
    if shares is None:
        return [views[step % len(views)] for step in range(steps)]
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.multinomial(torch.tensor(shares, dtype=torch.float64), steps, True, generator=generator)
    return [views[i] for i in drawn.tolist()]


def feed(
    source: Any,
    start: int,
    steps: int,
    batch: int,
    order: Sequence[View],
    workers: int,
    team: Team,
) -> Iterator[tuple[View, Tensor, Tensor]]:
    """Batches for steps start..steps-1, of the view order[step]: (view, images (B,1,D,H,W), truth (B,D,H,W)).

    team: the processes that share every step; each gets samples of its own, for CUDA in pinned memory, from which a
    copy to the device need not be waited for. The workers are the same from the first step to the last.
    """
    order = order[start:]
    keys = [
        [((step * team.size + team.rank) * batch + i, view) for i in range(batch)]
        for step, view in zip(range(start, steps), order, strict=True)
    ]
    loader = DataLoader(
        source,
        batch_sampler=keys,
        num_workers=workers,
        pin_memory=team.device.type == "cuda",
        prefetch_factor=3 if workers else None,
        worker_init_fn=_leave_signals_to_parent,
    )
    with children():
        batches = iter(loader)
    for view, (images, truth) in zip(order, batches, strict=True):
        yield view, images, truth


def _leave_signals_to_parent(worker: int) -> None:
    """Where a whole group of processes is asked to stop, the parent saves its state first, and then ends the others."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
