"""Runs over their share of the training labels: a curve each way of starting, and what the start is worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from orthodx.evaluation import diagnosis, segmentation
from orthodx.evaluation.estimates import Linear, average
from orthodx.evaluation.label_cases import LabelCases, cases_by_label
from orthodx.evaluation.notices import Notices
from orthodx.evaluation.ranking import auroc_interval
from orthodx.evaluation.rows import MACRO, Row, with_holm
from orthodx.evaluation.tables import Diagnoses
from orthodx.studies.readable import counted

if TYPE_CHECKING:
    from orthodx.evaluation.comparison import Run

FRACTION = "label_fraction"
PRETRAINED = "pretrained"  # as `RunFacts.start` says it


@dataclass(frozen=True)
class Point:
    """Runs of one curve at one share of the labels; several are averaged."""

    curve: str
    share: float
    runs: tuple[Run, ...]


@dataclass(frozen=True, eq=False)
class Measured:
    """What a point's runs found of one target, one estimate a run, all of one cohort. counts: n, and positives."""

    estimates: tuple[Linear, ...]
    counts: dict[str, int]

    def mean(self) -> Linear:
        """Their average; how they scatter, as seeds do, adds to its error as one more part."""
        mean, k = average(self.estimates), len(self.estimates)
        scatter = float(np.std([e.value for e in self.estimates], ddof=1) / np.sqrt(k)) if k > 1 else 0.0
        return Linear(mean.value, np.append(mean.parts, scatter), mean.smallest)

    def minus(self, other: Measured) -> Linear:
        """The difference of the averages on the same cases; the scatter of either side adds to its error."""
        (one, two), n = (self.mean(), other.mean()), len(self.estimates[0].parts)
        parts = np.concatenate([one.parts[:n] - two.parts[:n], one.parts[n:], two.parts[n:]])
        return Linear(one.value - two.value, parts, min(one.smallest, two.smallest))


def label_efficiency(runs: Sequence[Run], notices: Notices) -> list[Row]:
    """AUROC and Dice of every point, and those of pretrained minus each other curve at the same share.

    Empty unless two shares or two curves are known: several runs of one point may be seeds, or any models. Rows are
    grouped by `label_fraction`; `note` is the curve: how the encoders started, with their kind where there are several.
    """
    points = _points(runs)
    if len(points) < 2:
        return []
    rows: list[Row] = []
    tables = [run.diagnoses for p in points for run in p.runs]
    if all(table is not None for table in tables):
        rows += _task(points, _areas(points, notices), {"task": diagnosis.TASK, "metric": "auroc"})
    if all(run.masks is not None for p in points for run in p.runs):
        rows += _task(points, _overlaps(points, notices), {"task": segmentation.TASK, "metric": "dice"})
    return rows


def _points(runs: Sequence[Run]) -> list[Point]:
    known = [run for run in runs if run.facts.label_fraction is not None]
    several = len({run.facts.encoder for run in known}) > 1
    groups: dict[tuple[str, float], list[Run]] = {}
    for run in known:
        curve = ", ".join(filter(None, (run.facts.start, run.facts.encoder if several else "")))
        groups.setdefault((curve, run.facts.label_fraction or 0), []).append(run)
    return [Point(curve, share, tuple(own)) for (curve, share), own in sorted(groups.items(), key=lambda x: x[0])]


def _task(points: Sequence[Point], found: Sequence[dict[str, Measured]], facts: dict[str, Any]) -> list[Row]:
    """Rows of the points, then of the differences. found: target -> what was measured, a point."""
    rows, differences = [], []
    for point, measured in zip(points, found, strict=True):
        here = {**facts, "grouping": FRACTION, "group": f"{point.share:.4g}"}
        for target, one in measured.items():
            mean = one.mean()
            low, high = auroc_interval(mean) if facts["metric"] == "auroc" else mean.cautious()[:2]
            note = {"note": point.curve}
            rows.append(Row(target=target, value=mean.value, low=low, high=high, **one.counts, **note, **here))
        others = [] if not point.curve.startswith(PRETRAINED) else zip(points, found, strict=True)
        for other, theirs in others:
            if other.share != point.share or other.curve.startswith(PRETRAINED):
                continue
            for target in (t for t in measured if t in theirs):
                gap = measured[target].minus(theirs[target])
                low, high, p = gap.cautious()
                differences.append(
                    Row(target=target, value=gap.value, low=low, high=high, p=p, against=other.curve,
                        note=point.curve, **measured[target].counts, **here)
                )  # fmt: skip
    return [*rows, *with_holm(differences)]


def _areas(points: Sequence[Point], notices: Notices) -> list[dict[str, Measured]]:
    """AUROC of each label that all runs predict, and their macro average, on the studies that all predict."""
    tables = _on_the_same([run.diagnoses for p in points for run in p.runs if run.diagnoses is not None], notices)
    cases = [[label for label in cases_by_label(table) if label.both_classes] for table in tables]
    measured = iter([_by_label(labels) for labels in cases])
    return [_joined([next(measured) for _ in p.runs]) for p in points]


def _by_label(labels: Sequence[LabelCases]) -> dict[str, Measured]:
    out = {label.name: Measured((label.auroc(),), label.counts()) for label in labels}
    if len(labels) > 1:
        n = len(np.unique(np.concatenate([label.member for label in labels])))
        out[MACRO] = Measured((average([one.estimates[0] for one in out.values()]),), {"n": n})
    return out


def _joined(runs: Sequence[dict[str, Measured]]) -> dict[str, Measured]:
    """The measured of several runs as one, target by target."""
    return {
        target: replace(first, estimates=tuple(run[target].estimates[0] for run in runs))
        for target, first in runs[0].items()
        if all(target in run for run in runs)
    }


def _on_the_same(tables: Sequence[Diagnoses], notices: Notices) -> list[Diagnoses]:
    """The tables on the studies and labels that all of them know."""
    first = tables[0]
    shared = set(first.studies).intersection(*(set(table.studies) for table in tables))
    studies = [study for study in first.studies if study in shared]
    labels = [label for label in first.labels if all(label in table.labels for table in tables)]
    if any(len(table.studies) != len(studies) for table in tables):
        notices.note(f"label efficiency on the {counted(len(studies), 'studies')} that all runs predict")
    if not studies or not labels:
        return [replace(table, studies=table.studies[:0], labels=()) for table in tables]
    index = [{study: i for i, study in enumerate(table.studies)} for table in tables]
    rows = [[own[study] for study in studies] for own in index]
    chosen = [np.ix_(own, [t.labels.index(label) for label in labels]) for own, t in zip(rows, tables, strict=True)]
    unknown = np.any([np.isnan(t.probability[at]) for at, t in zip(chosen, tables, strict=True)], axis=0)
    patients = first.patients[rows[0]]
    return [
        Diagnoses(np.array(studies), patients, tuple(labels), np.where(unknown, np.nan, t.probability[at]), t.truth[at])
        for at, t in zip(chosen, tables, strict=True)
    ]


def _overlaps(points: Sequence[Point], notices: Notices) -> list[dict[str, Measured]]:
    """Dice of each structure and of all, means over the patients of the series that all runs segment."""
    frames = [run.masks for p in points for run in p.runs if run.masks is not None]
    shared = set(frames[0]["series_id"]).intersection(*(set(frame["series_id"]) for frame in frames))
    if any(frame["series_id"].nunique() != len(shared) for frame in frames):
        notices.note(f"label efficiency on the {counted(len(shared), 'series')} that all runs segment")
    kept = [segmentation.with_all_structures(frame[frame["series_id"].isin(shared)]) for frame in frames]
    patients = {patient: i for i, patient in enumerate(frames[0]["patient_id"].unique())}
    measured = iter([_by_structure(frame, patients) for frame in kept])
    return [_joined([next(measured) for _ in p.runs]) for p in points]


def _by_structure(scores: pd.DataFrame, patients: dict[str, int]) -> dict[str, Measured]:
    out = {}
    for structure, part in scores.groupby("structure", sort=False):
        if part["dice"].notna().any():
            mean = segmentation.linear_mean(part, "dice", patients)
            out[str(structure)] = Measured((mean,), {"n": mean.smallest})
    return out
