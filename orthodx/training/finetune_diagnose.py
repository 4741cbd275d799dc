"""Fine-tuning for diagnosis: stage I a view, stage II over the views and the record, then calibration.

One call from studies and labels to weights and thresholds; features of frozen encoders are computed once.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from sklearn.metrics import roc_auc_score
from torch import Tensor

from orthodx.errors import UsageError
from orthodx.grid.region import RegionSpec
from orthodx.grid.spec import GridSpec
from orthodx.joints import KNEE, View
from orthodx.networks import ENCODERS
from orthodx.networks.diagnoser import Diagnoser
from orthodx.networks.encoder import ViewEncoder
from orthodx.networks.record_coding import RecordCoding
from orthodx.studies.manifest import write_table
from orthodx.studies.run_record import write_json
from orthodx.studies.writing import atomic
from orthodx.training import checkpoint, fusion_stage, view_stage
from orthodx.training.calibration import fit_temperature, fit_thresholds, positive_weights
from orthodx.training.fusion_stage import StudyRows
from orthodx.training.splits import Split, label_fraction, refuse_leakage, split
from orthodx.training.study_cases import StudyCase, open_cases
from orthodx.training.summaries import Summaries

METRICS = ("stage", "view", "step", "label", "loss", "gradient", "studies", "positives", "auroc")


@dataclass(frozen=True, kw_only=True)
class DiagnoseConfig:
    """One fine-tuning for diagnosis.

    encoder_share: learning rate of the encoders relative to the heads': 0 a linear probe, 0.05 the published partial
    fine-tuning, 1 full. fraction: share of the training labels used. validation: share of the patients that
    calibrates, unless studies are given for it. views: read; a model of one view has one encoder. region: what is
    read of a series. hold_out: centers left out.
    """

    encoder: str = "ortho"
    preset: str = "small"
    head: str = "evidence"
    fusion: str = "gating"
    labels: tuple[str, ...] = tuple(KNEE.abnormalities)
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


@dataclass(frozen=True, eq=False)
class Fitted:
    """A fitted diagnosis. encoders: weights file a view; those of a probe are where they were."""

    model: Diagnoser
    encoders: dict[View, Path]
    temperatures: dict[str, float]
    thresholds: dict[str, float]
    counts: dict[str, int]


@dataclass(frozen=True, eq=False)
class _View:
    """What stage I gives of one view: per study and series a vector (W,) and out-of-fold logits (L,)."""

    vectors: list[list[Tensor]]
    outside: list[list[Tensor]]


def finetune_diagnose(
    config: DiagnoseConfig, studies: Sequence[Path], out: Path, *, device: torch.device,
    encoders: dict[View, Path], head: Path | None = None, labels: Path | None = None, ehr: Path | None = None,
    validation: Sequence[Path] = (), cache: Path | None = None, resume: bool = False,
    say: Callable[[str], None] = print,
) -> Fitted:  # fmt: skip
    """Fit encoders (unless probed), heads, fusion, record branch, temperatures and thresholds.

    studies, validation: as `open_cases` reads them. encoders: starting weights; a view without any starts from noise.
    head: weights of the head's fixed part to start from, such as evidence maps. cache: folder of regions and frozen
    features, `out` without it. Writes `metrics.csv`, checkpoints and `validation.csv`, the calibrated predictions of
    the validation studies, into `out`. Raises `UsageError` where training
    and validation share a patient or an image.
    """
    _keep_options(out, config, resume)
    cache = cache or out
    known = [c for c in _open(config, studies, cache, labels, ehr, say) if not np.isnan(c.labels).all()]
    if not known:
        raise UsageError("every label of every study is blank", hint="fill in labels.csv with 1 and 0")
    known = [c for c in known if set(c.views) & set(config.views)]
    if not known:
        raise UsageError(f"no study has a series of {', '.join(config.views)}", hint="give other --view")
    train, held = _parts(config, known, _open(config, validation, cache, None, ehr, say) if validation else [], say)
    say(f"{len(train)} studies train, {len(held)} calibrate; fixed until here: seed {config.seed}")
    cls = ENCODERS.get(config.encoder)
    coding = None if ehr is None else RecordCoding.fit([c.record for c in train])
    plain = cls(cls.preset(config.preset))
    torch.manual_seed(config.seed)
    model = Diagnoser(
        Diagnoser.config_for(plain, config.labels, head=config.head, fusion=config.fusion, coding=coding)
    ).to(device)
    run = _Run(config, model, train, held, out, cache / "features", device, resume, say)
    weights: dict[View, Path] = {}
    by_view: dict[View, _View] = {}
    for view in config.views:
        if any(view in c.views for c in train):
            weights[view], by_view[view] = _stage_one(run, view, encoders.get(view), head)
    model.to("cpu")
    truth = np.stack([c.labels for c in train])
    lines = _rows(train, by_view)
    vectors = fusion_stage.stacked(
        {v: one.vectors[: len(train)] for v, one in by_view.items()}, lines, (model.head(View.SAGITTAL).width,)
    )
    outside = fusion_stage.stacked({v: one.outside for v, one in by_view.items()}, lines, (len(config.labels),))
    patient = _patients(train)[lines.study]
    fused = fusion_stage.fit_fusion(
        model, vectors, outside, lines, truth[lines.study], patient, seed=config.seed
    )  # fmt: skip
    fusion_stage.fit_record(
        model, fused, [train[i].record for i in lines.study], truth[lines.study], lines.weight, seed=config.seed
    )
    model.eval()
    held, logits = _validation_logits(model, held, {v: one.vectors[len(train) :] for v, one in by_view.items()})
    answer = np.stack([c.labels for c in held])
    temperatures = fit_temperature(logits, answer)
    probability = 1 / (1 + np.exp(-logits / temperatures))
    thresholds = fit_thresholds(probability, answer, config.labels, say=say)
    run.rows.extend(_scores("fusion", "", logits, answer, config.labels))
    write_table(out / "metrics.csv", run.rows, METRICS)
    known_rows = [
        {"patient_id": c.patient_id, "study_id": c.study_id, **dict(zip(config.labels, p.round(6), strict=True))}
        for c, p in zip(held, probability, strict=True)
    ]
    write_table(out / "validation.csv", known_rows, ("patient_id", "study_id", *config.labels))
    scored = [r["auroc"] for r in run.rows if r["stage"] == "fusion" and r["auroc"] != ""]
    say(f"validation AUROC, mean of {len(scored)} labels: {np.mean(scored):.3f}" if scored else "no label to validate")
    names = dict(zip(config.labels, map(float, temperatures), strict=True))
    return Fitted(model, weights, names, thresholds, {"train": len(train), "validation": len(held)})


def _keep_options(out: Path, config: DiagnoseConfig, resume: bool) -> None:
    """Refuses to start over another run, or to go on with other options."""
    path = out / "options.json"
    options = json.loads(json.dumps(asdict(config)))
    checkpoint.keep_or_refuse(path, resume)
    if path.exists() and json.loads(path.read_text(encoding="utf-8")) != options:
        raise UsageError(f"{path} was written with other options", hint="use them again, or a new --out")
    out.mkdir(parents=True, exist_ok=True)
    write_json(path, options)


def _open(
    config: DiagnoseConfig, studies: Sequence[Path], cache: Path, labels: Path | None, ehr: Path | None,
    say: Callable[[str], None],
) -> list[StudyCase]:  # fmt: skip
    return open_cases(
        studies, config.labels, config.grid, config.region, cache / "regions", labels=labels, ehr=ehr, say=say
    )


def _parts(
    config: DiagnoseConfig, known: list[StudyCase], given: list[StudyCase], say: Callable[[str], None]
) -> tuple[list[StudyCase], list[StudyCase]]:
    """Training and validation studies, patients apart, and of the first the share whose labels are used."""
    cases = [c.case for c in known]
    if given:
        away = np.array([c.center in config.hold_out for c in cases])
        parts = Split(np.flatnonzero(~away), np.arange(0), np.flatnonzero(away))
        refuse_leakage([cases[i] for i in parts.train], [c.case for c in given])
        held = given
    else:
        parts = split(cases, config.validation, config.seed, config.hold_out, say=say)
        held = [known[i] for i in parts.validation]
    train = [known[i] for i in parts.train]
    chosen = label_fraction([c.case for c in train], config.fraction, config.seed)
    return [train[i] for i in chosen], held


@dataclass(frozen=True, eq=False)
class _Run:
    """What every view's stage I works with. rows: of `metrics.csv`, added to."""

    config: DiagnoseConfig
    model: Diagnoser
    train: list[StudyCase]
    held: list[StudyCase]
    out: Path
    features: Path
    device: torch.device
    resume: bool
    say: Callable[[str], None]
    rows: list[dict[str, Any]] = field(default_factory=list)


def _stage_one(run: _Run, view: View, start: Path | None, head_start: Path | None) -> tuple[Path, _View]:
    """Fit one view; returns the encoder's weights file and the view's vectors of training, then held studies."""
    config, train, held, device = run.config, run.train, run.held, run.device
    cls, head = ENCODERS.get(config.encoder), run.model.head(view)
    torch.manual_seed(config.seed)
    encoder: ViewEncoder = cls(cls.preset(config.preset)).to(device)
    if start is not None:
        checkpoint.start_from(encoder, start)
    if head_start is not None:
        checkpoint.start_head(head, head_start, view)
    seen = [(i, region) for i, c in enumerate(train) for region in c.views.get(view, ())]
    truth = np.stack([train[i].labels for i, _ in seen])
    count = np.array([len(train[i].views[view]) for i, _ in seen])
    samples = view_stage.ViewSamples([r for _, r in seen], truth, 1 / count, _patients(train)[[i for i, _ in seen]])
    balance = torch.from_numpy(positive_weights(truth))
    if config.encoder_share > 0:
        sample = samples.regions[:: max(1, len(samples.regions) // 48)]
        head.fit_scale(torch.stack(Summaries(run.features, encoder, head, device)(sample)).to(device))
        view_stage.fit_end_to_end(
            view_stage.ViewConfig(
                view=view, epochs=config.epochs, batch=config.batch, peak_rate=config.peak_rate,
                encoder_share=config.encoder_share, seed=config.seed,
            ),
            encoder.train(), head.train(), samples, run.out / f"stage_one_{view}.safetensors", device=device,
            positive_weight=balance, resume=run.resume, say=run.say,
            log=lambda row: run.rows.append({"stage": "view", "view": str(view), **row}),
        )  # fmt: skip
    path = start
    if config.encoder_share > 0 or path is None:
        path = run.out / f"encoder_{view}.safetensors"
        with atomic(path) as temporary:
            save_file({k: v.detach().cpu().contiguous() for k, v in encoder.state_dict().items()}, temporary)
    run.say(f"{view}: features of {sum(len(c.views.get(view, ())) for c in (*train, *held))} series")
    read = Summaries(run.features, encoder, head.eval(), device)
    studies = [read(c.views.get(view, ())) for c in (*train, *held)]
    head.to("cpu")
    summaries = torch.stack([s for one in studies[: len(train)] for s in one])
    head.fit_scale(summaries)
    view_stage.fit_pooling(head, summaries, samples, seed=config.seed, positive_weight=balance)
    with torch.inference_mode():
        vectors = [[head.vector(s[None])[0] for s in one] for one in studies]
    flat = torch.stack([v for one in vectors[: len(train)] for v in one]).numpy()
    folds = fusion_stage.folds_of(samples.patient, config.seed)
    coefficients, intercepts, outside = view_stage.fit_linear(flat, truth, samples.weight, folds)
    view_stage.set_classifier(head, coefficients, intercepts)
    by_study: list[list[Tensor]] = [[] for _ in train]
    for (i, _), logits in zip(seen, outside, strict=True):
        by_study[i].append(torch.from_numpy(logits).float())
    own = [(c.labels, v) for c, v in zip(held, vectors[len(train) :], strict=True) if v]
    if own:
        with torch.inference_mode():
            logits = torch.stack([head.classifier(torch.stack(v)).mean(0) for _, v in own]).numpy()
        run.rows.extend(_scores("view", str(view), logits, np.stack([y for y, _ in own]), config.labels))
    return path, _View(vectors, by_study)


def _patients(cases: Sequence[StudyCase]) -> np.ndarray:
    """(N,) index of the patient."""
    return np.unique([c.patient_id or f"study {c.study_id}" for c in cases], return_inverse=True)[1]


def _rows(cases: Sequence[StudyCase], by_view: dict[View, _View]) -> StudyRows:
    return fusion_stage.combinations([[len(c.views.get(v, ())) if v in by_view else 0 for v in View] for c in cases])


def _validation_logits(
    model: Diagnoser, held: list[StudyCase], vectors: dict[View, list[list[Tensor]]]
) -> tuple[list[StudyCase], np.ndarray]:
    """The held studies that have a view that was trained, and their logits (N, L), combinations averaged."""
    counts = [[len(vectors[v][i]) if v in vectors else 0 for v in View] for i in range(len(held))]
    usable = [i for i, numbers in enumerate(counts) if any(numbers)]
    if not usable:
        raise UsageError("no validation study has a view that was trained", hint="give other --validation studies")
    lines = fusion_stage.combinations([counts[i] for i in usable])
    chosen = {v: [one[i] for i in usable] for v, one in vectors.items()}
    stacked = fusion_stage.stacked(chosen, lines, (model.head(View.SAGITTAL).width,))
    with torch.inference_mode():
        image = model.image_logits(stacked, torch.from_numpy(lines.present))
        logits = model.mix(image, [held[usable[i]].record for i in lines.study])
    return [held[i] for i in usable], fusion_stage.by_study(logits.numpy(), lines)


def _scores(
    stage: str, view: str, logits: np.ndarray, truth: np.ndarray, labels: Sequence[str]
) -> list[dict[str, Any]]:
    """AUROC of every label on the validation studies that know it; blank where there is one class."""
    out = []
    for i, label in enumerate(labels):
        known = ~np.isnan(truth[:, i])
        y = truth[known, i] == 1
        auroc = float(roc_auc_score(y, logits[known, i])) if y.any() and not y.all() else ""
        out.append({"stage": stage, "view": view, "label": label, "studies": int(known.sum()),
                    "positives": int(y.sum()), "auroc": auroc})  # fmt: skip
    return out
