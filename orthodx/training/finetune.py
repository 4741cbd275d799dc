"""Fine-tuning from voxel-wise truth: the view encoders and one shared head, the views in turn."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from orthodx.errors import UsageError
from orthodx.joints import View
from orthodx.networks import ENCODERS, HEADS
from orthodx.networks.head import head_config
from orthodx.networks.layout import coarse
from orthodx.networks.precision import autocast
from orthodx.studies.writing import atomic
from orthodx.training import checkpoint
from orthodx.training.dense_tasks import DenseTask, SegmentTask
from orthodx.training.ema import Ema
from orthodx.training.metrics_log import MetricsLog
from orthodx.training.optimise import DivergedError, feed, guarded_step, learning_rate, view_order

VALIDATION_OFFSET = 1_000_000_000  # sample numbers that training never reaches


@dataclass(frozen=True, kw_only=True)
class FinetuneConfig:
    """One fine-tuning from voxel-wise truth.

    encoder_share: scales the encoders' learning rate; with 0 they stay as they are. view_shares: how often each of
    `views` is drawn; without them the views take turns. stop_at: end this part of the run after so many steps, the
    schedule unchanged; the weights are written all the same, and the run can be resumed. detail: pixels of an image
    along each side of one that the encoders see; the heads see them all. crop, pixel_mm, focus, bank_share, data:
    how the source was opened and what is in it, for the record and so that `resume` goes on with the same.
    """

    views: tuple[View, ...] = (View.SAGITTAL, View.CORONAL, View.AXIAL)
    encoder: str = "ortho"
    preset: str = "small"
    head: str | None = None  # instead of the one the task is made for, where it has one head
    detail: int = 1
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
    crop: tuple[int, int, int] | None = None
    pixel_mm: float | None = None
    focus: tuple[float, tuple[str, ...]] | None = None
    bank_share: float | None = None
    data: str | None = None

    def __post_init__(self) -> None:
        shares = self.view_shares
        if shares is not None and (len(shares) != len(self.views) or min(shares) < 0 or sum(shares) <= 0):
            raise ValueError(f"view_shares must be one share a view, not {shares} for {len(self.views)} views")


def finetune_dense(
    config: FinetuneConfig, source: Any, out: Path, *, device: torch.device, encoders: dict[View, Path],
    heads: Mapping[str, Mapping[str, Tensor]] | None = None, validation: Any = None, workers: int = 1,
    resume: bool = False, task: DenseTask | None = None, say: Callable[[str], None] = print,
) -> dict[str, Path]:  # fmt: skip
    """Train; returns the averaged weights by part: `encoder_<view>` and the task's heads (`segment` by default).

    source, validation: datasets of `source[i, view]` -> (image (1, D, H, W), truth (D, H, W)).
    encoders: pretrained weights a view; a view without any starts from noise (from scratch).
    heads: weights of heads to start from, by part.
    """
    task = task or SegmentTask()
    frozen = config.encoder_share == 0
    out.mkdir(parents=True, exist_ok=True)
    state = out / "checkpoint.safetensors"
    resume = checkpoint.keep_or_refuse(state, resume)
    torch.manual_seed(config.seed)
    encoder = ENCODERS.get(config.encoder)
    modules: dict[str, nn.Module] = {}
    for view in config.views[:1] if config.shared_encoder else config.views:
        modules[f"encoder_{view}"] = encoder(encoder.preset(config.preset)).to(device)
        if view in encoders:
            checkpoint.start_from(modules[f"encoder_{view}"], encoders[view])
    reader: dict[View, Any] = {
        view: modules.get(f"encoder_{view}", modules[f"encoder_{config.views[0]}"]) for view in config.views
    }
    _refuse_head(config, task)
    for part, registered in task.heads.items():
        head_cls = HEADS.get(registered if config.head is None else config.head)
        finer = config.detail if part in task.closer else 1
        modules[part] = head_cls(head_config(head_cls, reader[config.views[0]], finer)).to(device)
        if heads and part in heads:
            checkpoint.fill_head(modules[part], heads[part], f"the start of '{part}'")
    own: dict[str, Any] = {part: modules[part] for part in task.heads}
    rates = {name: config.peak_rate * (1.0 if name in own else config.encoder_share) for name in modules}
    # a view's encoder is stepped on its own batches only: no gradient, no decay, no momentum drift
    optimizer = torch.optim.AdamW(
        [{"params": list(m.parameters()), "name": name} for name, m in modules.items() if rates[name] > 0],
        weight_decay=0.01,
    )

    wanted = {block for module in own.values() for block in module.blocks}

    def features(view: View, images: Tensor) -> dict[str, Tensor]:
        with autocast(device), torch.set_grad_enabled(torch.is_grad_enabled() and not frozen):
            return reader[view].features(images, blocks=wanted)

    ema = Ema(modules, config.ema)
    record = checkpoint.options(config)
    start = checkpoint.load(state, modules, ema, optimizer, record) if resume else 0
    scored = [column for view in config.views for column in task.columns(view)]
    log = MetricsLog(out / "metrics.csv", ["step", "loss", "gradient", "rate", "volumes_per_s", *scored], start)
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
            loss = task.loss(own, features(view, coarse(images, config.detail)), images, truth)
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
                row |= _validate(config, task, features, own, ema, validation, device)
            log.add(row)
            tail = "".join(
                f"  validation {kind} {sum(values) / len(values):.3f}"
                for kind in ("dice", "auroc")
                if (values := [float(v) for k, v in row.items() if k.startswith(f"{kind}_")])
            )
            say(f"step {done}/{config.steps}  loss {row['loss']:.4f}  {speed:.2f} volumes/s{tail}")
            total, count, began = 0.0, 0, time.perf_counter()
        if done % config.save_every == 0 or last:
            checkpoint.save(state, modules, ema, optimizer, done, record)
    parts = {}
    for name in (*(f"encoder_{view}" for view in config.views), *own):
        trained = name if name in modules else f"encoder_{config.views[0]}"
        parts[name] = out / f"{name}.safetensors"
        with atomic(parts[name]) as temporary:
            save_file({k: v.cpu().contiguous() for k, v in ema.of(trained).items()}, temporary)
    return parts


def _refuse_head(config: FinetuneConfig, task: DenseTask) -> None:
    """Refuses a head that cannot take the place of the task's own."""
    if config.head is None:
        return
    wanted = {HEADS.get(registered).task for registered in task.heads.values()}
    if len(task.heads) > 1 or wanted != {HEADS.get(config.head).task}:
        raise UsageError(
            f"the head '{config.head}' cannot learn this", hint=f"leave --head out: {', '.join(task.heads.values())}"
        )


@torch.inference_mode()
def _validate(
    config: FinetuneConfig,
    task: DenseTask,
    features: Callable[[View, Tensor], dict[str, Tensor]],
    heads: Mapping[str, nn.Module],
    ema: Ema,
    source: Any,
    device: torch.device,
) -> dict[str, float]:
    """The task's scores of the averaged weights on the validation samples."""

    def samples() -> Iterator[tuple[View, Tensor, Tensor]]:
        for view in config.views:
            for i in range(config.validation_samples):
                image, truth = source[VALIDATION_OFFSET + i, view]
                yield view, image[None].to(device), truth

    ema.swap()
    with autocast(device):
        out = task.validate(heads, features, samples())
    ema.swap()
    return out
