"""Two runs on the same cases."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from orthodx.evaluation import diagnosis, segmentation
from orthodx.evaluation.estimates import average
from orthodx.evaluation.label_cases import LabelCases, cases_by_label
from orthodx.evaluation.notices import Notices
from orthodx.evaluation.operating import brier
from orthodx.evaluation.ranking import average_precision
from orthodx.evaluation.resampling import PatientBootstrap, patient_mean
from orthodx.evaluation.rows import MACRO, Row
from orthodx.evaluation.run_facts import RunFacts
from orthodx.evaluation.segment_scores import ABSENT, FALSE
from orthodx.evaluation.tables import Diagnoses
from orthodx.requests.evaluation import Settings
from orthodx.studies.readable import counted

SEGMENT_METRICS = ("dice", "nsd", "hd95_mm", "assd_mm")


@dataclass(frozen=True, eq=False)
class Run:
    """Results of one run: its facts, and what was found for it."""

    facts: RunFacts
    diagnoses: Diagnoses | None = None
    masks: pd.DataFrame | None = None


def compare_diagnoses(ours: Diagnoses, other: Diagnoses, name: str, settings: Settings, notices: Notices) -> list[Row]:
    """Ours minus the other's: AUROC by paired DeLong, average precision and Brier by paired patient bootstrap."""
    labels = [x for x in ours.labels if x in other.labels]
    at = {study: i for i, study in enumerate(other.studies)}
    shared = np.array([study in at for study in ours.studies], bool)
    if not shared.any() or not labels:
        notices.refuse(f"{name}: no study and label in common", "compare predictions of the same studies")
        return []
    if not shared.all() or shared.sum() != len(other.studies):
        notices.note(f"compared with {name} on the {counted(int(shared.sum()), 'studies')} that both predict")
    index = np.array([at[s] for s in ours.studies[shared]])
    columns = [[d.labels.index(x) for x in labels] for d in (ours, other)]
    one, two = ours.probability[shared][:, columns[0]], other.probability[index][:, columns[1]]
    both = ~(np.isnan(one) | np.isnan(two))
    ids = ours.studies[shared], ours.patients[shared], tuple(labels)
    truth = ours.truth[shared][:, columns[0]]
    pairs = [cases_by_label(Diagnoses(*ids, np.where(both, p, np.nan), truth)) for p in (one, two)]
    return _paired_rows([(a, b) for a, b in zip(*pairs, strict=True) if a.both_classes], name, settings)


def _paired_rows(pairs: Sequence[tuple[LabelCases, LabelCases]], name: str, settings: Settings) -> list[Row]:
    rows, areas = [], []
    for a, b in pairs:
        facts = {"task": diagnosis.TASK, "target": a.name, "against": name, **a.counts()}
        areas.append(a.auroc().minus(b.auroc()))
        low, high = areas[-1].interval()
        rows.append(Row(metric="auroc", value=areas[-1].value, low=low, high=high, p=areas[-1].p(), **facts))
        _, patient = np.unique(a.patient, return_inverse=True)
        bootstrap = PatientBootstrap(patient, settings.resamples, settings.seed)
        for metric, statistic in (("average_precision", average_precision), ("brier", brier)):
            gap = _gap(statistic(a.scores, a.positive), statistic(b.scores, b.positive))
            ((low, high),) = bootstrap.intervals(gap)
            value = float(gap(np.ones((1, len(patient))))[0])
            rows.append(Row(metric=metric, value=value, low=low, high=high, **facts))
    if len(areas) > 1:
        mean = average(areas)
        low, high = mean.interval()
        n = len(np.unique(np.concatenate([a.member for a, _ in pairs])))
        rows.append(
            Row(task=diagnosis.TASK, target=MACRO, metric="auroc", against=name, value=mean.value, low=low, high=high,
                p=mean.p(), n=n, note=counted(len(areas), "labels"))
        )  # fmt: skip
    return rows


def _gap(
    a: Callable[[np.ndarray], np.ndarray], b: Callable[[np.ndarray], np.ndarray]
) -> Callable[[np.ndarray], np.ndarray]:
    return lambda weights: a(weights) - b(weights)


def compare_masks(
    ours: pd.DataFrame, other: pd.DataFrame, name: str, settings: Settings, notices: Notices
) -> list[Row]:
    """Ours minus the other's mean over patients: paired patient bootstrap, and Wilcoxon's signed-rank p.

    Of all structures it is the mean of the differences: a distance that one of the two lacks, because it missed the
    structure, counts for neither.
    """
    paired = _differences(ours, other)
    if not len(paired):
        notices.refuse(f"{name}: no series in common", "compare masks of the same series")
        return []
    series = paired["series_id"].nunique()
    if series != ours["series_id"].nunique() or series != other["series_id"].nunique():
        notices.note(f"compared with {name} on the {counted(series, 'series')} that both segment")
    rows = []
    for structure, part in segmentation.with_all_structures(paired).groupby("structure", sort=False):
        for metric in SEGMENT_METRICS:
            if part[metric].isna().all():
                continue
            means = segmentation.by_study(part, metric)
            e = patient_mean(
                means[metric].tolist(), means["patient_id"].tolist(), resamples=settings.resamples, seed=settings.seed
            )
            rows.append(
                Row(task=segmentation.TASK, target=str(structure), metric=metric, against=name, value=e.value,
                    low=e.low, high=e.high, n=e.patients, p=_wilcoxon(means.groupby("patient_id")[metric].mean()))
            )  # fmt: skip
    return rows


def _differences(ours: pd.DataFrame, other: pd.DataFrame) -> pd.DataFrame:
    """Ours minus the other's, a row a series and structure that both have scored.

    Where there is nothing to find, a run that finds nothing is right (1) beside one that finds something (0); where
    both find nothing nobody is better.
    """
    keys = ["patient_id", "study_id", "series_id", "structure"]
    paired = ours.merge(
        other[["series_id", "structure", "state", *SEGMENT_METRICS]],
        on=["series_id", "structure"], suffixes=("", "_other"),
    )  # fmt: skip
    for metric in segmentation.COMPARED:
        for one, two in (("", "_other"), ("_other", "")):
            right = (paired[f"state{one}"] == ABSENT) & (paired[f"state{two}"] == FALSE)
            paired[f"{metric}{one}"] = paired[f"{metric}{one}"].mask(right, 1.0)
    return paired[keys].assign(**{metric: paired[metric] - paired[f"{metric}_other"] for metric in SEGMENT_METRICS})


def _wilcoxon(differences: pd.Series) -> float:
    if len(differences) < 2:
        return float("nan")
    return float(stats.wilcoxon(differences).pvalue) if (differences != 0).any() else 1.0
