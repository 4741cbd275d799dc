"""Tables people read, from tidy rows: on the terminal and in the report."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from orthodx.evaluation.diagnosis import TASK as DIAGNOSIS
from orthodx.evaluation.groups import CROSS
from orthodx.evaluation.label_efficiency import FRACTION
from orthodx.evaluation.rows import ALL_STRUCTURES, MACRO, REST, Row, find
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
_DIFFERENCE = ("metric", "difference", "Holm p")
FEW = 5  # of either class: fewer say next to nothing of an AUROC
FEW_MARK = "†"
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
    digits = (
        0 if metric in COUNTS else 1 if metric == "volume_error_percent" else 2 if metric[-3:] in ("_mm", "_ml") else 3
    )
    return f"{value:.{digits}f}".replace("-", MINUS)


def with_interval(row: Row | None) -> str:
    """Value (low to high); the note where there is no number."""
    if row is None:
        return "–"
    if math.isnan(row.value):
        return row.note or "–"
    text = number(row.value, row.metric) + (FEW_MARK if _of_few(row) else "")
    if math.isnan(row.low) or math.isnan(row.high):
        return text
    between = "–" if row.low >= 0 else " to "
    return f"{text} ({number(row.low, row.metric)}{between}{number(row.high, row.metric)})"


def _of_few(row: Row) -> bool:
    """Whether an AUROC stands on fewer than `FEW` positive or negative studies."""
    if row.metric != "auroc" or row.against == REST or row.positives is None:
        return False
    return min(row.positives, row.n - row.positives) < FEW


def _marked(title: str, lines: Sequence[tuple[str, ...]]) -> str:
    """The title, which explains the mark where a line has one."""
    marked = any(f"{FEW_MARK} " in f"{cell} " for line in lines for cell in line)
    return f"{title} ({FEW_MARK} fewer than {FEW} positive or negative)" if marked else title


def p_text(p: float) -> str:
    """A p value as journals print it."""
    return "–" if math.isnan(p) else "< 0.001" if p < 0.001 else f"{p:.3f}"


def overview(rows: Sequence[Row]) -> list[Sheet]:
    """The headline tables: per task its main numbers, then what differs between groups."""
    sheets = [
        by_target(
            rows, DIAGNOSIS, "Diagnosis, 95 % intervals", ("auroc", "average_precision", "sensitivity", "specificity")
        ),
        by_target(rows, SEGMENTATION, "Segmentation, 95 % intervals", ("dice", "nsd", "hd95_mm", "detection_rate")),
        *(
            by_group(rows, task, grouping, metric)
            for task, metric in ((DIAGNOSIS, "auroc"), (SEGMENTATION, "dice"))
            for grouping in dict.fromkeys(r.grouping for r in rows if r.task == task and r.grouping != FRACTION)
            if grouping and CROSS not in grouping
        ),
        group_differences(rows),
        comparisons(rows),
        *shares(rows),
    ]
    return [sheet for sheet in sheets if sheet.lines]


def shares(rows: Sequence[Row]) -> list[Sheet]:
    """The averages by share of the training labels; nothing where no shares are known."""
    sheets = (
        by_share([r for r in rows if r.target == MACRO], DIAGNOSIS, "auroc"),
        by_share([r for r in rows if r.target == ALL_STRUCTURES], SEGMENTATION, "dice"),
    )
    return [sheet for sheet in sheets if sheet.lines]


def by_target(rows: Sequence[Row], task: str, title: str, metrics: Sequence[str]) -> Sheet:
    """A line a label or structure over all cases, with n (and positives)."""
    overall = find(rows, task=task, grouping="", group="", against="")
    targets = dict.fromkeys(r.target for r in overall)
    lines = []
    for target in targets:
        have = {r.metric: r for r in overall if r.target == target}
        n = next(r.n for r in have.values())
        positives = next((r.positives for r in have.values() if r.positives is not None), None)
        count = f"{n}" if positives is None else f"{n} ({positives})"
        lines.append(
            (target if task == DIAGNOSIS else _words(target), count, *(with_interval(have.get(m)) for m in metrics))
        )
    names = tuple(COLUMN_NAMES[m] for m in metrics)
    first = "label" if task == DIAGNOSIS else "structure"
    return Sheet(
        _marked(title, lines), (first, "studies (positive)" if task == DIAGNOSIS else "patients", *names), tuple(lines)
    )


def group_differences(rows: Sequence[Row]) -> Sheet:
    """Differences from the rest that remain after Holm's adjustment, smallest p first."""
    found = sorted((r for r in rows if r.against == REST and r.p_holm < 0.05), key=lambda r: r.p)
    lines = tuple(
        (_words(r.target), f"{r.grouping} = {r.group}", f"{r.n}", COLUMN_NAMES[r.metric], with_interval(r),
         p_text(r.p_holm))
        for r in found
    )  # fmt: skip
    return Sheet("Groups that differ from the rest (Holm p < 0.05)", ("target", "group", "n", *_DIFFERENCE), lines)


def differences_told(rows: Sequence[Row]) -> str:
    """How many differences of groups remain, of how many tested, and how many could not be tested; blank for none."""
    planned = {
        (r.task, r.target, r.grouping, r.group)
        for r in rows
        if r.grouping not in ("", FRACTION) and r.metric in ("auroc", "dice") and r.against in ("", REST)
    }
    against_rest = [r for r in rows if r.against == REST and not math.isnan(r.p)]
    tested = {(r.task, r.target, r.grouping, r.group) for r in against_rest}
    differ = {(r.task, r.target, r.grouping, r.group) for r in against_rest if r.p_holm < 0.05}
    if not planned:
        return ""
    left = f"not testable: {len(planned - tested)} of {len(planned)}"
    if not tested:
        return left
    found = f"{len(differ)} of {len(tested)} differ"
    return f"{found}; {left}" if planned - tested else found


def by_group(rows: Sequence[Row], task: str, grouping: str, metric: str) -> Sheet:
    """A line a target and group: its metric, its difference from the rest, the adjusted p.

    Where every group is too small, alike ones are one line.
    """
    found = find(rows, task=task, grouping=grouping, metric=metric)
    rest = {(r.target, r.group): r for r in found if r.against == REST}
    groups = [r for r in found if not r.against]
    lines = []
    for r in groups:
        other = rest.get((r.target, r.group))
        count = f"{r.n}" if r.positives is None else f"{r.n} ({r.positives})"
        p = p_text(other.p_holm) if other else "–"
        lines.append((_words(r.target), r.group, count, with_interval(r), with_interval(other), p))
    if all(math.isnan(r.value) for r in groups):
        lines = _alike_as_one(lines)
    columns = ("target", grouping, "n (positive)" if task == DIAGNOSIS else "patients", COLUMN_NAMES[metric])
    title = _marked(f"{COLUMN_NAMES[metric]} by {grouping}", lines)
    return Sheet(title, (*columns, "minus the rest", "Holm p"), tuple(lines))


def _alike_as_one(lines: Sequence[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Lines that differ in their target only as one, which names three of its targets, or says "any" for all."""
    targets: dict[tuple[str, ...], list[str]] = {}
    for target, *cells in lines:
        targets.setdefault(tuple(cells), []).append(target)
    every = len({line[0] for line in lines})

    def told(names: Sequence[str]) -> str:
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        return "any" if len(names) == every else ", ".join(names[:3]) + more

    return [(told(names), *cells) for cells, names in targets.items()]


def gaps(rows: Sequence[Row], task: str) -> Sheet:
    """Best minus worst group of every target and grouping."""
    found = [r for r in rows if r.task == task and r.metric.endswith("_gap")]
    lines = tuple(
        (_words(r.target), r.grouping, COLUMN_NAMES[r.metric], r.group, r.against, with_interval(r)) for r in found
    )
    title = "Equality gaps: best minus worst group (chosen by looking, so biased upwards and not tested)"
    return Sheet(title, ("target", "grouping", "metric", "best", "worst", "gap"), lines)


def comparisons(rows: Sequence[Row]) -> Sheet:
    """Differences from compared runs, ours minus theirs."""
    found = [r for r in rows if r.against and not r.grouping]
    lines = tuple(
        (_words(r.target), r.against, f"{r.n}", COLUMN_NAMES[r.metric], with_interval(r), p_text(r.p_holm))
        for r in found
    )
    return Sheet(_marked("Ours minus the compared run", lines), ("target", "run", "n", *_DIFFERENCE), lines)


def by_share(rows: Sequence[Row], task: str, metric: str) -> Sheet:
    """A line a target and share of the training labels: each curve's metric, and what pretraining adds to it."""
    found = find(rows, task=task, metric=metric, grouping=FRACTION)
    curves = dict.fromkeys(r.note for r in found if not r.against)
    pairs = dict.fromkeys((r.note, r.against) for r in found if r.against)
    lines = []
    for target, share in dict.fromkeys((r.target, r.group) for r in found):
        here = find(found, target=target, group=share)
        points = {r.note: r for r in here if not r.against}
        gaps_of = {(r.note, r.against): r for r in here if r.against}
        numbers = [with_interval(points.get(curve)) for curve in curves]
        for pair in pairs:
            gap = gaps_of.get(pair)
            numbers += [with_interval(gap), p_text(gap.p_holm) if gap else "–"]
        n = next(iter(points.values())).n
        lines.append((_words(target), f"{100 * float(share):.3g} %", f"{n}", *numbers))
    names = [name for one, other in pairs for name in (f"{one} {MINUS} {other}", "Holm p")]
    first = "label" if task == DIAGNOSIS else "structure"
    title = f"{COLUMN_NAMES[metric]} by share of the training labels"
    return Sheet(title, (first, "labels used", "n", *(curve or "runs" for curve in curves), *names), tuple(lines))


def _words(name: str) -> str:
    return name.replace("_", " ")
