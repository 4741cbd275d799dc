"""The main path: files in -> scores -> rows -> tables, figures, report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from orthodx.errors import NoInputError, StudyError
from orthodx.evaluation.comparison import Run, compare_diagnoses, compare_masks
from orthodx.evaluation.diagnosis import Threshold, score_diagnoses, thresholds
from orthodx.evaluation.diagnosis_groups import score_groups
from orthodx.evaluation.groups import groupings
from orthodx.evaluation.inputs import Attributes, Inputs, compared_paths, find_inputs, joint_of, read_attributes
from orthodx.evaluation.label_efficiency import label_efficiency
from orthodx.evaluation.masks import pair_masks, score_masks
from orthodx.evaluation.notices import Notices
from orthodx.evaluation.rows import Row, with_holm
from orthodx.evaluation.run_facts import read_facts
from orthodx.evaluation.segmentation import score_segment_groups, score_segmentation
from orthodx.evaluation.tables import read_diagnoses
from orthodx.joints import Joint
from orthodx.requests import EvaluateRequest, Settings, takes
from orthodx.studies.claim import Owner, Place, claimed
from orthodx.studies.receipts import DONE


@dataclass(frozen=True, eq=False)
class Evaluation:
    """All that a report is written from.

    run: ours; others: compared runs. groups: grouping -> group of each study of `run.diagnoses`; series_groups: the
    same for each row of `run.masks`. rows: everything measured, p values adjusted. folder: where images are
    looked up. reports: the written files, empty before writing.
    """

    settings: EvaluateRequest
    inputs: Inputs
    run: Run
    others: tuple[Run, ...]
    thresholds: dict[str, Threshold]
    groups: dict[str, np.ndarray]
    series_groups: dict[str, np.ndarray]
    manifest: pd.DataFrame | None
    rows: list[Row]
    notices: Notices
    joint: Joint
    started: datetime = field(default_factory=lambda: datetime.now(timezone.utc))
    command: tuple[str, ...] = ()
    summary: dict[str, Any] = field(default_factory=dict)


@takes(EvaluateRequest)
def evaluate(
    request: EvaluateRequest,
    *,
    tell: Callable[[str, bool], None] = lambda line, refused: None,
    progress: Callable[[str, int, int], None] = lambda series, done, total: None,
    command: Sequence[str] = (),
) -> Evaluation:
    """Score predictions and masks against their truth and write the report folder `out`.

    Paths that are not given are looked for in `folder` under their usual names. tell: called with (line, refused) for
    every finding. progress: called with (series, done, total). Writes `report.html`, `metrics.csv`, `per_case.csv`,
    `summary.json`, `methods.md`, `figures/` and `run.json`. Raises `NoInputError` for nothing to score, `UsageError`
    for options that cannot be met, `StudyError` for tables that cannot be joined.

    >>> done = orthodx.evaluate("report", folder="cohort", predictions="predictions.csv", masks="masks", by="center")
    >>> done.summary["counts"]["segmentation"]
    {'patients': 1, 'studies': 1, 'series': 3}
    """
    from orthodx.evaluation.report import WRITTEN, write_report

    started, notices = datetime.now(timezone.utc), Notices(tell)
    paths = ("predictions", "labels", "masks", "truth", "manifest", "ehr")
    inputs = find_inputs(request.folder, {name: getattr(request, name) for name in paths}, notices)
    if not request.keep_paths:
        notices.called = inputs.usual_names | {f"--compare {path}": "--compare COMPARE" for path in request.compare}
    _refuse_idle(request, inputs)
    attributes = read_attributes(inputs, notices, request.link)
    joint = joint_of(request.joint, inputs, attributes.manifest, notices)
    opener = Opener(request, inputs, attributes, joint, notices, progress)
    owner = Owner(by="orthodx evaluate", outputs=[request.out / name for name in WRITTEN])
    with claimed(Place(request.out), owner):
        done = replace(_scored(opener), started=started, command=tuple(command))
        return write_report(done, request.out)


def _refuse_idle(request: EvaluateRequest, inputs: Inputs) -> None:
    if inputs.diagnosis is None:
        request.refuse(("thresholds",), "is for predictions, and there are none")
    if inputs.segmentation is None:
        request.refuse(("tolerance_mm", "resume"), "is for masks, and there are none")
    if not request.by:
        request.refuse(("min_cell",), "needs --by")


def _scored(opener: Opener) -> Evaluation:
    """Every number: runs opened, scored, grouped and compared."""
    request, inputs, attributes, notices = opener.request, opener.inputs, opener.attributes, opener.notices
    ours = (inputs.diagnosis[0] if inputs.diagnosis else None, inputs.segmentation[0] if inputs.segmentation else None)
    compared = [compared_paths(path) for path in request.compare]
    runs = _distinct([opener(*ours), *filter(None, (opener.compared(*paths) for paths in compared))])
    run, at, rows = runs[0], dict[str, Threshold](), list[Row]()
    groups: dict[str, np.ndarray] = {}
    series_groups: dict[str, np.ndarray] = {}
    tables = attributes.manifest, attributes.ehr
    if (d := run.diagnoses) is not None:
        at = thresholds(d.labels, run.facts, request)
        groups = groupings(request.by, list(d.studies), None, *tables)
        rows += score_diagnoses(d, at, request) + with_holm(score_groups(d, at, groups, request))
    if (m := run.masks) is not None:
        series_groups = groupings(request.by, m["study_id"].tolist(), m["series_id"].tolist(), *tables)
        rows += score_segmentation(m, request) + with_holm(score_segment_groups(m, series_groups, request))
    rows += _compared(runs, request, notices) + label_efficiency(runs, notices)
    return Evaluation(
        settings=request,
        inputs=inputs,
        run=run,
        others=tuple(runs[1:]),
        thresholds=at,
        groups=groups,
        series_groups=series_groups,
        manifest=attributes.manifest,
        rows=rows,
        notices=notices,
        joint=opener.joint,
    )


@dataclass(frozen=True, eq=False)
class Opener:
    """Predictions table and folder of masks -> a run with its scores; None for what a run does not have."""

    request: EvaluateRequest
    inputs: Inputs
    attributes: Attributes
    joint: Joint
    notices: Notices
    progress: Callable[[str, int, int], None]

    def compared(self, table: Path | None, masks: Path | None) -> Run | None:
        """Another run; None, and said, where it cannot be read."""
        try:
            return self(table, masks, ours=False)
        except (StudyError, NoInputError) as error:
            self.notices.refuse(f"--compare {table or masks}: {error}", error.hint)
            return None

    def __call__(self, table: Path | None, masks: Path | None, *, ours: bool = True) -> Run:
        """One run; of compared ones little is said."""
        inputs, request, notices = self.inputs, self.request, self.notices
        read = scores = None
        if table is not None and inputs.diagnosis:
            try:
                read = read_diagnoses(
                    table, inputs.diagnosis[1], self.attributes, notices, link=self.request.link, quiet=not ours
                )
            except StudyError as error:
                if masks is None or not inputs.segmentation:
                    raise
                notices.refuse(f"{error}; masks are scored without it", error.hint)
        if masks is not None and inputs.segmentation:
            name = "ours" if ours else f"compared-{masks.resolve().parent.name}-{masks.name}"
            scores = score_masks(
                pair_masks(masks, inputs.segmentation[1], self.attributes, notices, quiet=not ours),
                self.joint.names,
                request.tolerance_mm,
                request.out / DONE / name,
                workers=request.workers,
                resume=request.resume,
                notices=notices,
                progress=self.progress,
            )
        facts = read_facts(table or masks or request.folder, notices, keep_paths=request.keep_paths or not ours)
        return Run(facts, read, scores)


def _compared(runs: Sequence[Run], settings: Settings, notices: Notices) -> list[Row]:
    ours, diagnoses, masks = runs[0], [], []
    for other in runs[1:]:
        if ours.diagnoses is not None and other.diagnoses is not None:
            diagnoses += compare_diagnoses(ours.diagnoses, other.diagnoses, other.facts.name, settings, notices)
        if ours.masks is not None and other.masks is not None:
            masks += compare_masks(ours.masks, other.masks, other.facts.name, settings, notices)
    return with_holm(diagnoses) + with_holm(masks)


def _distinct(runs: list[Run]) -> list[Run]:
    """The same runs, names that stand twice numbered."""
    out: list[Run] = []
    for run in runs:
        taken, name, n = {r.facts.name for r in out}, run.facts.name, 2
        while name in taken:
            name, n = f"{run.facts.name} {n}", n + 1
        out.append(replace(run, facts=replace(run.facts, name=name)))
    return out
