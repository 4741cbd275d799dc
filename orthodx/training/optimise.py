"""What every loop shares: precision, learning-rate schedule, the guarded optimiser step, data feeding."""

from __future__ import annotations

import math
import signal
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from orthodx.errors import OrthodxError
from orthodx.joints import View
from orthodx.studies.processes import children


class DivergedError(OrthodxError):
    """The loss or a gradient became NaN or infinite; the last good state is saved."""


def learning_rate(step: int, steps: int, peak: float, warmup: int) -> float:
    """Linear warm-up to `peak`, then a cosine to 2 % of it at the last step."""
    if step < warmup:
        return peak * (step + 1) / warmup
    done = (step - warmup) / max(1, steps - warmup)
    return peak * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(done, 1.0))))


def guarded_step(optimizer: torch.optim.Optimizer, loss: float, clip: float = 1.0) -> float:
    """Clip the norm of the gradients that are there and step; returns the norm.

    Raises `DivergedError` before touching any weight where a gradient is not finite.
    """
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    norm = torch.nn.utils.clip_grad_norm_(parameters, clip)
    if not torch.isfinite(norm):
        raise DivergedError(
            f"training diverged: loss {loss:.4g}, gradient {float(norm):.4g}",
            hint="go on with --resume and a lower --learning-rate",
        )
    optimizer.step()
    return float(norm)


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
    rank: int = 0,
    size: int = 1,
) -> Iterator[tuple[View, Tensor, Tensor]]:
    """Batches for steps start..steps-1, of the view order[step]: (view, images (B,1,D,H,W), truth (B,D,H,W)).

    rank, size: this process's number among those that share every step; each gets samples of its own.
    """
    order = order[start:]
    keys = [
        [((step * size + rank) * batch + i, view) for i in range(batch)]
        for step, view in zip(range(start, steps), order, strict=True)
    ]
    loader = DataLoader(
        source,
        batch_sampler=keys,
        num_workers=workers,
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
