"""The one training loop: pretraining and every fine-tuning by gradient descent is a `Lesson` that it repeats.

A step's randomness depends on seed and step only, so a killed run resumes to the very same weights.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from orthodx.studies.readable import in_words
from orthodx.studies.stopping import not_before_saved, stop_as_others
from orthodx.training import checkpoint
from orthodx.training.distributed import Team
from orthodx.training.ema import Ema
from orthodx.training.metrics_log import Means, MetricsLog
from orthodx.training.optimise import DivergedError, guarded_step, learning_rate


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """steps: of the whole run. end: of this part of it. Every so many steps it logs and saves."""

    steps: int
    end: int
    warmup: int
    seed: int
    log_every: int
    save_every: int


class Lesson(ABC):
    """What is learned.

    parts: networks, by their name in checkpoints; all are saved and averaged. rates: peak learning rate of each; with 0
    a part stays as it is. columns: of `metrics.csv` beside the step's own. volumes: that all processes see in a step.
    may_end: whether the run may be over before its last step (`ended`).
    """

    parts: Mapping[str, nn.Module]
    rates: Mapping[str, float]
    ema: Ema
    losses: tuple[str, ...] = ("loss",)
    columns: tuple[str, ...] = ()
    volumes: int = 1
    may_end: bool = False

    @abstractmethod
    def begin(self, start: int, end: int) -> None:
        """Make ready for the steps start..end-1."""

    @abstractmethod
    def step(self, step: int) -> dict[str, Tensor]:
        """Forward and backward of one step; the values of each loss, detached and still on the device.

        "loss" is what is minimised where nothing else is; a further value "total" names the sum instead.
        """

    def by_column(self, values: dict[str, Tensor]) -> Mapping[str, Tensor]:
        """The values of a step, read from the device, by the columns that they count in."""
        return values

    def logs(self, done: int, schedule: Schedule) -> bool:
        """Whether a row is due after `done` steps."""
        return done % schedule.log_every == 0

    def validate(self, done: int, last: bool) -> dict[str, float]:
        """Scores of the averaged weights, where they are due."""
        return {}

    def ended(self) -> bool:
        """Whether nothing is to be won by further steps; asked of the chief after each, and before the first."""
        return False

    def after(self, done: int, last: bool) -> None:  # noqa: B027  (most lessons have nothing more to do)
        """Anything else that is due."""

    def told(self, done: int, row: Mapping[str, float], schedule: Schedule) -> str:
        """A logged row for people."""
        return f"step {done}/{schedule.steps}  loss {row['loss']:.4f}  {row['volumes_per_s']:.2f} volumes/s"


def train(
    lesson: Lesson,
    schedule: Schedule,
    state: Path,
    record: dict[str, str],
    *,
    team: Team,
    resume: bool,
    say: Callable[[str], None],
) -> Path:
    """Repeat a lesson; returns the table of what was logged, beside `state` or `metrics.csv` in its folder.

    state: checkpoint, from which a run goes on with `resume`. record: the run's options, which must be those of before.
    Raises `DivergedError` on NaN, with the last good state saved. A signal to stop takes effect after the present
    step, in all processes alike, with the state saved.
    """
    learning = {name: part for name, part in lesson.parts.items() if lesson.rates[name] > 0}
    # a part without a gradient in a step is left alone: no decay, no momentum drift
    optimizer = torch.optim.AdamW(
        [{"params": list(part.parameters()), "name": name} for name, part in learning.items()], weight_decay=0.01
    )
    parts = dict(lesson.parts)
    start = checkpoint.load(state, parts, lesson.ema, optimizer, record) if resume and state.exists() else 0
    columns = ["step", *lesson.losses, "gradient", "rate", "volumes_per_s", *lesson.columns]
    log = MetricsLog(state.with_name(f"{table_of(state)}.csv"), columns, start, writes=team.chief)
    means, began, logged, stop = Means([*lesson.losses, *lesson.columns]), time.perf_counter(), start, False
    lesson.begin(start, schedule.end)
    if lesson.may_end and team.any(lesson.ended()):
        return log.path

    def save(done: int) -> None:
        if team.chief:
            checkpoint.save(state, parts, lesson.ema, optimizer, done, record)

    with not_before_saved() as asked_to_stop:
        for step in range(start, schedule.end):
            torch.manual_seed(schedule.seed * 1_000_003 + step)
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(step, schedule.steps, lesson.rates[group["name"]], schedule.warmup)
            optimizer.zero_grad(set_to_none=True)
            try:
                values = lesson.step(step)
            except Exception:
                if step > start:  # no weight has moved yet
                    save(step)
                raise
            try:
                norm, read = guarded_step(optimizer, values)
            except DivergedError:
                save(step)
                raise
            lesson.ema.update(step)
            read.pop("total", None)
            for name, value in lesson.by_column(read).items():
                means.add(name, value)
            done, last = step + 1, step + 1 == schedule.end
            scores = lesson.validate(done, last)
            last = last or (lesson.may_end and team.any(lesson.ended()))
            stop = not last and team.any(asked_to_stop())
            if scores or last or stop or lesson.logs(done, schedule):
                speed = (done - logged) * lesson.volumes / (time.perf_counter() - began)
                row = {"step": done, "gradient": norm, "rate": optimizer.param_groups[0]["lr"], "volumes_per_s": speed}
                row |= means.take(team) | scores
                log.add(row)
                left = (schedule.end - done) * lesson.volumes / max(speed, 1e-9)
                say(lesson.told(done, row, schedule) + (f", {in_words(left)} left" if not (last or stop) else ""))
                began, logged = time.perf_counter(), done
            lesson.after(done, last)
            if last or stop or done % schedule.save_every == 0:
                save(done)
            if stop or last:
                break
    if stop:  # someone else of the team was asked
        stop_as_others()
    return log.path


def table_of(state: Path) -> str:
    """Name of the table beside a checkpoint: `metrics` for a run's only one."""
    return "metrics" if state.stem == "checkpoint" else state.stem
