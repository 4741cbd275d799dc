"""Diagnosis by group: each group's numbers, its difference from the rest, and the gap between best and worst."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from orthodx.evaluation.diagnosis import TASK, Threshold, label_rows
from orthodx.evaluation.estimates import Linear, average
from orthodx.evaluation.label_cases import LabelCases, cases_by_label
from orthodx.evaluation.ranking import areas_differ, auroc_interval
from orthodx.evaluation.rows import MACRO, REST, Row
from orthodx.evaluation.tables import Diagnoses
from orthodx.requests.evaluation import Settings
from orthodx.studies.readable import counted

Areas = dict[tuple[str, str], tuple[Linear, "Linear | None"]]  # (group, label) -> its AUROC, the rest's if large
CHOSEN = "best minus worst group, chosen by looking: biased upwards, not tested"


def score_groups(
    d: Diagnoses, at: dict[str, Threshold], groups: dict[str, np.ndarray], settings: Settings
) -> list[Row]:
    """Rows of every group of every grouping (name -> (n,) group of each study); p values are not yet adjusted."""
    labels = cases_by_label(d)
    return [row for name, group in groups.items() for row in _grouping(labels, at, name, group, settings)]


def _grouping(
    labels: Sequence[LabelCases], at: dict[str, Threshold], grouping: str, group: np.ndarray, settings: Settings
) -> Iterator[Row]:
    areas: Areas = {}
    for name in sorted(set(group)):
        inside = group == name
        for label in labels:
            part, rest = label.among(inside), label.among(~inside)
            facts = {"task": TASK, "target": label.name, "grouping": grouping, "group": name, **part.counts()}
            positive, negative = part.patients_of_class()
            if min(positive, negative) < settings.min_cell:
                few = f"n too small: {counted(positive, 'patients')} positive, {negative} negative"
                yield Row(metric="auroc", note=few, **facts)
                continue
            area = part.auroc()
            other = rest.auroc() if min(rest.patients_of_class()) >= settings.min_cell else None
            areas[name, label.name] = area, other
            yield from label_rows(part, at[label.name].value, facts, settings)
            if other is not None:
                yield _difference(area, other, facts)
        if len(labels) > 1:
            pairs = [areas[name, x.name] for x in labels if (name, x.name) in areas]
            yield from _macro(pairs, {"task": TASK, "target": MACRO, "grouping": grouping, "group": name,
                                      "n": int(inside.sum())})  # fmt: skip
    yield from _gaps(labels, areas, grouping)


def _difference(area: Linear, rest: Linear, facts: dict[str, Any]) -> Row:
    low, high, p = areas_differ(area, rest)
    return Row(metric="auroc", against=REST, value=area.value - rest.value, low=low, high=high, p=p, **facts)


def _macro(pairs: Sequence[tuple[Linear, Linear | None]], facts: dict[str, Any]) -> Iterator[Row]:
    """Average over the labels that are large enough; the difference over those large enough on both sides."""
    if pairs:
        mean = average([a for a, _ in pairs])
        low, high = auroc_interval(mean)
        yield Row(metric="auroc", value=mean.value, low=low, high=high, note=counted(len(pairs), "labels"), **facts)
    both = [(a, b) for a, b in pairs if b is not None]
    if both:
        mean, rest = average([a for a, _ in both]), average([b for _, b in both])
        yield _difference(mean, rest, {**facts, "note": counted(len(both), "labels")})


def _gaps(labels: Sequence[LabelCases], areas: Areas, grouping: str) -> Iterator[Row]:
    for label in labels:
        have = {group: area for (group, name), (area, _) in areas.items() if name == label.name}
        if len(have) < 2:
            continue
        best, worst = (pick(have, key=lambda g: have[g].value) for pick in (max, min))
        low, high, _ = areas_differ(have[best], have[worst])
        gap = have[best].value - have[worst].value
        yield Row(
            task=TASK, target=label.name, metric="auroc_gap", value=gap, low=low, high=high,
            n=len(label.scores), grouping=grouping, group=best, against=worst, note=CHOSEN,
        )  # fmt: skip
