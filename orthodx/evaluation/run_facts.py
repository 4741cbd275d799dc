"""What the record beside a set of results says about the run that made them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orthodx.evaluation.notices import Notices
from orthodx.studies.readable import readable, readable_values

RUN = "run.json"


@dataclass(frozen=True, eq=False)
class RunFacts:
    """Facts of one run.

    name: what figures call it. thresholds: label -> threshold frozen on validation data. label_fraction: share
    of training labels used, 0 to 1. start: pretrained or from scratch, where known; frozen, where the encoders were
    left alone. encoder: of what kind, blank where it is unknown. record: all of `run.json`.
    """

    name: str
    thresholds: dict[str, float]
    label_fraction: float | None
    start: str
    encoder: str
    record: dict[str, Any]


def read_facts(results: Path, notices: Notices, *, keep_paths: bool = False) -> RunFacts:
    """Facts from `<name>.run.json` or `run.json` beside a prediction table, or inside a folder of masks.

    The run is called after its table or folder, or, where that has its usual name, after its model; with keep_paths
    after the folder around it, as compared runs always are: they must be told apart.
    """
    folder, stem = (results, "") if results.is_dir() else (results.parent, results.stem)
    record: dict[str, Any] = {}
    for path in (folder / f"{stem}.{RUN}", folder / RUN):
        if path.is_file():
            try:
                record = dict(readable_values(json.loads(path.read_text(encoding="utf-8"))))
                break
            except (ValueError, TypeError, OSError, RecursionError) as error:
                notices.note(f"{path.name}: not a run record ({error}); thresholds and training facts stay unknown")
    model = record.get("model") if isinstance(record.get("model"), dict) else {}
    facts = {**record, **(model or {})}
    named = results.resolve()
    name = named.name.removesuffix(".csv")
    if named.name in ("predictions.csv", "masks"):
        name = named.parent.name if keep_paths else str((model or {}).get("name") or "run")
    scratch = facts.get("from_scratch")
    start = "" if scratch is None else ("from scratch" if scratch else "pretrained")
    start += ", frozen" if facts.get("frozen") is True and start else ""
    return RunFacts(
        name=readable(name) or "run",
        thresholds=_numbers(facts.get("thresholds")),
        label_fraction=_fraction(facts.get("label_fraction")),
        start=start,
        encoder=str(facts.get("encoder") or ""),
        record=record,
    )


def _numbers(value: Any) -> dict[str, float]:
    items = value.items() if isinstance(value, dict) else ()
    return {str(k): float(v) for k, v in items if isinstance(v, (int, float)) and 0 < v < 1}


def _fraction(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) and 0 < value <= 1 else None
