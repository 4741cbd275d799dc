"""Fine-tuning for segmentation: the view encoders and one shared head, the views in turn."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from orthodx.joints import KNEE, View
from orthodx.networks import ENCODERS, HEADS
from orthodx.networks.precision import autocast
from orthodx.studies.writing import atomic
from orthodx.training import checkpoint
from orthodx.training.ema import Ema
from orthodx.training.metrics_log import MetricsLog
from orthodx.training.optimise import DivergedError, feed, guarded_step, learning_rate, view_order

VALIDATION_OFFSET = 1_000_000_000  # sample numbers that training never reaches


@dataclass(frozen=True, kw_only=True)
class FinetuneConfig:
    """One segmentation fine-tuning.

    encoder_share: scales the encoders' learning rate. view_shares: how often each of `views` is drawn;
    without them the views take turns. stop_at: end this part of the run after so many steps, the schedule
    unchanged; the weights are written all the same, and the run can be resumed.
    """

    views: tuple[View, ...] = (View.SAGITTAL, View.CORONAL, View.AXIAL)
    encoder: str = "ortho"
    preset: str = "small"
    head: str = "skip_segment"
    steps: int = 10_000
    stop_at: int | None = None
    batch: int = 2
    peak_rate: float = 6e-4
    encoder_share: float = 1.0
    view_shares: tuple[float, ...] | None = None
    shared_encoder: bool = False  # one encoder for all views: a warm start where compute is scarce
    warmup: int = 60
    ema: float = 0.998
    seed: int = 0
    save_every: int = 100
    log_every: int = 20
    validate_every: int = 400
    validation_samples: int = 4

    def __post_init__(self) -> None:
        shares = self.view_shares
        if shares is not None and (len(shares) != len(self.views) or min(shares) < 0 or sum(shares) <= 0):
            raise ValueError(f"view_shares must be one share a view, not {shares} for {len(self.views)} views")


def finetune_segment(
    config: FinetuneConfig, source: Any, out: Path, *, device: torch.device, encoders: dict[View, Path],
    head: Path | None = None, validation: Any = None, workers: int = 1, resume: bool = False,
    say: Callable[[str], None] = print,
) -> dict[str, Path]:  # fmt: skip
    """Train; returns the averaged weights by part: `encoder_<view>` and `segment`.

    source, validation: datasets of `source[i, view]` -> (image (1, D, H, W), structures (D, H, W)).
    encoders: pretrained weights a view; a view without any starts from noise (from scratch).
    """
    out.mkdir(parents=True, exist_ok=True)
    state = out / "checkpoint.safetensors"
    resume = checkpoint.keep_or_refuse(state, resume)
    torch.manual_seed(config.seed)
    encoder, head_cls = ENCODERS.get(config.encoder), HEADS.get(config.head)
    modules: dict[str, nn.Module] = {}
    for view in config.views[:1] if config.shared_encoder else config.views:
        modules[f"encoder_{view}"] = encoder(encoder.preset(config.preset)).to(device)
        if view in encoders:
            checkpoint.start_from(modules[f"encoder_{view}"], encoders[view])
    reader: dict[View, Any] = {
        view: modules.get(f"encoder_{view}", modules[f"encoder_{config.views[0]}"]) for view in config.views
    }
    modules["segment"] = head_cls(head_cls.config_for(reader[config.views[0]])).to(device)
    if head is not None:
        checkpoint.start_from(modules["segment"], head)
    rates = {name: config.peak_rate * (config.encoder_share if name != "segment" else 1.0) for name in modules}
    # a view's encoder is stepped on its own batches only: no gradient, no decay, no momentum drift
    optimizer = torch.optim.AdamW(
        [{"params": list(m.parameters()), "name": name} for name, m in modules.items()], weight_decay=0.01
    )
    ema = Ema(modules, config.ema)
    record = checkpoint.options(config)
    start = checkpoint.load(state, modules, ema, optimizer, record) if resume else 0
    dice = [f"dice_{view}_{name}" for view in config.views for name in KNEE.names.values()]
    log = MetricsLog(out / "metrics.csv", ["step", "loss", "gradient", "rate", "volumes_per_s", *dice], start)
    total, count, began = 0.0, 0, time.perf_counter()
    end = min(config.steps, config.stop_at or config.steps)
    order = view_order(config.views, config.steps, config.view_shares, config.seed)[:end]
    batches = feed(source, start, end, config.batch, order, workers)
    for step, (view, images, truth) in enumerate(batches, start):
        torch.manual_seed(config.seed * 1_000_003 + step)  # each step's randomness is its own: exact resume
        images, truth = images.to(device), truth.to(device)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, config.steps, rates[group["name"]], config.warmup)
        with autocast(device):
            logits = modules["segment"](reader[view].features(images, blocks=modules["segment"].blocks), images)
        loss = modules["segment"].loss(logits, truth)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        try:
            norm = guarded_step(optimizer, float(loss.detach()))
        except DivergedError:
            checkpoint.save(state, modules, ema, optimizer, step, record)
            raise
        ema.update(step)
        total, count, done = total + float(loss.detach()), count + 1, step + 1
        last = done == end
        validates = validation is not None and (done % config.validate_every == 0 or last)
        if done % config.log_every == 0 or validates or last:
            speed = count * config.batch / (time.perf_counter() - began)
            row = {"step": done, "loss": total / count, "gradient": norm, "volumes_per_s": speed}
            row["rate"] = optimizer.param_groups[0]["lr"]
            if validates:
                row |= _validate(config, reader, modules["segment"], ema, validation, device)
            log.add(row)
            scores = [v for k, v in row.items() if k.startswith("dice_")]
            tail = f"  validation Dice {sum(scores) / len(scores):.3f}" if scores else ""
            say(f"step {done}/{config.steps}  loss {row['loss']:.4f}  {speed:.2f} volumes/s{tail}")
            total, count, began = 0.0, 0, time.perf_counter()
        if done % config.save_every == 0 or last:
            checkpoint.save(state, modules, ema, optimizer, done, record)
    parts = {}
    for name in (*(f"encoder_{view}" for view in config.views), "segment"):
        trained = name if name in modules else f"encoder_{config.views[0]}"
        parts[name] = out / f"{name}.safetensors"
        with atomic(parts[name]) as temporary:
            save_file({k: v.cpu().contiguous() for k, v in ema.of(trained).items()}, temporary)
    return parts


@torch.inference_mode()
def _validate(
    config: FinetuneConfig,
    reader: dict[View, Any],
    head: nn.Module,
    ema: Ema,
    source: Any,
    device: torch.device,
) -> dict[str, float]:
    """Dice a view and structure of the averaged weights, voxels of all validation samples pooled."""
    ema.swap()
    out = {}
    for view in config.views:
        overlap, size = torch.zeros(256), torch.zeros(256)
        for i in range(config.validation_samples):
            image, truth = source[VALIDATION_OFFSET + i, view]
            image = image[None].to(device)
            with autocast(device):
                logits = head(reader[view].features(image, blocks=head.blocks), image)
            found: Tensor = logits.argmax(1)[0].cpu()
            truth = truth.long()
            overlap += torch.bincount(truth[found == truth].flatten(), minlength=256)
            size += torch.bincount(truth.flatten(), minlength=256) + torch.bincount(found.flatten(), minlength=256)
        for value, name in KNEE.names.items():
            if size[value] > 0:
                out[f"dice_{view}_{name}"] = float(2 * overlap[value] / size[value])
    ema.swap()
    return out
