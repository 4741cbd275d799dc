"""Fine-tuning for diagnosis: stage I a view, stage II over the views and the record, then calibration.

One call from studies and labels to weights and thresholds; features of frozen encoders are computed once.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from orthodx.errors import UsageError
from orthodx.joints import View
from orthodx.networks import ENCODERS, HEADS, Wanted
from orthodx.networks.diagnosis.combinations import StudyRows, by_study, stacked, study_rows
from orthodx.networks.diagnosis.diagnoser import Diagnoser
from orthodx.networks.diagnosis.record_coding import RecordCoding
from orthodx.networks.heads.pooled import DiagnoseHead
from orthodx.requests import GroupBy
from orthodx.studies.labels import RECORDS_FILE
from orthodx.studies.readable import counted
from orthodx.studies.run_record import sha256, write_json
from orthodx.studies.tables import write_table
from orthodx.training import checkpoint
from orthodx.training.diagnosis import fusion_stage, head_stage
from orthodx.training.diagnosis.calibration import fit_temperature, fit_thresholds
from orthodx.training.diagnosis.splits import Split, label_fraction, person_index, refuse_leakage, split
from orthodx.training.diagnosis.stage_one import DiagnosisConfig, ViewResult, ViewRuns, fit_view, scores
from orthodx.training.diagnosis.study_cases import (
    StudyCase,
    beside,
    labels_in,
    open_cases,
    others_table,
    table_of,
)
from orthodx.training.left_out import Leave
from orthodx.training.starting import Start, head_start

UNTAUGHT = 0.999999  # threshold of a label without a known answer: its probability says nothing
METRICS = ("stage", "view", "step", "label", "loss", "gradient", "studies", "positives", "auroc")
Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Cohort:
    """What a diagnosis is fitted to.

    studies, validation: as `open_cases` reads them. labels, ehr: tables; without them those beside the studies count,
    and no record is read. only: table of those of `studies` that count. group_by: what makes
    NIfTI files without a manifest one study. link: what `convert --link` wrote. Labels and records of `validation` lie
    beside it, or in `labels` and `ehr`. cache: folder of regions and frozen features, the run's own without it.
    """

    studies: Sequence[Path]
    validation: Sequence[Path] = ()
    only: Path | None = None
    group_by: GroupBy | None = None
    link: Path | None = None
    labels: Path | None = None
    ehr: Path | None = None
    cache: Path | None = None


@dataclass(frozen=True, eq=False)
class Fitted:
    """A fitted diagnosis.

    config: with the labels it was fitted to. encoders: weights file a view; those of a probe are where they were.
    inputs: hash of all it was fitted to. synthetic_only: all studies say that orthodx synth made them.
    """

    config: DiagnosisConfig
    model: Diagnoser
    encoders: dict[View, Path]
    temperatures: dict[str, float]
    thresholds: dict[str, float]
    counts: dict[str, int]
    inputs: str
    synthetic_only: bool = False


def fit_diagnosis(
    config: DiagnosisConfig,
    cohort: Cohort,
    out: Path,
    *,
    device: torch.device,
    start: Start | None = None,
    resume: bool = False,
    say: Say = print,
    leave: Leave = lambda one: None,
) -> Fitted:
    """Fit encoders (unless probed), heads, fusion, record branch, temperatures and thresholds.

    start: what encoders and heads begin with; a view without any starts from noise. Writes `metrics.csv`, checkpoints
    and `validation.csv`, the calibrated predictions of the validation studies, into `out`. Raises `UsageError` where
    training and validation share a patient or an image, and where `out` holds another run.
    """
    start = start or Start()
    labels = table_of(cohort.studies, cohort.labels)
    config = replace(config, labels=config.labels or labels_in(labels, config.joint, say, cohort.link))
    plain = _plain_diagnoser(config, start)
    checkpoint.keep_or_refuse(out / checkpoint.OPTIONS, resume)
    train, held = _cases(config, cohort, labels, cohort.cache or out, say, leave)
    inputs = _inputs(train, held, start.files)
    _keep_options(out, config, inputs)
    say(f"{counted(len(train), 'studies train')}, {len(held)} calibrate; fixed until here: seed {config.seed}")
    coding = None if cohort.ehr is None else _coding(train, cohort.ehr, say)
    torch.manual_seed(config.seed)
    model = Diagnoser(replace(plain, coding=coding)).to(device)
    features = (cohort.cache or out) / "features"
    run = ViewRuns(config, model, train, held, out, features, device, start, resume, say)
    fitted = {v: fit_view(run, v) for v in config.views if any(v in c.views for c in train)}
    model.to("cpu")
    _fit_together(run, {v: result for v, (_, result) in fitted.items()})
    temperatures, thresholds = _calibrated(run, {v: r.vectors[len(train) :] for v, (_, r) in fitted.items()})
    write_table(out / "metrics.csv", run.rows, METRICS)
    scored = [r["auroc"] for r in run.rows if r["stage"] == "fusion" and r["auroc"] != ""]
    say(f"validation AUROC, mean of {len(scored)} labels: {np.mean(scored):.3f}" if scored else "no label to validate")
    counts = {"train": len(train), "validation": len(run.held)}
    weights = {v: path for v, (path, _) in fitted.items()}
    synthetic = all(case.synthetic for case in (*train, *held))
    return Fitted(config, model, weights, temperatures, thresholds, counts, inputs, synthetic)


def _plain_diagnoser(config: DiagnosisConfig, start: Start) -> Any:
    """The diagnosis' configuration; weights that do not fit are refused before anything is read."""
    cls = ENCODERS.get(config.encoder)
    encoder = cls(cls.preset(config.preset))
    fine, mm, region = config.region.detail, config.grid.pixel_mm, config.region
    seen = (region.slices, region.rows, region.columns)
    wanted = Wanted.of(config.joint, config.labels, detail=fine, pixel_mm=mm, shape=seen)
    own = Diagnoser.config_for(
        encoder, config.labels, wanted, head=config.head, fusion=config.fusion, blocks=config.blocks
    )
    head_stage.refuse_unfit(cast(DiagnoseHead, HEADS.get(own.head)(own.head_config)), config.stage_one)
    for path in start.encoders.values():
        checkpoint.start_from(encoder, path)
    for view in start.encoders:
        head_start(start, config.head, config.labels, view)
    return own


def _keep_options(out: Path, config: DiagnosisConfig, inputs: str) -> None:
    """Refuses to go on with other options, studies, labels, records or starting weights than the run began with."""
    path = out / checkpoint.OPTIONS
    options = json.loads(json.dumps({**asdict(config), "inputs": inputs}))
    if path.exists():
        new, old = checkpoint.fixed(options), checkpoint.fixed(json.loads(path.read_text(encoding="utf-8")))
        differ = sorted(k for k in new.keys() | old.keys() if new.get(k) != old.get(k))
        if differ:
            raise UsageError(
                f"{path} was written with other options ({', '.join(differ)})", hint="use them again, or a new --out"
            )
    write_json(path, options)


def _inputs(train: Sequence[StudyCase], held: Sequence[StudyCase], starts: Mapping[str, Path]) -> str:
    """SHA-256 of everything a run is fitted to and starts from."""
    digest = hashlib.sha256()
    for case in (*train, *held):
        images = {str(view): [one.content for one in regions] for view, regions in case.views.items()}
        digest.update(repr((case.study_id, case.patient_id, case.labels.tolist(), case.record, images)).encode())
    for name, path in starts.items():
        digest.update(f"{name} {sha256(path)}".encode())
    return digest.hexdigest()


def _coding(train: Sequence[StudyCase], ehr: Path, say: Say) -> RecordCoding:
    """The coding of the training records; raises `UsageError` where no training study has one."""
    without = [c.study_id for c in train if c.record is None]
    if len(without) == len(train):
        raise UsageError(f"{ehr.name} has no record of any training study", hint="study_id must agree with the studies")
    if without:
        say(f"{len(without)} training studies have no record in {ehr.name}, such as '{without[0]}'")
    return RecordCoding.fit([c.record for c in train])


def _cases(
    config: DiagnosisConfig, cohort: Cohort, labels: Path, cache: Path, say: Say, leave: Leave
) -> tuple[list[StudyCase], list[StudyCase]]:
    """The studies that train and those that calibrate, patients apart, of known labels and views."""

    def opened(studies: Sequence[Path], table: Path, ehr: Sequence[Path], only: Path | None = None) -> list[StudyCase]:
        regions = cache / "regions"
        own = (config.labels, config.grid, config.region, regions)
        more: dict[str, Any] = {
            "only": only,
            "group_by": cohort.group_by,
            "link": cohort.link,
            "say": say,
            "leave": leave,
        }
        return open_cases(studies, *own, labels=table, ehr=ehr, **more)

    tables = [] if cohort.ehr is None else [cohort.ehr]
    known = [c for c in opened(cohort.studies, labels, tables, cohort.only) if not np.isnan(c.labels).all()]
    if not known:
        raise UsageError("every label of every study is blank", hint="fill in labels.csv with 1 and 0")
    known = [c for c in known if set(c.views) & set(config.views)]
    if not known:
        raise UsageError(f"no study has a series of {', '.join(config.views)}", hint="give other --view")
    given: list[StudyCase] = []
    if cohort.validation:
        tables += [path for path in (beside(cohort.validation, RECORDS_FILE),) if tables and path]
        own = others_table(cohort.validation, cohort.labels, say)
        given = opened(cohort.validation, table_of(cohort.validation, own), tables)
    return _parts(config, known, given, say)


def _parts(
    config: DiagnosisConfig, known: list[StudyCase], given: list[StudyCase], say: Say
) -> tuple[list[StudyCase], list[StudyCase]]:
    """Training and validation studies, patients apart, and of the first the share whose labels are used."""
    cases = [c.case for c in known]
    if given:
        strangers = sorted(set(config.hold_out) - {case.center for case in cases})
        if strangers:
            raise UsageError(f"no training study is of center '{strangers[0]}'", hint="leave --hold-out-center out")
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


def _fit_together(run: ViewRuns, by_view: Mapping[View, ViewResult]) -> None:
    """Stage II: the fusion of the views, then the record's share, fitted in place."""
    config, model, train = run.config, run.model, run.train
    lines = study_rows([[len(c.views.get(v, ())) if v in by_view else 0 for v in View] for c in train])
    truth = np.stack([c.labels for c in train])[lines.study]
    width = model.head(View.SAGITTAL).width
    vectors = stacked({v: one.vectors[: len(train)] for v, one in by_view.items()}, lines, (width,))
    outside = stacked({v: one.outside for v, one in by_view.items()}, lines, (len(config.labels),))
    patient = person_index([c.case for c in train])[lines.study]
    fused = fusion_stage.fit_fusion(model, vectors, outside, lines, truth, patient, seed=config.seed)
    records = [train[i].record for i in lines.study]
    fusion_stage.fit_record(model, fused, records, truth, lines.weight, patient, seed=config.seed)
    model.eval()


def _calibrated(run: ViewRuns, vectors: Mapping[View, list[list[Tensor]]]) -> tuple[dict[str, float], dict[str, float]]:
    """Temperature and threshold of every label on the held studies, whose predictions are written."""
    config, say = run.config, run.say
    combined, lines = _validation_logits(run, vectors)
    answer = np.stack([c.labels for c in run.held])
    logits = by_study(combined, lines)
    temperatures = fit_temperature(logits, answer)
    probability = 1 / (1 + np.exp(-by_study(combined / temperatures, lines)))  # as `diagnose` does
    thresholds = fit_thresholds(probability, answer, config.labels, say=say)
    taught = ~np.isnan(np.stack([c.labels for c in run.train])).all(0)
    for label in np.array(config.labels)[~taught].tolist():
        thresholds[label] = UNTAUGHT
        say(f"{label}: no training study knows it, so it is never called positive")
    run.rows.extend(scores("fusion", "", logits, answer, config.labels))
    rows = [
        {"patient_id": c.patient_id, "study_id": c.study_id, **dict(zip(config.labels, p.round(6), strict=True))}
        for c, p in zip(run.held, probability, strict=True)
    ]
    write_table(run.out / "validation.csv", rows, ("patient_id", "study_id", *config.labels))
    return dict(zip(config.labels, map(float, temperatures), strict=True)), thresholds


def _validation_logits(run: ViewRuns, vectors: Mapping[View, list[list[Tensor]]]) -> tuple[np.ndarray, StudyRows]:
    """Logits (R, L) of the combinations of the held studies; those without a view that was trained leave `run.held`."""
    model, held = run.model, run.held
    counts = [[len(vectors[v][i]) if v in vectors else 0 for v in View] for i in range(len(held))]
    usable = [i for i, numbers in enumerate(counts) if any(numbers)]
    if not usable:
        raise UsageError("no validation study has a view that was trained", hint="give other --validation studies")
    lines = study_rows([counts[i] for i in usable])
    chosen = {v: [one[i] for i in usable] for v, one in vectors.items()}
    run.held[:] = [held[i] for i in usable]
    together = stacked(chosen, lines, (model.head(View.SAGITTAL).width,))
    with torch.inference_mode():
        image = model.image_logits(together, torch.from_numpy(lines.present))
        logits = model.mix(image, [run.held[i].record for i in lines.study])
    return logits.numpy(), lines
