"""Diffusion pretraining of one view's encoder: predict the noise, for ever-new images."""

from __future__ import annotations

import contextlib
import copy
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from orthodx.errors import UsageError
from orthodx.joints import View
from orthodx.networks import ENCODERS, ViewEncoder
from orthodx.networks.diffusion import T
from orthodx.networks.precision import autocast
from orthodx.studies.run_record import sha256
from orthodx.studies.writing import atomic
from orthodx.training import checkpoint
from orthodx.training.distributed import Team, unsynchronised
from orthodx.training.ema import Ema
from orthodx.training.metrics_log import Means, MetricsLog
from orthodx.training.objective import Align, Denoise, Distil
from orthodx.training.optimise import DivergedError, feed, guarded_step, learning_rate
from orthodx.training.probe import probe
from orthodx.training.samples import write_samples

STREAM = 2_654_435_769  # far apart in the 32 bits of a seed that torch's generator reads
BINS = 4  # the loss is also logged by quarters of the timestep range


@dataclass(frozen=True, kw_only=True)
class PretrainConfig:
    """One view's pretraining. Steps, batch and rate are what the run is repeated from.

    batch: volumes a process takes at once. accumulate: batches a process adds up before each step.
    sample_every, probe_every: steps between two sample pictures and two probes; 0 = none. align, distil: weights
    of the losses on features (see `objective`) beside the noise loss, of which a run has one or neither. crop,
    pixel_mm, bank_share, data: how the source was opened and what is in it, for the record and
    so that `resume` goes on with the same.
    """

    view: View
    encoder: str = "ortho"
    preset: str = "small"
    steps: int = 20_000
    batch: int = 8
    accumulate: int = 1
    peak_rate: float = 4e-4
    warmup: int = 100
    ema: float = 0.999
    seed: int = 0
    save_every: int = 200
    log_every: int = 20
    sample_every: int = 0
    probe_every: int = 0
    align: float | None = None
    distil: float | None = None
    crop: tuple[int, int, int] | None = None
    pixel_mm: float | None = None
    bank_share: float | None = None
    data: str | None = None

    def __post_init__(self) -> None:
        if self.align is not None and self.distil is not None:
            raise UsageError("a run is either aligned or distilled", hint="leave --align or --distil out")


def pretrain(
    config: PretrainConfig, source: Any, out: Path, *, team: Team, workers: int = 1, init: Path | None = None,
    teacher: Path | None = None, labelled: Any = None, resume: bool = False, say: Callable[[str], None] = print,
) -> Path:  # fmt: skip
    """Train and return the path of the averaged weights, `out/encoder_<view>.safetensors`.

    source: a dataset of `source[i, view]` -> (image (1, D, H, W) in [-1, 1], truth); truth is not used.
    init: weights of another run of the same encoder to start from. teacher: with `config.distil`, the weights to
    distil from, from which the run also starts. labelled: a held-out dataset with truth for
    the probe; the weights returned are then those that probed best, not the last. Raises `DivergedError` on
    NaN, with the last good state saved. What is learned does not depend on how a step's volumes are split
    over processes and batches (up to rounding).
    """
    out.mkdir(parents=True, exist_ok=True)
    state, best = out / "checkpoint.safetensors", out / "best.safetensors"
    resume = checkpoint.keep_or_refuse(state, resume)
    torch.manual_seed(config.seed)
    cls = ENCODERS.get(config.encoder)
    model: ViewEncoder = cls(cls.preset(config.preset)).to(team.device)
    if (first_weights := init or teacher) is not None:
        checkpoint.start_from(model, first_weights)
    ema = Ema({"encoder": model}, config.ema)
    objective = _objective(config, model, ema, teacher, init).to(team.device)
    optimizer = torch.optim.AdamW(objective.parameters(), lr=config.peak_rate, weight_decay=0.01)
    shared, abar = team.wrap(objective), objective.abar
    record = checkpoint.options(config) | {"processes": str(team.size)}
    record |= {} if teacher is None else {"teacher": sha256(teacher)}
    start = checkpoint.load(state, objective.parts, ema, optimizer, record) if resume else 0
    bins = [f"loss_t{i * T // BINS}" for i in range(BINS)]
    extra = [name for name in objective.weights if name != "loss"]
    columns = ["step", "loss", "gradient", "rate", "volumes_per_s", *bins, "probe", *extra]
    log = MetricsLog(out / "metrics.csv", columns, start) if team.chief else None
    best_score = log.best("probe") if log else None
    means, began, micro = Means([*objective.weights, *bins]), time.perf_counter(), config.accumulate
    order = [config.view] * (config.steps * micro)
    batches = feed(source, start * micro, len(order), config.batch, order, workers, team.rank, team.size)
    for done in range(start + 1, config.steps + 1):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(done - 1, config.steps, config.peak_rate, config.warmup)
        optimizer.zero_grad(set_to_none=True)
        for part in range(micro):
            _, images, _ = next(batches)
            first = (((done - 1) * micro + part) * team.size + team.rank) * config.batch
            draws = [draw(config.seed, first, images, stream) for stream in range(objective.draws)]
            with autocast(team.device):
                losses = shared(
                    images.to(team.device), [(t.to(team.device), noise.to(team.device)) for t, noise in draws]
                )
            total = sum((objective.weights[k] * loss for k, loss in losses.items()), torch.zeros(()))
            with unsynchronised(shared) if part < micro - 1 else contextlib.nullcontext():
                (total.mean() / micro).backward()
            for name, values in losses.items():
                means.add(name, values.detach())
            for one, when in zip(losses["loss"].detach().cpu(), draws[0][0], strict=True):
                means.add(bins[int(when) * BINS // T], one)
        try:
            norm = guarded_step(optimizer, float(total.detach().mean()))
        except DivergedError:
            if team.chief:
                checkpoint.save(state, objective.parts, ema, optimizer, done - 1, record)
            raise
        ema.update(done - 1)
        last = done == config.steps
        probes = config.probe_every > 0 and (done % config.probe_every == 0 or last)
        score = _probe(config.view, model, ema, labelled, best, best_score, team) if probes and team.chief else None
        best_score = max((s for s in (score, best_score) if s is not None), default=None)
        if done % config.log_every == 0 or probes or last:
            mean, counted = means.take(team)
            speed = counted["loss"] / (time.perf_counter() - began)
            row = {"step": done, "gradient": norm, "volumes_per_s": speed, "rate": optimizer.param_groups[0]["lr"]}
            row |= mean | ({} if score is None else {"probe": score})
            if log:
                log.add(row)
                shown = "".join(f"  {name} {mean[name]:.4f}" for name in extra)
                tail = "" if score is None else f"  probe {score:.3f}"
                say(f"step {done}/{config.steps}  loss {mean['loss']:.4f}{shown}  {speed:.2f} volumes/s{tail}")
            began = time.perf_counter()
        if team.chief and config.sample_every and (done % config.sample_every == 0 or last):
            ema.swap()
            write_samples(
                out / "samples" / f"step_{done:06d}.png", model, abar, tuple(images.shape[2:]), device=team.device
            )
            ema.swap()
        if team.chief and (done % config.save_every == 0 or last):
            checkpoint.save(state, objective.parts, ema, optimizer, done, record)
    weights = out / f"encoder_{config.view}.safetensors"
    if team.chief:
        _write(weights, ema) if best_score is None else checkpoint.copy(best, weights)
    return weights


def draw(seed: int, first: int, images: Tensor, stream: int = 0) -> tuple[Tensor, Tensor]:
    """Timesteps (B,) and noise (as `images`) of the samples first, first + 1, ...: each sample's are its own.

    stream: which of the independent draws that a sample may need.
    """
    times, noises = [], []
    for i in range(len(images)):
        generator = torch.Generator().manual_seed((seed * 1_000_003 + first + i + stream * STREAM) % 2**63)
        times.append(torch.randint(0, T, (), generator=generator))
        noises.append(torch.randn(images.shape[1:], generator=generator))
    return torch.stack(times), torch.stack(noises)


def _objective(
    config: PretrainConfig, model: ViewEncoder, ema: Ema, teacher: Path | None, init: Path | None
) -> Denoise:
    """The losses that the configuration asks for; raises `UsageError` where a weight and its teacher do not fit."""
    if (teacher is None) != (config.distil is None):
        raise UsageError("distillation needs a teacher and a weight", hint="give --distil FILE, and --distil-weight")
    if config.distil is not None and teacher is not None:
        if init is not None:
            raise UsageError("a distilled encoder starts from its teacher", hint="leave --init out")
        frozen = copy.deepcopy(model)
        checkpoint.start_from(frozen, teacher)
        return Distil(model, frozen, config.distil)
    if config.align is not None:
        return Align(model, ema.twin("encoder"), config.align)
    return Denoise(model)


def _probe(
    view: View, model: ViewEncoder, ema: Ema, labelled: Any, best: Path, best_score: float | None, team: Team
) -> float:
    """The averaged weights' probe score; they are kept in `best` if it is the highest yet."""
    ema.swap()
    model.eval()
    with autocast(team.device):
        score = probe(model.features, labelled, view, device=team.device)
    model.train()
    ema.swap()
    if best_score is None or score > best_score:
        _write(best, ema)
    return score


def _write(path: Path, ema: Ema) -> None:
    with atomic(path) as temporary:
        save_file({k: v.cpu().contiguous() for k, v in ema.of("encoder").items()}, temporary)
