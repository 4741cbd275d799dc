"""Diffusion pretraining of one view's encoder: predict the noise, for ever-new images."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from orthodx.joints import View
from orthodx.networks import ENCODERS, ViewEncoder
from orthodx.networks.diffusion import T, cosine_abar, noise_loss
from orthodx.networks.precision import autocast
from orthodx.studies.writing import atomic
from orthodx.training import checkpoint
from orthodx.training.ema import Ema
from orthodx.training.metrics_log import MetricsLog
from orthodx.training.optimise import DivergedError, feed, guarded_step, learning_rate

BINS = 4  # the loss is also logged by quarters of the timestep range


@dataclass(frozen=True, kw_only=True)
class PretrainConfig:
    """One view's pretraining. Steps, batch and rate are what the run is repeated from."""

    view: View
    encoder: str = "ortho"
    preset: str = "small"
    steps: int = 20_000
    batch: int = 8
    peak_rate: float = 4e-4
    warmup: int = 100
    ema: float = 0.999
    seed: int = 0
    save_every: int = 200
    log_every: int = 20


def pretrain(
    config: PretrainConfig, source: Any, out: Path, *, device: torch.device, workers: int = 1,
    init: Path | None = None, resume: bool = False, say: Callable[[str], None] = print,
) -> Path:  # fmt: skip
    """Train and return the path of the averaged weights, `out/encoder_<view>.safetensors`.

    source: a dataset of `source[i, view]` -> (image (1, D, H, W) in [-1, 1], truth); truth is not used.
    init: weights of another run of the same encoder to start from. Raises `DivergedError` on NaN, with
    the last good state saved.
    """
    out.mkdir(parents=True, exist_ok=True)
    state = out / "checkpoint.safetensors"
    resume = checkpoint.keep_or_refuse(state, resume)
    torch.manual_seed(config.seed)
    cls = ENCODERS.get(config.encoder)
    model: ViewEncoder = cls(cls.preset(config.preset)).to(device)
    if init is not None:
        checkpoint.start_from(model, init)
    modules = {"encoder": model}
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.peak_rate, weight_decay=0.01)
    ema, abar = Ema(modules, config.ema), cosine_abar().to(device)
    record = checkpoint.options(config)
    start = checkpoint.load(state, modules, ema, optimizer, record) if resume else 0
    bins = [f"loss_t{i * T // BINS}" for i in range(BINS)]
    log = MetricsLog(out / "metrics.csv", ["step", "loss", "gradient", "rate", "volumes_per_s", *bins], start)
    sums, began = torch.zeros(BINS + 1, 2), time.perf_counter()
    batches = feed(source, start, config.steps, config.batch, [config.view] * config.steps, workers)
    for step, (_, images, _) in enumerate(batches, start):
        torch.manual_seed(config.seed * 1_000_003 + step)  # each step's randomness is its own: exact resume
        t = torch.randint(0, T, (len(images),)).to(device)
        noise = torch.randn(images.shape).to(device)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, config.steps, config.peak_rate, config.warmup)
        with autocast(device):
            losses = noise_loss(model, images.to(device), t, noise, abar)
        try:
            norm = guarded_step(losses.mean(), optimizer)
        except DivergedError:
            checkpoint.save(state, modules, ema, optimizer, step, record)
            raise
        ema.update(step)
        for one, when in zip(losses.detach().cpu(), t.cpu(), strict=True):
            for row in (int(when) * BINS // T, BINS):
                sums[row] += torch.stack([one, torch.tensor(1.0)])
        done = step + 1
        if done % config.log_every == 0 or done == config.steps:
            mean, rate = sums[:, 0] / sums[:, 1].clamp_min(1), optimizer.param_groups[0]["lr"]
            speed = float(sums[BINS, 1]) / (time.perf_counter() - began)
            row = {
                "step": done,
                "loss": float(mean[BINS]),
                "gradient": norm,
                "rate": rate,
                "volumes_per_s": speed,
            }
            row |= {name: float(mean[i]) for i, name in enumerate(bins) if sums[i, 1]}
            log.add(row)
            say(f"step {done}/{config.steps}  loss {row['loss']:.4f}  {speed:.2f} volumes/s")
            sums, began = torch.zeros(BINS + 1, 2), time.perf_counter()
        if done % config.save_every == 0 or done == config.steps:
            checkpoint.save(state, modules, ema, optimizer, done, record)
    weights = out / f"encoder_{config.view}.safetensors"
    with atomic(weights) as temporary:
        save_file({k: v.cpu().contiguous() for k, v in ema.of("encoder").items()}, temporary)
    return weights
