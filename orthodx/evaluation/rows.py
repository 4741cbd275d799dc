"""The tidy row every table, figure and file of a report is made from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from statsmodels.stats.multitest import multipletests

REST = "the rest"
MACRO, MICRO, ALL_STRUCTURES = "macro average", "micro average", "all structures"
NAN = float("nan")


@dataclass(frozen=True, kw_only=True)
class Row:
    """One number.

    task: diagnosis or segmentation. target: label, structure or average. grouping and group: blank for all cases.
    against: blank for a value; `the rest`, a group or a run's name for a difference. n: studies or patients behind
    it, positives among them. p_holm: p adjusted over all tests of its table. note: why a number is missing.
    """

    task: str
    target: str
    metric: str
    value: float = NAN
    low: float = NAN
    high: float = NAN
    n: int = 0
    positives: int | None = None
    grouping: str = ""
    group: str = ""
    against: str = ""
    p: float = NAN
    p_holm: float = NAN
    note: str = ""


COLUMNS = tuple(f.name for f in fields(Row))


def with_holm(rows: Sequence[Row]) -> list[Row]:
    """The same rows with `p_holm` over all p in them (Holm 1979)."""
    tested = [i for i, row in enumerate(rows) if not math.isnan(row.p)]
    out = list(rows)
    if tested:
        adjusted = multipletests([rows[i].p for i in tested], method="holm")[1]
        for i, p in zip(tested, adjusted, strict=True):
            out[i] = replace(rows[i], p_holm=float(p))
    return out


def plain(row: Row) -> dict[str, Any]:
    """As a dictionary for JSON: a number that is not there is None."""
    return {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in asdict(row).items()}


def for_table(row: Row) -> dict[str, Any]:
    """As a dictionary for CSV: a number that is not there is blank."""
    return {k: "" if v is None else v for k, v in plain(row).items()}


def find(rows: Sequence[Row], **wanted: Any) -> list[Row]:
    """Rows whose fields equal the wanted ones."""
    return [row for row in rows if all(getattr(row, k) == v for k, v in wanted.items())]
