"""The main path: files in -> scores -> rows -> tables, figures, report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from orthodx.evaluation.comparison import Run, compare_diagnoses, compare_masks, label_efficiency
from orthodx.evaluation.diagnosis import Threshold, score_diagnoses, thresholds
from orthodx.evaluation.diagnosis_groups import score_groups
from orthodx.evaluation.groups import groupings
from orthodx.evaluation.inputs import Inputs, compared_paths, find_inputs, read_attributes
from orthodx.evaluation.masks import pair_masks, score_masks, structures_of
from orthodx.evaluation.notices import Notices
from orthodx.evaluation.rows import Row, with_holm
from orthodx.evaluation.run_facts import read_facts
from orthodx.evaluation.segmentation import score_segment_groups, score_segmentation
from orthodx.evaluation.settings import Settings
from orthodx.evaluation.tables import read_diagnoses


@dataclass(frozen=True, eq=False)
class Evaluation:
    """All that a report is written from.

    run: ours; others: compared runs. groups: grouping -> group of each study of `run.diagnoses`; series_groups: the
    same for each row of `run.masks`. rows: everything measured, p values adjusted. folder: where images are
    looked up. reports: the written files, empty before writing.
    """

    settings: Settings
    inputs: Inputs
    run: Run
    others: tuple[Run, ...]
    thresholds: dict[str, Threshold]
    groups: dict[str, np.ndarray]
    series_groups: dict[str, np.ndarray]
    manifest: pd.DataFrame | None
    rows: list[Row]
    notices: Notices
    structures: dict[int, str]
    started: datetime
    command: tuple[str, ...] = ()
    summary: dict[str, Any] = field(default_factory=dict)


def evaluate(
    out: Path = Path("evaluation"), *, folder: Path = Path("."), predictions: Path | None = None,
    labels: Path | None = None, masks: Path | None = None, truth: Path | None = None, manifest: Path | None = None,
    ehr: Path | None = None, compare: Sequence[Path] = (), settings: Settings | None = None, workers: int = 2,
    resume: bool = False, tell: Callable[[str, bool], None] = lambda line, refused: None,
    progress: Callable[[str, int, int], None] = lambda series, done, total: None, command: Sequence[str] = (),
) -> Evaluation:  # fmt: skip
    """Score predictions and masks against their truth and write the report folder `out`.

    Paths that are not given are looked for in `folder` under their usual names. compare: other runs on the same
    cases, each a predictions CSV, a folder of masks, or a folder with either. workers: processes that score masks,
    0 for none. tell: called with (line, refused) for every finding. Writes `report.html`, `metrics.csv`,
    `per_case.csv`, `summary.json`, `methods.md`, `figures/` and `run.json`. Raises `NoInputError` for nothing to
    score, `UsageError` for options that cannot be met, `StudyError` for tables that cannot be joined.
    """
    from orthodx.evaluation.report import write_report

    started, notices, settings = datetime.now(timezone.utc), Notices(tell), settings or Settings()
    named = {"predictions": predictions, "labels": labels, "masks": masks, "truth": truth, "manifest": manifest,
             "ehr": ehr}  # fmt: skip
    inputs = find_inputs(folder, named, notices)
    others = [compared_paths(path) for path in compare]
    attributes = read_attributes(inputs, notices)
    structures = structures_of(attributes.manifest)

    def open_run(found: tuple[Path | None, Path | None], ours: bool) -> Run:
        table, mask_folder = found
        read = scores = None
        if table is not None and inputs.diagnosis:
            read = read_diagnoses(table, inputs.diagnosis[1], attributes, notices, quiet=not ours)
        if mask_folder is not None and inputs.segmentation:
            facts_name = "ours" if ours else f"compared-{mask_folder.resolve().parent.name}-{mask_folder.name}"
            scores = score_masks(
                pair_masks(mask_folder, inputs.segmentation[1], attributes, notices), structures,
                settings.tolerance_mm, out / ".done" / facts_name, workers=workers, resume=resume, notices=notices,
                progress=progress,
            )  # fmt: skip
        return Run(read_facts(table or mask_folder or folder, notices), read, scores)

    ours = open_run(
        (inputs.diagnosis[0] if inputs.diagnosis else None, inputs.segmentation[0] if inputs.segmentation else None),
        True,
    )
    runs = _distinct([ours, *(open_run(found, False) for found in others)])
    ours = runs[0]
    at: dict[str, Threshold] = {}
    groups: dict[str, np.ndarray] = {}
    series_groups: dict[str, np.ndarray] = {}
    rows: list[Row] = []
    if (d := ours.diagnoses) is not None:
        at = thresholds(d.labels, ours.facts, settings)
        groups = groupings(settings.by, list(d.studies), None, attributes.manifest, attributes.ehr)
        rows += score_diagnoses(d, at, settings) + with_holm(score_groups(d, at, groups, settings))
    if (m := ours.masks) is not None:
        series_groups = groupings(
            settings.by, m["study_id"].tolist(), m["series_id"].tolist(), attributes.manifest, attributes.ehr
        )
        rows += score_segmentation(m, settings) + with_holm(score_segment_groups(m, series_groups, settings))
    rows += _compared(runs, settings, notices) + label_efficiency(runs, settings)
    return write_report(
        Evaluation(
            settings, inputs, ours, tuple(runs[1:]), at, groups, series_groups, attributes.manifest, rows, notices,
            structures, started, tuple(command),
        ), out,
    )  # fmt: skip


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
