"""Stage I: one view's encoder and head, fitted to the studies' answers: end to end, or the head alone (probe)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from orthodx.grid.spec import left_to_right
from orthodx.joints import View
from orthodx.networks.encoders.encoder import ViewEncoder
from orthodx.networks.heads.pooled import DiagnoseHead, known_a_case, masked_bce
from orthodx.networks.reading import CLEAN, Noising, ask, blocks_of
from orthodx.training import checkpoint
from orthodx.training.diagnosis.study_cases import SeriesRegion
from orthodx.training.distributed import Team
from orthodx.training.ema import Ema
from orthodx.training.loop import Lesson, Schedule, train


@dataclass(frozen=True, eq=False)
class ViewSamples:
    """Series of one view. truth: (M, L). weight: (M,), the series of a study share one. patient: (M,) index."""

    regions: Sequence[SeriesRegion]
    truth: np.ndarray
    weight: np.ndarray
    patient: np.ndarray


@dataclass(frozen=True, kw_only=True)
class ViewConfig:
    """One end-to-end stage I.

    encoder_share: the encoder's learning rate relative to the head's `peak_rate`. augment: images are changed as
    another scanner or patient might.
    """

    view: View
    epochs: int
    batch: int
    peak_rate: float
    encoder_share: float
    seed: int
    noising: Noising = CLEAN
    augment: bool = True
    save_every: int = 50


def fit_end_to_end(
    config: ViewConfig,
    encoder: ViewEncoder,
    head: DiagnoseHead,
    samples: ViewSamples,
    state: Path,
    *,
    device: torch.device,
    positive_weight: Tensor,
    resume: bool,
    say: Callable[[str], None],
) -> Path:
    """Train both in place; they end with the averaged weights. `state`: checkpoint, from which a run goes on.

    Returns the table of losses beside `state`, a row an epoch and a row a checkpoint, each the mean since the last.
    """
    lesson = Answers(config, encoder, head, samples, positive_weight, device)
    schedule = Schedule(
        steps=lesson.steps,
        end=lesson.steps,
        warmup=min(20, lesson.steps // 10 + 1),
        seed=config.seed,
        log_every=config.save_every,
        save_every=config.save_every,
    )
    table = train(lesson, schedule, state, checkpoint.options(config), team=Team(device), resume=resume, say=say)
    lesson.ema.swap()
    return table


class Answers(Lesson):
    """One view's encoder and head learn the studies' answers, every series once an epoch."""

    def __init__(
        self,
        config: ViewConfig,
        encoder: ViewEncoder,
        head: DiagnoseHead,
        samples: ViewSamples,
        positive_weight: Tensor,
        device: torch.device,
    ) -> None:
        self.config, self.encoder, self.head, self.samples, self.device = config, encoder, head, samples, device
        self.parts = {"encoder": encoder, "head": head}
        self.rates = {"encoder": config.peak_rate * config.encoder_share, "head": config.peak_rate}
        self.ema = Ema({"encoder": encoder, "head": head}, 0.99)
        self.per_epoch = -(-len(samples.regions) // config.batch)
        self.steps, self.volumes = config.epochs * self.per_epoch, config.batch
        self.truth, self.weight = torch.from_numpy(samples.truth).float(), torch.from_numpy(samples.weight).float()
        self.balance, self.known = positive_weight.to(device), known_a_case(self.truth, self.weight)

    def begin(self, start: int, end: int) -> None:
        """Nothing is kept between steps."""

    def step(self, step: int) -> dict[str, Tensor]:
        config, device = self.config, self.device
        epoch, place = divmod(step, self.per_epoch)
        order = np.random.default_rng([config.seed, epoch]).permutation(len(self.samples.regions))
        chosen = order[place * config.batch : (place + 1) * config.batch]
        keys = [[config.seed, step, int(i)] for i in chosen]
        regions = [self.samples.regions[i] for i in chosen]
        if config.augment:
            images = torch.stack([augmented(r, config.view, key) for r, key in zip(regions, keys, strict=True)])
        else:
            images = torch.stack([torch.from_numpy(r.load().astype(np.float32)) for r in regions])
        images = images[:, None].to(device)
        blocks = blocks_of(self.encoder, images, self.head.blocks, detail=self.head.detail, noising=self.config.noising)
        logits = ask(self.head, blocks, images)
        truth, weight = self.truth[chosen].to(device), self.weight[chosen][:, None].to(device)
        loss = masked_bce(logits, truth, self.balance, weight, known_a_case=self.known)
        loss.backward()
        return {"loss": loss.detach()}

    def logs(self, done: int, schedule: Schedule) -> bool:
        return super().logs(done, schedule) or done % self.per_epoch == 0

    def told(self, done: int, row: Mapping[str, float], schedule: Schedule) -> str:
        epoch = -(-done // self.per_epoch)
        return f"{self.config.view} epoch {epoch}/{self.config.epochs}  {super().told(done, row, schedule)}"


def augmented(region: SeriesRegion, view: View, key: Sequence[int]) -> Tensor:
    """A region (D, H, W) as another scanner or patient might give it: mirrored, shifted, brighter, noisier.

    Mirrored left to right in the world, so that a right joint becomes a left one and medial stays medial.
    """
    rng = np.random.default_rng(list(key))
    image = torch.from_numpy(region.load().astype(np.float32))
    if rng.random() < 0.5:
        image = image.flip(left_to_right(view))
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
