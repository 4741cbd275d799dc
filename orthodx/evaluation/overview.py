"""Tables people read, from tidy rows: on the terminal and in the report."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from orthodx.evaluation.diagnosis import TASK as DIAGNOSIS
from orthodx.evaluation.rows import REST, Row, find
from orthodx.evaluation.segmentation import TASK as SEGMENTATION

MINUS = "−"
COLUMN_NAMES = {
    "auroc": "AUROC", "average_precision": "AP", "sensitivity": "sensitivity", "specificity": "specificity",
    "ppv": "PPV", "npv": "NPV", "brier": "Brier", "calibration_error": "ECE", "net_benefit": "net benefit",
    "dice": "Dice", "nsd": "NSD", "hd95_mm": "HD95, mm", "assd_mm": "ASSD, mm", "detection_rate": "detected",
    "volume_error_ml": "volume error, mL", "volume_error_percent": "volume error, %", "missed": "missed",
    "false": "false", "both_empty": "both empty", "auroc_gap": "AUROC gap", "dice_gap": "Dice gap",
    "nsd_gap": "NSD gap", "prevalence": "prevalence",
}  # fmt: skip
COUNTS = ("missed", "false", "both_empty")


@dataclass(frozen=True)
class Sheet:
    """A table of text: title, column names, lines."""

    title: str
    columns: tuple[str, ...]
    lines: tuple[tuple[str, ...], ...]


def number(value: float, metric: str) -> str:
    """A value in the digits its metric deserves; a dash where there is none."""
    if math.isnan(value):
        return "–"
    digits = 0 if metric in COUNTS else 1 if metric == "volume_error_percent" else 2 if metric[-3:] in ("_mm", "_ml") else 3
    return f"{value:.{digits}f}".replace("-", MINUS)


def with_interval(row: Row | None) -> str:
    """Value (low to high); the note where there is no number."""
    if row is None:
        return "–"
    if math.isnan(row.value):
        return row.note or "–"
    text = number(row.value, row.metric)
    if math.isnan(row.low):
        return text
    return f"{text} ({number(row.low, row.metric)} to {number(row.high, row.metric)})"


def p_text(p: float) -> str:
    """A p value as journals print it."""
    return "–" if math.isnan(p) else "< 0.001" if p < 0.001 else f"{p:.3f}"


def overview(rows: Sequence[Row]) -> list[Sheet]:
    """The headline tables: per task its main numbers, then what differs between groups."""
    sheets = [
        by_target(rows, DIAGNOSIS, "Diagnosis, 95 % intervals", ("auroc", "average_precision", "sensitivity", "specificity")),
        by_target(rows, SEGMENTATION, "Segmentation, 95 % intervals", ("dice", "nsd", "hd95_mm", "detection_rate")),
        _groups(rows, only_small_p=True),
        comparisons(rows),
    ]
    return [sheet for sheet in sheets if sheet.lines]


def by_target(rows: Sequence[Row], task: str, title: str, metrics: Sequence[str]) -> Sheet:
    """A line a label or structure over all cases, with n (and positives)."""
    overall = find(rows, task=task, grouping="", group="", against="")
    targets = dict.fromkeys(r.target for r in overall)
    lines = []
    for target in targets:
        have = {r.metric: r for r in overall if r.target == target}
        n = max(r.n for r in have.values())
        positives = next((r.positives for r in have.values() if r.positives is not None), None)
        count = f"{n}" if positives is None else f"{n} ({positives} +)"
        lines.append((target.replace("_", " "), count, *(with_interval(have.get(m)) for m in metrics)))
    names = tuple(COLUMN_NAMES[m] for m in metrics)
    first = "label" if task == DIAGNOSIS else "structure"
    return Sheet(title, (first, "n (positive)" if task == DIAGNOSIS else "n", *names), tuple(lines))


def _groups(rows: Sequence[Row], only_small_p: bool) -> Sheet:
    found = [r for r in rows if r.against == REST and (not only_small_p or r.p_holm < 0.05)]
    lines = [
        (r.target.replace("_", " "), f"{r.grouping} = {r.group}", f"{r.n}", COLUMN_NAMES[r.metric], with_interval(r), p_text(r.p_holm))
        for r in sorted(found, key=lambda r: r.p)
    ]  # fmt: skip
    tested = sum(not math.isnan(r.p) for r in rows if r.against == REST)
    return Sheet(
        f"Groups that differ from the rest (Holm p < 0.05; {tested} tests)",
        ("target", "group", "n", "metric", "difference", "Holm p"), tuple(lines),
    )  # fmt: skip


def comparisons(rows: Sequence[Row]) -> Sheet:
    """Differences from compared runs, ours minus theirs."""
    found = [r for r in rows if r.against and not r.grouping]
    lines = tuple(
        (r.target.replace("_", " "), r.against, f"{r.n}", COLUMN_NAMES[r.metric], with_interval(r), p_text(r.p_holm))
        for r in found
    )
    return Sheet("Ours minus the compared run", ("target", "run", "n", "metric", "difference", "Holm p"), lines)
