"""Diffusion pretraining of one view's encoder: predict the noise, for ever-new images."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
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
from orthodx.networks.reading import blocks_of
from orthodx.studies.run_record import sha256
from orthodx.studies.writing import atomic
from orthodx.training import checkpoint
from orthodx.training.denoising.objective import Align, Denoise, Distil
from orthodx.training.denoising.probe import probe
from orthodx.training.denoising.samples import write_samples
from orthodx.training.distributed import Team, unsynchronised
from orthodx.training.ema import Ema
from orthodx.training.loop import Lesson, Schedule, train
from orthodx.training.metrics_log import MetricsLog
from orthodx.training.optimise import feed

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


def fit_denoiser(
    config: PretrainConfig,
    source: Any,
    out: Path,
    *,
    team: Team,
    workers: int = 1,
    init: Path | None = None,
    teacher: Path | None = None,
    labelled: Any = None,
    resume: bool = False,
    compiled: bool = False,
    say: Callable[[str], None] = print,
) -> Path:
    """Train and return the path of the averaged weights, `out/encoder_<view>.safetensors`.

    source: a dataset of `source[i, view]` -> (image (1, D, H, W) in [-1, 1], truth); truth is not used.
    init: weights of another run of the same encoder to start from. teacher: with `config.distil`, the weights to
    distil from, from which the run also starts. labelled: a held-out dataset with truth for the probe; the weights
    returned are then those that probed best, not the last. compiled: by torch.compile. Raises `DivergedError` on NaN,
    with the last good state saved. What is learned does not depend on how a step's volumes are split over processes
    and batches (up to rounding).
    """
    out.mkdir(parents=True, exist_ok=True)
    state = out / checkpoint.STATE
    resume = checkpoint.keep_or_refuse(state, resume)
    torch.manual_seed(config.seed)
    cls = ENCODERS.get(config.encoder)
    model: ViewEncoder = cls(cls.preset(config.preset)).to(team.device)
    if (first_weights := init or teacher) is not None:
        checkpoint.start_from(model, first_weights)
    ema = Ema({"encoder": model}, config.ema)
    objective = _objective(config, model, ema, teacher, init).to(team.device)
    if compiled:
        say("compiles the network, which takes minutes")
        objective.compile()
    lesson = Denoising(config, objective, ema, source, labelled, out, team=team, workers=workers)
    schedule = Schedule(
        steps=config.steps,
        end=config.steps,
        warmup=config.warmup,
        seed=config.seed,
        log_every=config.log_every,
        save_every=config.save_every,
    )
    record = checkpoint.in_volumes(checkpoint.options(config) | {"processes": str(team.size)})
    record |= {"init": "none" if init is None else sha256(init)}
    record |= {} if teacher is None else {"teacher": sha256(teacher)}
    train(lesson, schedule, state, record, team=team, resume=resume, say=say)
    weights = out / f"encoder_{config.view}.safetensors"
    if team.chief:
        _write(weights, ema) if lesson.best is None else checkpoint.copy(lesson.best_weights, weights)
    return weights


class Denoising(Lesson):
    """One view's encoder learns to name the noise; a step adds up `accumulate` batches in every process."""

    def __init__(
        self,
        config: PretrainConfig,
        objective: Denoise,
        ema: Ema,
        source: Any,
        labelled: Any,
        out: Path,
        *,
        team: Team,
        workers: int,
    ) -> None:
        self.config, self.objective, self.ema, self.source, self.labelled = config, objective, ema, source, labelled
        self.out, self.team, self.workers = out, team, workers
        self.parts, self.rates = objective.parts, dict.fromkeys(objective.parts, config.peak_rate)
        self.losses = tuple(objective.weights)
        self.bins = tuple(f"loss_t{i * T // BINS}" for i in range(BINS))
        self.columns = (*self.bins, "probe")
        self.volumes = config.batch * config.accumulate * team.size
        self.shared = team.wrap(objective)
        self.best: float | None = None
        self.best_weights = out / "best.safetensors"
        self.shape: tuple[int, ...] = ()
        self.times: list[Tensor] = []

    def begin(self, start: int, end: int) -> None:
        config, micro = self.config, self.config.accumulate
        if start:
            self.best = MetricsLog(self.out / "metrics.csv", [], writes=False).best("probe")
        order = [config.view] * (end * micro)
        self.batches = feed(self.source, start * micro, len(order), config.batch, order, self.workers, team=self.team)

    def step(self, step: int) -> dict[str, Tensor]:
        micro, seen = self.config.accumulate, []
        self.times = []
        for part in range(micro):
            _, images, _ = next(self.batches)
            self.shape = tuple(images.shape[2:])
            with unsynchronised(self.shared) if part < micro - 1 else contextlib.nullcontext():
                seen.append(self._backward(images, step * micro + part))
        return {name: torch.cat([one[name] for one in seen]) for name in seen[0]}

    def by_column(self, values: dict[str, Tensor]) -> dict[str, Tensor]:
        when = torch.cat(self.times) * BINS // T
        return values | {self.bins[i]: values["loss"][when == i] for i in when.unique().tolist()}

    def _backward(self, images: Tensor, batch: int) -> dict[str, Tensor]:
        device, objective = self.team.device, self.objective
        first = (batch * self.team.size + self.team.rank) * self.config.batch
        images = images.to(device, non_blocking=True)
        draws = [draw(self.config.seed, first, images, stream) for stream in range(objective.draws)]
        self.times.append(draws[0][0])
        with autocast(device):
            losses = self.shared(images, [(t.to(device, non_blocking=True), noise) for t, noise in draws])
        total = sum((objective.weights[k] * loss for k, loss in losses.items()), torch.zeros((), device=device))
        (total.mean() / self.config.accumulate).backward()
        return {name: loss.detach() for name, loss in losses.items()} | {"total": total.detach()}

    def validate(self, done: int, last: bool) -> dict[str, float]:
        every = self.config.probe_every
        if not every or not (last or done % every == 0) or not self.team.chief:
            return {}
        with averaged(self.ema, self.objective.encoder) as encoder:
            score = probe(partial(blocks_of, encoder), self.labelled, self.config.view, device=self.team.device)
        if self.best is None or score > self.best:
            self.best = score
            _write(self.best_weights, self.ema)
        return {"probe": score}

    def after(self, done: int, last: bool) -> None:
        every = self.config.sample_every
        if self.team.chief and every and (last or done % every == 0):
            path = self.out / "samples" / f"step_{done:06d}.png"
            with averaged(self.ema, self.objective.encoder) as encoder:
                write_samples(path, encoder, self.objective.abar, self.shape, device=self.team.device)

    def told(self, done: int, row: Mapping[str, float], schedule: Schedule) -> str:
        more = "".join(f"  {name} {row[name]:.4f}" for name in self.losses if name != "loss")
        more += f"  probe {row['probe']:.3f}" if "probe" in row else ""
        return super().told(done, row, schedule) + more


def draw(seed: int, first: int, images: Tensor, stream: int = 0) -> tuple[Tensor, Tensor]:
    """Timesteps (B,) and noise (as `images`) of the samples first, first + 1, ...: each sample's are its own.

    stream: which of the independent draws that a sample may need. Timesteps are drawn on the CPU, noise where the
    images are: each kind of device has noise of its own.
    """
    device, times, noises = images.device, [], []
    for i in range(len(images)):
        number = (seed * 1_000_003 + first + i + stream * STREAM) % 2**63
        generator = torch.Generator().manual_seed(number)
        times.append(torch.randint(0, T, (), generator=generator))
        if device.type != "cpu":
            generator = torch.Generator(device).manual_seed(number)
        noises.append(torch.randn(images.shape[1:], generator=generator, device=device))
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


@contextlib.contextmanager
def averaged(ema: Ema, encoder: ViewEncoder) -> Iterator[ViewEncoder]:
    """The encoder with its averaged weights, in evaluation mode; afterwards it learns on."""
    ema.swap()
    encoder.eval()
    try:
        yield encoder
    finally:
        encoder.train()
        ema.swap()


def _write(path: Path, ema: Ema) -> None:
    with atomic(path) as temporary:
        save_file({k: v.cpu().contiguous() for k, v in ema.of("encoder").items()}, temporary)
