"""The tables of a report folder and the versioned summary."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from orthodx.evaluation.diagnosis import TASK as DIAGNOSIS
from orthodx.evaluation.rows import COLUMNS, for_table, plain
from orthodx.evaluation.segment_scores import METRICS
from orthodx.evaluation.segmentation import TASK as SEGMENTATION
from orthodx.studies.nameless import nameless_options
from orthodx.studies.readable import readable, readable_values
from orthodx.studies.run_record import sha256, versions, write_json
from orthodx.studies.tables import write_table

if TYPE_CHECKING:
    from orthodx.evaluation.evaluate import Evaluation

SCHEMA = {"name": "orthodx.evaluation", "version": 1}
CASE_COLUMNS = ("task", "patient_id", "study_id", "series_id", "target", "metric", "value", "state")
METRIC_FILE, CASE_FILE, SUMMARY_FILE = "metrics.csv", "per_case.csv", "summary.json"


def summary(e: Evaluation) -> dict[str, Any]:
    """The contents of `summary.json`; a number that does not exist is null."""
    d, m = e.run.diagnoses, e.run.masks
    counts: dict[str, Any] = {"refused": len(e.notices.refused)}
    if d is not None:
        counts[DIAGNOSIS] = {
            "patients": len(np.unique(d.patients)), "studies": len(d.studies),
            "labels": {name: {"known": int(d.known(i).sum()), "positive": int((d.truth[d.known(i), i] == 1).sum())}
                       for i, name in enumerate(d.labels)},
        }  # fmt: skip
    if m is not None:
        ids = {"patients": "patient_id", "studies": "study_id", "series": "series_id"}
        counts[SEGMENTATION] = {name: int(m[column].nunique()) for name, column in ids.items()}
    files, keep = {k: v for k, v in vars(e.inputs).items() if v is not None}, e.settings.keep_paths
    settings = nameless_options(e.settings, keep_paths=keep)
    named: Callable[[Path], dict[str, str]] = lambda path: {"name": readable(path.name)} if keep else {}  # noqa: E731
    return {
        "schema": SCHEMA,
        "created": e.started.isoformat(timespec="seconds"),
        "run": e.run.facts.name,
        "compared": [run.facts.name for run in e.others],
        "inputs": {k: named(v) | {"sha256": sha256(v) if v.is_file() else "folder"} for k, v in files.items()},
        "settings": {k: list(v) if isinstance(v, tuple) else v for k, v in settings.items()},
        "thresholds": {k: vars(t) for k, t in e.thresholds.items()},
        "counts": counts,
        "groups": {**{k: sorted(set(v)) for k, v in e.series_groups.items()},
                   **{k: sorted(set(v)) for k, v in e.groups.items()}},
        "versions": versions(),
        "refused": e.notices.refused,
        "notes": e.notices.notes,
        "metrics": [plain(row) for row in e.rows],
    }  # fmt: skip


def write_files(e: Evaluation, out: Path) -> None:
    """Write `metrics.csv`, `per_case.csv` and `summary.json` atomically."""
    write_table(out / METRIC_FILE, [for_table(row) for row in e.rows], COLUMNS)
    groups = map(_column, dict.fromkeys([*e.groups, *e.series_groups]))
    columns = (*CASE_COLUMNS, *groups)
    write_table(out / CASE_FILE, [*_diagnosis_cases(e), *_mask_cases(e)], columns)
    write_json(out / SUMMARY_FILE, readable_values(e.summary))


def _column(grouping: str) -> str:
    """What the column of a grouping is called among those of a case."""
    return f"by_{grouping}" if grouping in (*CASE_COLUMNS, *METRICS, "truth_ml", "structure") else grouping


def _diagnosis_cases(e: Evaluation) -> list[dict[str, Any]]:
    d, rows = e.run.diagnoses, []
    if d is None:
        return []
    for i in range(len(d.studies)):
        facts = {"task": DIAGNOSIS, "patient_id": d.patients[i], "study_id": d.studies[i],
                 **{_column(k): v[i] for k, v in e.groups.items()}}  # fmt: skip
        for j, label in enumerate(d.labels):
            for metric, value in (("probability", d.probability[i, j]), ("truth", d.truth[i, j])):
                rows.append({**facts, "target": label, "metric": metric, "value": "" if np.isnan(value) else value})
    return rows


def _mask_cases(e: Evaluation) -> list[dict[str, Any]]:
    m = e.run.masks
    if m is None:
        return []
    ids = ["patient_id", "study_id", "series_id", "structure", "state"]
    groups = {_column(k): v for k, v in e.series_groups.items()}
    table = m[[*ids, *METRICS, "truth_ml"]].assign(**groups)
    long = table.melt(id_vars=[*ids, *groups], var_name="metric")
    long = long[long["value"].notna()].rename(columns={"structure": "target"}).assign(task=SEGMENTATION)
    return [{str(k): v for k, v in row.items()} for row in pd.DataFrame(long).to_dict("records")]
