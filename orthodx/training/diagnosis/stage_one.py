"""Stage I of a diagnosis, a view at a time: from starting weights to vectors and out-of-fold logits of every series."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from orthodx.grid.region import RegionSpec
from orthodx.grid.spec import GridSpec
from orthodx.joints import DEFAULT_JOINT, Joint, View
from orthodx.networks import ENCODERS
from orthodx.networks.diagnosis.diagnoser import Diagnoser
from orthodx.networks.encoders.encoder import ViewEncoder
from orthodx.networks.reading import CLEAN, Noising
from orthodx.studies.writing import atomic
from orthodx.training import checkpoint
from orthodx.training.diagnosis import fusion_stage, head_stage, view_stage
from orthodx.training.diagnosis.calibration import positive_weights
from orthodx.training.diagnosis.recipe import StageOne
from orthodx.training.diagnosis.splits import person_index
from orthodx.training.diagnosis.study_cases import StudyCase
from orthodx.training.diagnosis.summaries import Summaries
from orthodx.training.starting import Start, head_start


@dataclass(frozen=True, kw_only=True)
class DiagnosisConfig:
    """One fine-tuning for diagnosis.

    joint: whose abnormalities are learned. labels: which; without any, those that the table of labels has.
    encoder_share: learning rate of the encoders relative to the heads': 0 a linear probe, 0.05 the published partial
    fine-tuning, 1 full. fraction: share of the training labels used. validation: share of the patients that
    calibrates, unless studies are given for it. views: read; a model of one view has one encoder. region: what is
    read of a series. hold_out: centers left out. blocks: of the encoder, that the heads pool, one for all or one a
    view, if not their own choice. noising: of images. stage_one: how encoders and heads are fitted.
    """

    encoder: str = "ortho"
    preset: str = "small"
    head: str = "evidence"
    fusion: str = "gating"
    joint: Joint = DEFAULT_JOINT
    labels: tuple[str, ...] = ()
    views: tuple[View, ...] = tuple(View)
    epochs: int = 5
    batch: int = 4
    peak_rate: float = 5e-4
    encoder_share: float = 0.05
    fraction: float = 1.0
    validation: float = 0.2
    hold_out: tuple[str, ...] = ()
    seed: int = 0
    grid: GridSpec = field(default_factory=GridSpec)
    region: RegionSpec = field(default_factory=RegionSpec)
    blocks: tuple[str, ...] = ()
    noising: Noising = CLEAN
    stage_one: StageOne = field(default_factory=StageOne)


@dataclass(frozen=True, eq=False)
class ViewResult:
    """What stage I gives of one view: per study and series a vector (W,) and out-of-fold logits (L,)."""

    vectors: list[list[Tensor]]
    outside: list[list[Tensor]]


@dataclass(frozen=True, eq=False)
class ViewRuns:
    """What every view's stage I works with. rows: of `metrics.csv`, added to."""

    config: DiagnosisConfig
    model: Diagnoser
    train: list[StudyCase]
    held: list[StudyCase]
    out: Path
    features: Path
    device: torch.device
    start: Start
    resume: bool
    say: Callable[[str], None]
    rows: list[dict[str, Any]] = field(default_factory=list)


def fit_view(run: ViewRuns, view: View) -> tuple[Path, ViewResult]:
    """Fit one view; returns the encoder's weights file and the view's vectors of training, then held studies."""
    config, device = run.config, run.device
    cls, head = ENCODERS.get(config.encoder), run.model.head(view)
    torch.manual_seed(config.seed)
    encoder: ViewEncoder = cls(cls.preset(config.preset)).to(device)
    if view in run.start.encoders:
        checkpoint.start_from(encoder, run.start.encoders[view])
    if (begin := head_start(run.start, config.head, config.labels, view)) is not None:
        checkpoint.fill_head(head, begin, str(begin.path))
    seen = [(i, region) for i, c in enumerate(run.train) for region in c.views.get(view, ())]
    studies = [i for i, _ in seen]
    samples = view_stage.ViewSamples(
        regions=[region for _, region in seen],
        truth=np.stack([run.train[i].labels for i in studies]),
        weight=1 / np.array([len(run.train[i].views[view]) for i in studies]),
        patient=person_index([c.case for c in run.train])[studies],
    )
    once = [c.labels for c in run.train if c.views.get(view)]  # however many series a study has, it counts once
    balance = torch.from_numpy(positive_weights(np.stack(once)))
    if not config.stage_one.balance:
        balance = torch.ones_like(balance)
    path = _fit_encoder(run, view, encoder, samples, balance)
    run.say(f"{view}: features of {sum(len(c.views.get(view, ())) for c in (*run.train, *run.held))} series")
    read = Summaries(run.features, encoder, head.eval(), device, config.noising.of(view))
    summaries = [read(c.views.get(view, ())) for c in (*run.train, *run.held)]
    head.to("cpu")
    return path, _fit_head(run, view, summaries, studies, samples, balance)


def _fit_encoder(
    run: ViewRuns, view: View, encoder: ViewEncoder, samples: view_stage.ViewSamples, balance: Tensor
) -> Path:
    """Train encoder and head end to end, unless the encoder is left alone; the file that has the encoder's weights."""
    config, head = run.config, run.model.head(view)
    if config.encoder_share > 0:
        # an encoder that begins from noise soon gives nothing like what it gives now
        if view in run.start.encoders and config.stage_one.standardise:
            sample = samples.regions[:: max(1, len(samples.regions) // 48)]
            read = Summaries(run.features, encoder, head, run.device, config.noising.of(view))
            head.fit_scale(torch.stack(read(sample)).to(run.device))
        losses = view_stage.fit_end_to_end(
            view_stage.ViewConfig(
                view=view,
                epochs=config.epochs,
                batch=config.batch,
                peak_rate=config.peak_rate,
                encoder_share=config.encoder_share,
                noising=config.noising.of(view),
                augment=config.stage_one.augment,
                seed=config.seed,
            ),
            encoder.train(),
            head.train(),
            samples,
            run.out / f"stage_one_{view}.safetensors",
            device=run.device,
            positive_weight=balance,
            resume=run.resume,
            say=run.say,
        )
        with losses.open(newline="") as file:
            kept = ("step", "loss", "gradient")
            rows = [{name: row[name] for name in kept} for row in csv.DictReader(file)]
        run.rows.extend({"stage": "view", "view": str(view), **row} for row in rows)
    elif view in run.start.encoders:
        return run.start.encoders[view]
    path = run.out / f"encoder_{view}.safetensors"
    with atomic(path) as temporary:
        save_file({k: v.detach().cpu().contiguous() for k, v in encoder.state_dict().items()}, temporary)
    return path


def _fit_head(
    run: ViewRuns,
    view: View,
    summaries: list[list[Tensor]],
    studies: list[int],
    samples: view_stage.ViewSamples,
    balance: Tensor,
) -> ViewResult:
    """Fit the head's pooling and its linear layer to summaries of training, then held studies.

    studies: the training study of each sample.
    """
    config, head, train, way = run.config, run.model.head(view), run.train, run.config.stage_one
    known = torch.stack([s for one in summaries[: len(train)] for s in one])
    if way.standardise:
        head.fit_scale(known)
    folds = fusion_stage.folds_of(samples.patient, config.seed)
    same: dict[str, Any] = {"seed": config.seed, "positive_weight": balance, "trained": config.encoder_share > 0}
    if way.descent:
        outside = head_stage.by_descent(head, known, samples, folds, way=way, **same)
    else:
        outside = head_stage.by_regression(head, known, samples, folds, **same)
    with torch.inference_mode():
        vectors = [[head.vector(s[None])[0] for s in one] for one in summaries]
    by_study: list[list[Tensor]] = [[] for _ in train]
    for i, logits in zip(studies, outside, strict=True):
        by_study[i].append(torch.from_numpy(logits).float())
    own = [(c.labels, v) for c, v in zip(run.held, vectors[len(train) :], strict=True) if v]
    if own:
        with torch.inference_mode():
            logits = torch.stack([head.classifier(torch.stack(v)).mean(0) for _, v in own]).numpy()
        run.rows.extend(scores("view", str(view), logits, np.stack([y for y, _ in own]), config.labels))
    return ViewResult(vectors, by_study)


def scores(stage: str, view: str, logits: np.ndarray, truth: np.ndarray, labels: Sequence[str]) -> list[dict[str, Any]]:
    """AUROC of every label on the validation studies that know it; blank where there is one class."""
    from sklearn.metrics import roc_auc_score  # takes a second to load

    out = []
    for i, label in enumerate(labels):
        known = ~np.isnan(truth[:, i])
        y = truth[known, i] == 1
        auroc = float(roc_auc_score(y, logits[known, i])) if y.any() and not y.all() else ""
        counts = {"studies": int(known.sum()), "positives": int(y.sum())}
        out.append({"stage": stage, "view": view, "label": label, **counts, "auroc": auroc})
    return out
