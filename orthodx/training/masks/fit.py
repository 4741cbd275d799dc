"""Fine-tuning from voxel-wise truth: the view encoders and one shared head, the views in turn."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from orthodx.errors import UsageError
from orthodx.joints import View
from orthodx.networks import ENCODERS, HEADS, Wanted
from orthodx.networks.heads.head import head_config
from orthodx.networks.layout import coarse
from orthodx.networks.precision import autocast
from orthodx.networks.reading import blocks_of
from orthodx.studies.writing import atomic
from orthodx.training import checkpoint
from orthodx.training.checkpoint import HeadStart
from orthodx.training.distributed import Team
from orthodx.training.ema import Ema
from orthodx.training.loop import Lesson, Schedule, train
from orthodx.training.masks.tasks import DenseTask
from orthodx.training.optimise import feed, view_order
from orthodx.training.patience import SCORE, Waiting

VALIDATION_OFFSET = 1_000_000_000  # sample numbers that training never reaches


@dataclass(frozen=True, kw_only=True)
class MasksConfig:
    """One fine-tuning from voxel-wise truth.

    encoder_share: scales the encoders' learning rate; with 0 they stay as they are. view_shares: how often each of
    `views` is drawn; without them the views take turns. stop_at: end this part of the run after so many steps, the
    schedule unchanged; the weights are written all the same, and the run can be resumed. patience: so many validations
    in a row without a better one end the run; its weights are then those that validated best. detail: pixels of an
    image along each side of one that the encoders see; the heads see them all. crop, pixel_mm, focus, bank_share,
    augment, label_fraction, data: how the source was opened and what is in it, for the record and so that `resume` goes
    on with the same; validated_on: what is in the other one.
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
    patience: int | None = None
    crop: tuple[int, int, int] | None = None
    pixel_mm: float | None = None
    focus: tuple[float, tuple[str, ...]] | None = None
    bank_share: float | None = None
    augment: bool | None = None
    label_fraction: float | None = None
    data: str | None = None
    validated_on: str | None = None

    def __post_init__(self) -> None:
        shares = self.view_shares
        if shares is not None and (len(shares) != len(self.views) or min(shares) < 0 or sum(shares) <= 0):
            raise ValueError(f"view_shares must be one share a view, not {shares} for {len(self.views)} views")


def fit_masks(
    config: MasksConfig,
    source: Any,
    out: Path,
    *,
    task: DenseTask,
    team: Team,
    encoders: Mapping[View, Path],
    heads: Mapping[str, HeadStart] = MappingProxyType({}),
    validation: Any = None,
    workers: int = 1,
    resume: bool = False,
    say: Callable[[str], None] = print,
) -> dict[str, Path]:
    """Train; returns the averaged weights by part: `encoder_<view>` and the task's heads.

    source, validation: datasets of `source[i, view]` -> (image (1, D, H, W), truth (D, H, W)).
    encoders: pretrained weights a view; a view without any starts from noise (from scratch).
    heads: what heads start from, by part. Raises `DivergedError` on NaN, with the last good state saved.
    """
    out.mkdir(parents=True, exist_ok=True)
    state = out / checkpoint.STATE
    resume = checkpoint.keep_or_refuse(state, resume)
    torch.manual_seed(config.seed)
    lesson = DenseLesson(config, task, source, validation, encoders, heads, out, team=team, workers=workers)
    schedule = Schedule(
        steps=config.steps,
        end=min(config.steps, config.stop_at or config.steps),
        warmup=config.warmup,
        seed=config.seed,
        log_every=config.log_every,
        save_every=config.save_every,
    )
    record = checkpoint.options(config) | ({"processes": str(team.size)} if team.size > 1 else {})
    train(lesson, schedule, state, record, team=team, resume=resume, say=say)
    return lesson.write(out) if team.chief else {}


class DenseLesson(Lesson):
    """View encoders and the task's heads; a step is of one view, whose encoder alone learns in it."""

    def __init__(
        self,
        config: MasksConfig,
        task: DenseTask,
        source: Any,
        validation: Any,
        encoders: Mapping[View, Path],
        heads: Mapping[str, HeadStart],
        out: Path,
        *,
        team: Team,
        workers: int,
    ) -> None:
        self.config, self.task, self.source, self.validation = config, task, source, validation
        self.team, self.workers = team, workers
        self.waiting = Waiting(config.patience, out) if config.patience else None
        self.may_end = self.waiting is not None
        cls = ENCODERS.get(config.encoder)
        modules: dict[str, nn.Module] = {}
        for view in config.views[:1] if config.shared_encoder else config.views:
            modules[f"encoder_{view}"] = cls(cls.preset(config.preset)).to(team.device)
            if view in encoders:
                checkpoint.start_from(modules[f"encoder_{view}"], encoders[view])
        self.encoders: dict[View, Any] = {
            view: modules.get(f"encoder_{view}", modules[f"encoder_{config.views[0]}"]) for view in config.views
        }
        for part, name in heads_of(config, task).items():
            wanted = Wanted.of(task.joint, detail=config.detail if part in task.closer else 1)
            head = HEADS.get(name)(head_config(name, self.encoders[config.views[0]], wanted)).to(team.device)
            if part in heads:
                checkpoint.fill_head(head, heads[part], f"the start of '{part}' ({heads[part].path})")
            modules[part] = head
        self.heads: dict[str, Any] = {part: modules[part] for part in task.heads}
        self.parts, self.ema = modules, Ema(modules, config.ema)
        self.rates = {
            name: config.peak_rate * (1.0 if name in self.heads else config.encoder_share) for name in modules
        }
        self.columns = tuple(column for view in config.views for column in task.columns(view))
        self.columns += (SCORE,) if self.may_end else ()
        self.volumes = config.batch * team.size
        self.wanted = {block for head in self.heads.values() for block in head.blocks}

    def begin(self, start: int, end: int) -> None:
        config = self.config
        if self.waiting is not None and start:
            self.waiting.go_on()
        order = view_order(config.views, config.steps, config.view_shares, config.seed)[:end]
        self.batches = feed(self.source, start, end, config.batch, order, self.workers, team=self.team)

    def blocks(self, view: View, image: Tensor) -> Mapping[str, Tensor]:
        """Blocks of the encoder's image (B, 1, D, H, W); without a gradient where the encoders are left alone."""
        learning = torch.is_grad_enabled()
        with torch.set_grad_enabled(learning and self.config.encoder_share > 0):
            blocks = blocks_of(self.encoders[view], image, self.wanted)
        # torch 2.13 on a CPU: GroupNorm's backward dies where its channels-last input needs no gradient
        return {name: block.requires_grad_() if learning else block for name, block in blocks.items()}

    def step(self, step: int) -> dict[str, Tensor]:
        view, images, truth = next(self.batches)
        device = self.team.device
        images, truth = images.to(device, non_blocking=True), truth.to(device, non_blocking=True)
        blocks = self.blocks(view, coarse(images, self.config.detail))
        with autocast(device):
            loss = self.task.loss(self.heads, blocks, images, truth)
        loss.backward()
        for part in self.parts.values():
            self.team.average_gradients(part)
        return {"loss": loss.detach()}

    @torch.inference_mode()
    def validate(self, done: int, last: bool) -> dict[str, float]:
        if self.validation is None or not (last or done % self.config.validate_every == 0) or not self.team.chief:
            return {}
        self.ema.swap()
        with autocast(self.team.device):
            scores = self.task.validate(self.heads, self.blocks, self._held_out())
        self.ema.swap()
        if self.waiting is None:
            return scores
        score = self.waiting.judge(scores, self.ema.tensors)
        return scores | ({} if score is None else {SCORE: score})

    def ended(self) -> bool:
        return self.waiting is not None and self.waiting.over

    def _held_out(self) -> Iterator[tuple[View, Tensor, Tensor]]:
        for view in self.config.views:
            for i in range(self.config.validation_samples):
                image, truth = self.validation[VALIDATION_OFFSET + i, view]
                yield view, image[None].to(self.team.device), truth

    def told(self, done: int, row: Mapping[str, float], schedule: Schedule) -> str:
        tail = "".join(
            f"  validation {kind} {sum(values) / len(values):.3f}"
            for kind in ("dice", "auroc")
            if (values := [v for k, v in row.items() if k.startswith(f"{kind}_")])
        )
        return super().told(done, row, schedule) + tail

    def write(self, out: Path) -> dict[str, Path]:
        """The averaged weights, a file a part; a shared encoder once for every view."""
        files = {}
        for name in (*(f"encoder_{view}" for view in self.config.views), *self.heads):
            trained = name if name in self.parts else f"encoder_{self.config.views[0]}"
            files[name] = out / f"{name}.safetensors"
            with atomic(files[name]) as temporary:
                weights = self.ema.of(trained) | (self.waiting.best_weights(trained) if self.waiting else {})
                save_file({k: v.cpu().contiguous() for k, v in weights.items()}, temporary)
        return files


def heads_of(config: MasksConfig, task: DenseTask) -> dict[str, str]:
    """Part -> registered head; raises `UsageError` where `config.head` cannot take the place of the task's own."""
    if config.head is None:
        return dict(task.heads)
    wanted = {HEADS.get(registered).task for registered in task.heads.values()}
    if len(task.heads) > 1 or wanted != {HEADS.get(config.head).task}:
        raise UsageError(
            f"the head '{config.head}' cannot learn this", hint=f"leave --head out: {', '.join(task.heads.values())}"
        )
    return dict.fromkeys(task.heads, config.head)
