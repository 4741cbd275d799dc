"""Fine-tuning for diagnosis: stage I a view, stage II over the views and the record, then calibration.

One call from studies and labels to weights and thresholds; features of frozen encoders are computed once.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from orthodx.errors import UsageError
from orthodx.joints import View
from orthodx.networks import ENCODERS
from orthodx.networks.diagnoser import Diagnoser
from orthodx.networks.record_coding import RecordCoding
from orthodx.studies.labels import LABELS_FILE, RECORDS_FILE
from orthodx.studies.manifest import write_table
from orthodx.studies.run_record import sha256, write_json
from orthodx.training import checkpoint, fusion_stage
from orthodx.training.calibration import fit_temperature, fit_thresholds
from orthodx.training.fusion_stage import StudyRows
from orthodx.training.splits import Split, label_fraction, person_index, refuse_leakage, split
from orthodx.training.stage_one import DiagnoseConfig, ViewResult, ViewRuns, fit_view, scores
from orthodx.training.study_cases import StudyCase, beside, open_cases

OPTIONS = "options.json"
UNTAUGHT = 0.999999  # threshold of a label without a known answer: its probability says nothing
METRICS = ("stage", "view", "step", "label", "loss", "gradient", "studies", "positives", "auroc")


@dataclass(frozen=True, eq=False)
class Fitted:
    """A fitted diagnosis.

    encoders: weights file a view; those of a probe are where they were. inputs: hash of all it was fitted to.
    """

    model: Diagnoser
    encoders: dict[View, Path]
    temperatures: dict[str, float]
    thresholds: dict[str, float]
    counts: dict[str, int]
    inputs: str


def finetune_diagnose(
    config: DiagnoseConfig, studies: Sequence[Path], out: Path, *, device: torch.device,
    encoders: dict[View, Path], head: Mapping[str, Path] = MappingProxyType({}), labels: Path | None = None,
    ehr: Path | None = None, validation: Sequence[Path] = (), cache: Path | None = None, resume: bool = False,
    say: Callable[[str], None] = print,
) -> Fitted:  # fmt: skip
    """Fit encoders (unless probed), heads, fusion, record branch, temperatures and thresholds.

    studies, validation: as `open_cases` reads them. encoders: starting weights; a view without any starts from noise.
    head: weights of the head's fixed parts to start from, such as evidence maps, by prefix. cache: folder of regions
    and frozen features, `out` without it. Writes `metrics.csv`, checkpoints and `validation.csv`, the calibrated
    predictions of the validation studies, into `out`. Labels and records of `validation` lie beside it, or in `labels`
    and `ehr`.
    Raises `UsageError` where training and validation share a patient or an image, and where `out` holds another run.
    """
    cls = ENCODERS.get(config.encoder)
    plain = cls(cls.preset(config.preset))
    own = Diagnoser.config_for(
        plain,
        config.labels,
        head=config.head,
        fusion=config.fusion,
        detail=config.region.detail,
        pixel_mm=config.grid.pixel_mm,
    )
    for path in encoders.values():
        checkpoint.start_from(plain, path)  # weights of another network are refused before anything is read
    _refuse_region(config)
    checkpoint.keep_or_refuse(out / OPTIONS, resume)
    cache = cache or out
    tables = [] if ehr is None else [ehr]
    known = [c for c in _open(config, studies, cache, labels, tables, say) if not np.isnan(c.labels).all()]
    if not known:
        raise UsageError("every label of every study is blank", hint="fill in labels.csv with 1 and 0")
    known = [c for c in known if set(c.views) & set(config.views)]
    if not known:
        raise UsageError(f"no study has a series of {', '.join(config.views)}", hint="give other --view")
    given: list[StudyCase] = []
    if validation:
        tables += [path for path in (beside(validation, RECORDS_FILE),) if tables and path]
        given = _open(config, validation, cache, beside(validation, LABELS_FILE) or labels, tables, say)
    train, held = _parts(config, known, given, say)
    starts = {str(view): path for view, path in encoders.items()} | {
        f"head {part}": path for part, path in head.items()
    }
    inputs = _inputs(train, held, starts)
    _keep_options(out, config, inputs)
    say(f"{len(train)} studies train, {len(held)} calibrate; fixed until here: seed {config.seed}")
    coding = None if ehr is None else _coding(train, ehr, say)
    torch.manual_seed(config.seed)
    model = Diagnoser(replace(own, coding=coding)).to(device)
    run = ViewRuns(config, model, train, held, out, cache / "features", device, resume, say)
    weights: dict[View, Path] = {}
    by_view: dict[View, ViewResult] = {}
    for view in config.views:
        if any(view in c.views for c in train):
            weights[view], by_view[view] = fit_view(run, view, encoders.get(view), head)
    model.to("cpu")
    truth = np.stack([c.labels for c in train])
    lines = _rows(train, by_view)
    vectors = fusion_stage.stacked(
        {v: one.vectors[: len(train)] for v, one in by_view.items()}, lines, (model.head(View.SAGITTAL).width,)
    )
    outside = fusion_stage.stacked({v: one.outside for v, one in by_view.items()}, lines, (len(config.labels),))
    patient = person_index([c.case for c in train])[lines.study]
    fused = fusion_stage.fit_fusion(
        model, vectors, outside, lines, truth[lines.study], patient, seed=config.seed
    )  # fmt: skip
    fusion_stage.fit_record(
        model, fused, [train[i].record for i in lines.study], truth[lines.study], lines.weight, seed=config.seed
    )
    model.eval()
    held, combined, own_lines = _validation_logits(
        model, held, {v: one.vectors[len(train) :] for v, one in by_view.items()}
    )
    answer = np.stack([c.labels for c in held])
    logits = fusion_stage.by_study(combined, own_lines)
    temperatures = fit_temperature(logits, answer)
    probability = 1 / (1 + np.exp(-fusion_stage.by_study(combined / temperatures, own_lines)))  # as `diagnose` does
    thresholds = fit_thresholds(probability, answer, config.labels, say=say)
    for label in np.array(config.labels)[np.isnan(truth).all(0)].tolist():
        thresholds[label] = UNTAUGHT
        say(f"{label}: no training study knows it, so it is never called positive")
    run.rows.extend(scores("fusion", "", logits, answer, config.labels))
    write_table(out / "metrics.csv", run.rows, METRICS)
    known_rows = [
        {"patient_id": c.patient_id, "study_id": c.study_id, **dict(zip(config.labels, p.round(6), strict=True))}
        for c, p in zip(held, probability, strict=True)
    ]
    write_table(out / "validation.csv", known_rows, ("patient_id", "study_id", *config.labels))
    scored = [r["auroc"] for r in run.rows if r["stage"] == "fusion" and r["auroc"] != ""]
    say(f"validation AUROC, mean of {len(scored)} labels: {np.mean(scored):.3f}" if scored else "no label to validate")
    names = dict(zip(config.labels, map(float, temperatures), strict=True))
    return Fitted(model, weights, names, thresholds, {"train": len(train), "validation": len(held)}, inputs)


def _refuse_region(config: DiagnoseConfig) -> None:
    """Refuses a region that no encoder can read."""
    slices, rows, columns = config.region.slices, config.region.rows, config.region.columns
    n = config.grid.multiple
    if slices < 1 or min(rows, columns) < n or rows % n or columns % n:
        raise UsageError(f"a region of {slices} x {rows} x {columns} cannot be read",
                         hint=f"give one slice or more, and rows and columns that are multiples of {n}")  # fmt: skip


def _keep_options(out: Path, config: DiagnoseConfig, inputs: str) -> None:
    """Refuses to go on with other options, studies, labels, records or starting weights than the run began with."""
    path = out / OPTIONS
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


def _coding(train: Sequence[StudyCase], ehr: Path, say: Callable[[str], None]) -> dict[str, Any]:
    """The coding of the training records; raises `UsageError` where no training study has one."""
    without = [c.study_id for c in train if c.record is None]
    if len(without) == len(train):
        raise UsageError(f"{ehr.name} has no record of any training study", hint="study_id must agree with the studies")
    if without:
        say(f"{len(without)} training studies have no record in {ehr.name}, such as '{without[0]}'")
    return RecordCoding.fit([c.record for c in train]).to_json()


def _open(
    config: DiagnoseConfig, studies: Sequence[Path], cache: Path, labels: Path | None, ehr: Sequence[Path],
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


def _rows(cases: Sequence[StudyCase], by_view: dict[View, ViewResult]) -> StudyRows:
    return fusion_stage.study_rows([[len(c.views.get(v, ())) if v in by_view else 0 for v in View] for c in cases])


def _validation_logits(
    model: Diagnoser, held: list[StudyCase], vectors: dict[View, list[list[Tensor]]]
) -> tuple[list[StudyCase], np.ndarray, StudyRows]:
    """The held studies that have a view that was trained, and the logits (R, L) of their combinations."""
    counts = [[len(vectors[v][i]) if v in vectors else 0 for v in View] for i in range(len(held))]
    usable = [i for i, numbers in enumerate(counts) if any(numbers)]
    if not usable:
        raise UsageError("no validation study has a view that was trained", hint="give other --validation studies")
    lines = fusion_stage.study_rows([counts[i] for i in usable])
    chosen = {v: [one[i] for i in usable] for v, one in vectors.items()}
    stacked = fusion_stage.stacked(chosen, lines, (model.head(View.SAGITTAL).width,))
    with torch.inference_mode():
        image = model.image_logits(stacked, torch.from_numpy(lines.present))
        logits = model.mix(image, [held[usable[i]].record for i in lines.study])
    return [held[i] for i in usable], logits.numpy(), lines
