"""The numbers of a diagnosis report: per label and averaged, over any set of cases."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from orthodx.errors import UsageError
from orthodx.evaluation.estimates import average
from orthodx.evaluation.label_cases import LabelCases, cases_by_label, patient_index, pooled
from orthodx.evaluation.operating import at_threshold, brier, calibration_error, net_benefit, proportion
from orthodx.evaluation.ranking import auroc_interval, average_precision
from orthodx.evaluation.resampling import PatientBootstrap
from orthodx.evaluation.rows import MACRO, Row
from orthodx.evaluation.run_facts import RunFacts
from orthodx.evaluation.tables import Diagnoses
from orthodx.requests.evaluation import Settings
from orthodx.studies.readable import counted

TASK = "diagnosis"
DEFAULT_THRESHOLD = 0.5


@dataclass(frozen=True)
class Threshold:
    """A threshold and where it came from."""

    value: float
    source: str


def thresholds(labels: Sequence[str], facts: RunFacts, settings: Settings) -> dict[str, Threshold]:
    """Per label: the option's, else the run record's, else 0.5, which is said to be unvalidated.

    Raises `UsageError` for an option of a label that is not scored.
    """
    if strangers := sorted(set(settings.threshold_labels) - set(labels)):
        raise UsageError(f"--threshold: no label '{strangers[0]}' is scored", hint=f"there are: {', '.join(labels)}")
    out = {}
    for label in labels:
        given = settings.threshold_for(label)
        if given is not None:
            out[label] = Threshold(given, "given with --threshold")
        elif label in facts.thresholds:
            out[label] = Threshold(facts.thresholds[label], "run record: frozen on validation data")
        else:
            out[label] = Threshold(DEFAULT_THRESHOLD, "default: not frozen on validation data")
    return out


def score_diagnoses(d: Diagnoses, at: dict[str, Threshold], settings: Settings) -> list[Row]:
    """Rows over all cases: every label, then the averages."""
    labels, rows = cases_by_label(d), []
    for label in labels:
        facts = {"task": TASK, "target": label.name, **label.counts()}
        share = proportion(label.positive, label.patient)
        rows.append(Row(metric="prevalence", value=share.value, low=share.low, high=share.high, **facts))
        rows += label_rows(label, at[label.name].value, facts, settings)
    return rows + _averages(labels, patient_index(d), settings)


def label_rows(label: LabelCases, threshold: float, facts: dict[str, Any], settings: Settings) -> list[Row]:
    """AUROC, average precision, the four shares, Brier, calibration error and net benefit of one set of cases."""
    if not len(label.scores):
        return [Row(metric="auroc", note="no known case", **facts)]
    rows = []
    if label.both_classes:
        rows += [auroc_row(label, facts), *_bootstrapped(label, facts, settings, average_precision=average_precision)]
    else:
        rows += [Row(metric=m, note="one class only", **facts) for m in ("auroc", "average_precision")]
    for name, s in at_threshold(label.scores, label.positive, label.patient, threshold).items():
        rows.append(Row(metric=name, value=s.value, low=s.low, high=s.high, **{**facts, "n": s.n}))
    rows += _bootstrapped(label, facts, settings, brier=brier, calibration_error=calibration_error)
    benefit = net_benefit(label.scores, label.positive, threshold)
    return [*rows, Row(metric="net_benefit", value=benefit, note=f"at {threshold:g}", **facts)]


def auroc_row(label: LabelCases, facts: dict[str, Any]) -> Row:
    """AUROC with DeLong's interval."""
    area = label.auroc()
    low, high = auroc_interval(area)
    return Row(metric="auroc", value=area.value, low=low, high=high, **facts)


def _bootstrapped(
    label: LabelCases, facts: dict[str, Any], settings: Settings, **statistics: Callable[..., Any]
) -> list[Row]:
    """Rows of weighted statistics with patient-bootstrap intervals, all from the same resamples."""
    of = {name: statistic(label.scores, label.positive) for name, statistic in statistics.items()}
    _, patient = np.unique(label.patient, return_inverse=True)
    intervals = PatientBootstrap(patient, settings.resamples, settings.seed).intervals(*of.values())
    once = np.ones((1, len(patient)))
    return [
        Row(metric=name, value=float(of[name](once)[0]), low=low, high=high, **facts)
        for name, (low, high) in zip(of, intervals, strict=True)
    ]


def macro_precision(labels: Sequence[LabelCases]) -> Callable[[np.ndarray], np.ndarray]:
    """Mean average precision over labels as a function of weights (r, n) of all studies."""
    parts = [(label.member, average_precision(label.scores, label.positive)) for label in labels]

    def statistic(weights: np.ndarray) -> np.ndarray:
        return np.mean([of(weights[:, member]) for member, of in parts], axis=0)

    return statistic


def _averages(labels: list[LabelCases], patient: np.ndarray, settings: Settings) -> list[Row]:
    """Macro: the mean over labels with both classes. Micro: all study-label pairs as one label."""
    both = [x for x in labels if x.both_classes]
    if len(both) < 2:
        return []
    micro, area = pooled(both), average([x.auroc() for x in both])
    facts = {
        "task": TASK,
        "target": MACRO,
        "n": len(np.unique(micro.member)),
        "note": counted(len(both), "labels"),
    }
    low, high = auroc_interval(area)
    rows = [Row(metric="auroc", value=area.value, low=low, high=high, **facts)]
    of = macro_precision(both)
    ((low, high),) = PatientBootstrap(patient, settings.resamples, settings.seed).intervals(of)
    value = float(of(np.ones((1, len(patient))))[0])
    rows.append(Row(metric="average_precision", value=value, low=low, high=high, **facts))
    facts = {"task": TASK, "target": micro.name, **micro.counts(), "note": f"{counted(len(both), 'labels')} pooled"}
    return [
        *rows,
        auroc_row(micro, facts),
        *_bootstrapped(micro, facts, settings, average_precision=average_precision),
    ]
