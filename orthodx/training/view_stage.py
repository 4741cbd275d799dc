"""Stage I: one view's encoder and head, fitted to the studies' answers: end to end, or the head alone (probe)."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from orthodx.joints import View
from orthodx.networks.diagnose_head import DiagnoseHead, masked_bce
from orthodx.networks.encoder import ViewEncoder
from orthodx.networks.layout import coarse
from orthodx.networks.precision import autocast
from orthodx.training import checkpoint
from orthodx.training.ema import Ema
from orthodx.training.linear import Folds
from orthodx.training.metrics_log import MetricsLog
from orthodx.training.optimise import DivergedError, guarded_step, learning_rate
from orthodx.training.study_cases import SeriesRegion


@dataclass(frozen=True, eq=False)
class ViewSamples:
    """Series of one view. truth: (M, L). weight: (M,), the series of a study share one. patient: (M,) index."""

    regions: Sequence[SeriesRegion]
    truth: np.ndarray
    weight: np.ndarray
    patient: np.ndarray


@dataclass(frozen=True, kw_only=True)
class ViewConfig:
    """One end-to-end stage I. encoder_share: the encoder's learning rate relative to the head's `peak_rate`."""

    view: View
    epochs: int
    batch: int
    peak_rate: float
    encoder_share: float
    seed: int
    save_every: int = 50


def fit_end_to_end(
    config: ViewConfig, encoder: ViewEncoder, head: DiagnoseHead, samples: ViewSamples, state: Path, *,
    device: torch.device, positive_weight: Tensor, resume: bool, say: Callable[[str], None],
) -> Path:  # fmt: skip
    """Train both in place; they end with the averaged weights. `state`: checkpoint, from which a run goes on.

    Returns the table of losses beside `state`, a row an epoch and a row a checkpoint, each the mean since the last.
    """
    modules: dict[str, nn.Module] = {"encoder": encoder, "head": head}
    per_epoch = -(-len(samples.regions) // config.batch)
    steps = config.epochs * per_epoch
    rates = {"encoder": config.peak_rate * config.encoder_share, "head": config.peak_rate}
    optimizer = torch.optim.AdamW(
        [{"params": list(m.parameters()), "name": name} for name, m in modules.items()], weight_decay=0.01
    )
    ema = Ema(modules, 0.99)
    record = checkpoint.options(config)
    start = checkpoint.load(state, modules, ema, optimizer, record) if resume and state.exists() else 0
    truth, weight = torch.from_numpy(samples.truth).float(), torch.from_numpy(samples.weight).float()
    log = MetricsLog(state.with_suffix(".csv"), ["step", "loss", "gradient"], start)
    total, count = 0.0, 0
    for step in range(start, steps):
        torch.manual_seed(config.seed * 1_000_003 + step)  # each step's randomness is its own: exact resume
        epoch, place = divmod(step, per_epoch)
        order = np.random.default_rng([config.seed, epoch]).permutation(len(samples.regions))
        chosen = order[place * config.batch : (place + 1) * config.batch]
        images = torch.stack([augmented(samples.regions[i], config.view, [config.seed, step, int(i)]) for i in chosen])
        images = images[:, None].to(device)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, steps, rates[group["name"]], min(20, steps // 10 + 1))
        with autocast(device):
            logits = head(encoder.features(coarse(images, head.detail), blocks=head.blocks), images)
        loss = masked_bce(
            logits, truth[chosen].to(device), positive_weight.to(device), weight[chosen][:, None].to(device)
        )
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        try:
            norm = guarded_step(optimizer, float(loss.detach()))
        except DivergedError:
            checkpoint.save(state, modules, ema, optimizer, step, record)
            raise
        ema.update(step)
        total, count, done = total + float(loss.detach()), count + 1, step + 1
        saves = done % config.save_every == 0 or done == steps
        if saves or place + 1 == per_epoch:
            log.add({"step": done, "loss": total / count, "gradient": norm})
            say(f"{config.view} epoch {epoch + 1}/{config.epochs}  step {done}/{steps}  loss {total / count:.4f}")
            total, count = 0.0, 0
        if saves:
            checkpoint.save(state, modules, ema, optimizer, done, record)
    ema.swap()
    return log.path


def augmented(region: SeriesRegion, view: View, key: Sequence[int]) -> Tensor:
    """A region (D, H, W) as another scanner or patient might give it: mirrored, shifted, brighter, noisier.

    Mirrored left to right in the world, so that a right knee becomes a left one and medial stays medial.
    """
    rng = np.random.default_rng(list(key))
    image = torch.from_numpy(region.load().astype(np.float32))
    if rng.random() < 0.5:
        image = image.flip(0 if view is View.SAGITTAL else 2)
    image = _shifted(image, int(rng.integers(-6, 7)), int(rng.integers(-6, 7)))
    light = ((image + 1) / 2).clamp(0, 1) ** float(np.exp(rng.normal(0, 0.2)))
    noise = torch.from_numpy(rng.normal(0, rng.uniform(0, 0.04), image.shape).astype(np.float32))
    return torch.where(image <= -1, image, (light * 2 - 1) + noise).clamp(-1, 1)


def _shifted(image: Tensor, rows: int, columns: int) -> Tensor:
    """Moved by whole pixels; what comes in from beyond the region is padding, not its other edge."""
    out = image.roll((rows, columns), (1, 2))
    for axis, n in ((1, rows), (2, columns)):
        out.narrow(axis, 0 if n > 0 else out.shape[axis] + n, abs(n)).fill_(-1)
    return out


def attends(head: DiagnoseHead) -> bool:
    """Whether the head's pooling has weights to fit."""
    return any(True for _ in getattr(head, "pool", nn.Identity()).parameters())


def fit_pooling(
    head: DiagnoseHead, summaries: Tensor, samples: ViewSamples, *, seed: int, positive_weight: Tensor,
    epochs: int = 20, batch: int = 16, peak_rate: float = 1e-3,
) -> None:  # fmt: skip
    """Train a head's attention, if its pooling has any, on summaries (M, ...); its classifier comes along."""
    if not attends(head):
        return
    torch.manual_seed(seed)
    parameters = [*cast(nn.Module, head.pool).parameters(), *head.classifier.parameters()]
    optimizer = torch.optim.AdamW(parameters, weight_decay=0.01)
    truth, weight = torch.from_numpy(samples.truth).float(), torch.from_numpy(samples.weight).float()
    steps = epochs * -(-len(summaries) // batch)
    for step in range(steps):
        chosen = torch.randperm(len(summaries))[:batch]
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, steps, peak_rate, steps // 10 + 1)
        logits = head.classifier(head.vector(summaries[chosen]))
        loss = masked_bce(logits, truth[chosen], positive_weight, weight[chosen][:, None])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        guarded_step(optimizer, float(loss.detach()))


def vectors_apart(
    head: DiagnoseHead, summaries: Tensor, samples: ViewSamples, folds: Folds, *, seed: int, positive_weight: Tensor
) -> list[np.ndarray]:
    """Vectors (M, W) as each fold sees them: pooled by an attention that was not fitted to its test patients.

    head: before `fit_pooling`. Without attention the vectors are the same in every fold.
    """
    out = []
    for train, _ in folds if attends(head) else folds[:1]:
        own = copy.deepcopy(head)
        rows = ViewSamples([samples.regions[i] for i in train], samples.truth[train], samples.weight[train],
                           samples.patient[train])  # fmt: skip
        fit_pooling(own, summaries[train], rows, seed=seed, positive_weight=positive_weight)
        with torch.inference_mode():
            out.append(own.vector(summaries).numpy())
    return out if attends(head) else out * len(folds)


def set_classifier(head: DiagnoseHead, coefficients: np.ndarray, intercepts: np.ndarray) -> None:
    """Make a fitted linear layer the head's classifier."""
    layer = next(m for m in head.classifier.modules() if isinstance(m, nn.Linear))
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(coefficients))
        layer.bias.copy_(torch.from_numpy(intercepts))
