"""`orthodx models calibrate`: what a model has learned from, how good its masks are, from where on it is positive."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from orthodx.bundles.bundle import Bundle, Part, open_bundle, save_bundle
from orthodx.bundles.model_json import DiagnosisInfo, QualityCurve
from orthodx.errors import NoInputError, StudyError, UsageError
from orthodx.inference.patient_records import records_for
from orthodx.inference.predict import Segmenter
from orthodx.inference.quality import inputs_of_curve
from orthodx.inference.study_reader import StudyReader
from orthodx.networks.device import pick_device
from orthodx.networks.encoders.encoder import ViewEncoder
from orthodx.networks.familiarity import Familiarity
from orthodx.networks.weights import load_file
from orthodx.requests import Task
from orthodx.studies.discover import find_series, require_any
from orthodx.studies.keys import study_key
from orthodx.studies.labels import LABELS_FILE, Labels, read_labels
from orthodx.studies.readable import counted
from orthodx.studies.run_record import versions
from orthodx.studies.series import Series
from orthodx.studies.study import Study
from orthodx.studies.tables import write_table
from orthodx.studies.truths import Apart, truths_of
from orthodx.studies.volume import Volume
from orthodx.training.diagnosis.calibration import fit_thresholds
from orthodx.trials.familiar import Known, fit_curve, fit_familiarity
from orthodx.trials.rated_masks import USUAL, looks_at
from orthodx.trials.record_share import reweighed, weights_with

TABLE = "calibration.csv"
COLUMNS = ("study_id", "series_id", "view", "image", "structure", "strangeness", "agreement", "promised", "expected",
           "dice")  # fmt: skip
BLOCK = "up_2"  # of the encoder, or its last block where it has none of that name
MARGIN = {"segment": 1.65, "diagnose": 1.3}  # of the limit: a mask can be judged by eye, an answer cannot
FEWEST_SERIES = 12  # that can tell what is familiar
FEWEST_ANSWERS = 5  # studies of each class of a label that can tell where its threshold lies
Say = Callable[[str], None]


@dataclass(eq=False)
class _Fitted:
    """What a calibration adds to a bundle: weights by file, parts by task, curves by structure, changed thresholds."""

    weights: dict[str, dict[str, Tensor]] = field(default_factory=dict)
    familiarity: dict[str, Part] = field(default_factory=dict)
    quality: dict[str, QualityCurve] = field(default_factory=dict)
    diagnosis: DiagnosisInfo | None = None
    told: dict[str, Any] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)


def calibrate(
    model: str | Path,
    studies: Sequence[Path],
    out: Path,
    *,
    labels: Path | None = None,
    ehr: Path | None = None,
    task: Task | None = None,
    specificity: float = 0.9,
    device: str = "auto",
    seed: int = 0,
    say: Say = print,
) -> Bundle:
    """A copy of a bundle that knows what it has learned from, and whose answers are fitted to known studies.

    studies: such as the model is for, that it was not trained on, of two patients or more. With true masks (`truth/`,
    as `finetune` takes them) the quality of masks is fitted, on each series as it is and spoiled; with `labels` (else
    `labels.csv` beside the studies) the thresholds: the greatest Youden index with at least this specificity. task:
    the one to fit, the other stays as it is; else both. Writes the bundle and `calibration.csv` to `out`. Raises
    `UsageError` where nothing can be fitted, `NoInputError` where no study can be read.
    """
    bundle = open_bundle(model)
    if out.exists() and any(out.iterdir()):
        raise UsageError(f"{out} is not empty", hint="choose a new folder for the bundle")
    if not 0 < specificity < 1:
        raise UsageError(f"a specificity of {specificity:g} is impossible", hint="give one between 0 and 1, like 0.9")
    wanted = bundle.info.tasks if task is None else [str(task)]
    if task is not None and str(task) not in bundle.info.tasks:
        raise UsageError(f"{bundle.info.name} cannot {task}", hint="leave --task out, or choose another model")
    found = find_series(studies)
    require_any(found, list(studies))
    for bad in found.refused:
        say(f"{bad.source} left out: {bad.reason}")
    if len(set(map(_patient, found.studies))) < 2:
        raise UsageError("one patient calibrates nothing", hint="give studies of 30 patients or more")
    fitted, where = _Fitted(), pick_device(device)
    with torch.inference_mode():
        if "segment" in wanted:
            truths = truths_of(studies, found.series)
            _fit_masks(fitted, Segmenter(bundle, where), found.studies, truths, seed, say)
        if "diagnose" in wanted:
            reader = StudyReader(bundle, where)
            table = labels or _beside(studies)
            truth = None if table is None else read_labels(table, reader.labels)
            _fit_answers(fitted, reader, found.studies, truth, ehr, specificity, seed, say)
    if not fitted.familiarity:
        raise UsageError(f"{bundle.info.name} has encoders only", hint="calibrate a model that segments or diagnoses")
    return _written(bundle, fitted, out, {"studies": len(found.studies), "seed": seed})


def _fit_masks(
    fitted: _Fitted,
    segmenter: Segmenter,
    studies: Sequence[Study],
    truths: Mapping[str, Apart],
    seed: int,
    say: Say,
) -> None:
    """Each series segmented as it is, and spoiled where its truth is known; then familiarity and curves."""
    block = _block(segmenter.read.encoder(studies[0].series[0].view))
    looks = looks_at(segmenter, _volumes(studies, say), truths, block, seed, say)
    known = [Known(one.features, one.series.view, _patient(one.study)) for one in looks if one.image == USUAL]
    familiar, strangeness = _familiar(fitted, "segment", known, block, seed, say)
    own = iter(strangeness)
    strange = [float(next(own)) if one.image == USUAL else familiar.strangeness(one.features, one.series.view)
               for one in looks]  # fmt: skip
    for value, structure in segmenter.bundle.info.joint.names.items():
        rated = [(one, far) for one, far in zip(looks, strange, strict=True) if value in one.firm and value in one.dice]
        inputs = np.array([inputs_of_curve(one.firm[value], far) for one, far in rated])
        true = np.array([one.dice[value] for one, _ in rated])
        usual = np.array([one.image == USUAL for one, _ in rated], bool)
        curve = fit_curve(inputs, true, usual)
        if curve is not None:
            fitted.quality[structure] = curve
        for (one, far), x in zip(rated, inputs, strict=True):
            expected = "" if curve is None else round(curve.of(x.tolist()), 4)
            fitted.rows.append(one.row(value, structure) | {"strangeness": round(far, 3), "expected": expected})
    say(f"quality of {counted(len(fitted.quality), 'structures')} fitted to {counted(len(fitted.rows), 'masks')}")


def _fit_answers(
    fitted: _Fitted,
    reader: StudyReader,
    studies: Sequence[Study],
    truth: Labels | None,
    ehr: Path | None,
    specificity: float,
    seed: int,
    say: Say,
) -> None:
    """Each study answered; then familiarity, and where the truth of enough studies is known the record's share, with
    enough records, and thresholds.
    """
    records, known, answers, answered = records_for(ehr, reader), [], [], []
    block = ""
    for study in studies:
        readings = []
        for _, series, volume in _volumes([study], say):
            if not reader.knows(series.view):
                continue
            block = block or _block(reader.encoder(series.view))
            readings.append(reader.read(series.series_id, volume, series.view, with_heat=False, blocks=(block,)))
            known.append(Known(readings[-1].features[block], series.view, _patient(study)))
        if readings:
            answers.append(reader.answer(readings, records.get(study_key(study.study_id))))
            answered.append(study.study_id)
            say(f"{study.study_id}: answered")
    if not known:
        raise NoInputError("no study has a series of a view that the diagnosis reads")
    _familiar(fitted, "diagnose", known, block, seed, say)
    info = reader.info
    if truth is None:
        return
    values = truth.of(answered)
    counts = {name: [int((values[:, i] == there).sum()) for there in (1, 0)] for i, name in enumerate(reader.labels)}
    enough = [name for name in reader.labels if min(counts[name]) >= FEWEST_ANSWERS]
    chances, temperatures = np.stack([one.probability for one in answers]), info.temperatures
    if (anew := reweighed(reader, answers, values, enough)) is not None:
        chances, temperatures = anew.probability, anew.temperatures
        fitted.weights[info.file] = weights_with(reader, anew.shares)
        fitted.told["record_share"] = {name: round(share, 2) for name, share in anew.shares.items()}
        say("the record's share: " + ", ".join(f"{name} {anew.shares[name]:.0%}" for name in enough))
    columns = [reader.labels.index(name) for name in enough]
    unfit: list[str] = []
    before: dict[str, Any] = {"say": unfit.append, "specificity": specificity, "otherwise": reader.thresholds}
    fresh = fit_thresholds(chances[:, columns], values[:, columns], enough, **before)
    fitted.diagnosis = dataclasses.replace(info, thresholds=reader.thresholds | fresh, temperatures=temperatures)
    positives = {name: there for name, (there, _) in counts.items()}
    fitted.told |= {"answered": len(answered), "positives": positives, "specificity": specificity}
    kept = [name for name in reader.labels if name not in enough]
    few = f"; fewer than {FEWEST_ANSWERS} of a class, as they were: {', '.join(kept)}" if kept else ""
    for line in unfit:
        say(line)
    fit = counted(len(enough) - len(unfit), "labels")
    say(f"thresholds of {fit} fitted to {counted(len(answered), 'studies')}{few}")


def _familiar(
    fitted: _Fitted, task: str, known: Sequence[Known], block: str, seed: int, say: Say
) -> tuple[Familiarity, np.ndarray]:
    """The familiarity of a task, kept with what is fitted, and the strangeness of each known series to the others."""
    if len(known) < FEWEST_SERIES:
        raise UsageError(
            f"{counted(len(known), 'series')} calibrate nothing", hint="give studies of 30 patients or more"
        )
    familiar, strangeness = fit_familiarity(known, block, seed, MARGIN[task])
    file = f"familiarity_{task}.safetensors"
    fitted.familiarity[task] = Part("mahalanobis", familiar.config, file)
    fitted.weights[file] = dict(familiar.state_dict())
    fitted.told[f"{task}_series"] = len(known)
    strange = float((strangeness > 1).mean())
    say(f"{task}: {counted(len(known), 'series')} are familiar; {strange:.0%} of them would seem strange to the others")
    return familiar, strangeness


def _volumes(studies: Sequence[Study], say: Say) -> Iterator[tuple[Study, Series, Volume]]:
    for study in studies:
        for series in study.series:
            try:
                yield study, series, series.load()
            except StudyError as error:
                say(f"{series.series_id} left out: {error.line}")


def _block(encoder: ViewEncoder) -> str:
    names = list(encoder.block_channels)
    return BLOCK if BLOCK in names else names[-1]


def _patient(study: Study) -> str:
    return study.patient_id or study.study_id


def _beside(studies: Sequence[Path]) -> Path | None:
    tables = [path / LABELS_FILE for path in studies if (path / LABELS_FILE).is_file()]
    return tables[0] if len(tables) == 1 else None


def _written(bundle: Bundle, fitted: _Fitted, out: Path, told: dict[str, Any]) -> Bundle:
    """The bundle with what was fitted; its weights are as they were to the byte, but for a record's share."""
    info = bundle.info
    replaced = {info.familiarity[task].file for task in fitted.familiarity if task in info.familiarity}
    files = {file: load_file(bundle.path / file) for file in info.sha256 if file not in replaced}
    record = {"stage": "calibrate", **told, **fitted.told, "versions": versions()}
    fresh = dataclasses.replace(
        info,
        training=[*info.training, record],
        familiarity=info.familiarity | fitted.familiarity,
        quality=fitted.quality if "segment" in fitted.familiarity else info.quality,
        diagnosis=fitted.diagnosis or info.diagnosis,
    )
    made = save_bundle(out, fresh, {**files, **fitted.weights})
    if fitted.rows:
        write_table(out / TABLE, fitted.rows, COLUMNS)
    return made
