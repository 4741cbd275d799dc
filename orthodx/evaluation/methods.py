"""Text to start a paper from: a methods paragraph, and the CLAIM and TRIPOD+AI items a run can answer."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from orthodx.evaluation.rows import REST
from orthodx.studies.readable import counted
from orthodx.studies.run_record import versions

if TYPE_CHECKING:
    from orthodx.evaluation.evaluate import Evaluation

TO_WRITE = "to be written by the authors"


@dataclass(frozen=True)
class Item:
    """One checklist item: guideline, what it asks, the draft answer, whether the run could answer it."""

    guideline: str
    asks: str
    answer: str
    answered: bool


def methods(e: Evaluation) -> str:
    """One paragraph saying what was measured and how, with implementation, versions and settings."""
    return " ".join(_sentences(e))


def _sentences(e: Evaluation) -> Iterator[str]:
    s, v, counts = e.settings, versions(), e.summary["counts"]
    yield "The patient was the unit of analysis: intervals and tests resample or cluster patients."
    if "diagnosis" in counts:
        c = counts["diagnosis"]
        yield (
            f"Diagnosis was evaluated on {counted(c['studies'], 'studies')} of {counted(c['patients'], 'patients')} "
            f"for {counted(len(c['labels']), 'labels')}; blank labels counted as unknown and were left out label by "
            "label. AUROC has DeLong intervals "
            "(variance clustered by patient, logit scale; exact binomial on disjoint pairs where it is 0 or 1); "
            "sensitivity, specificity and predictive values have Wilson intervals; average precision, Brier score and "
            f"expected calibration error (10 bins) have percentile intervals of {s.resamples} patient resamples "
            f"(seed {s.seed}). Macro averages weigh labels equally; the micro average pools study-label pairs."
        )
        sources = sorted({t.source for t in e.thresholds.values()})
        yield f"Operating thresholds came from: {'; '.join(sources)}."
    if "segmentation" in counts:
        c = counts["segmentation"]
        yield (
            f"Segmentation was evaluated on {counted(c['series'], 'series')} of {counted(c['patients'], 'patients')}; "
            "series were averaged within studies and studies within patients. Dice, normalised surface Dice (NSD, "
            "tolerance "
            f"{s.tolerance_mm:g} mm), the larger directed 95th percentile Hausdorff distance (HD95) and the average "
            f"symmetric surface distance (ASSD) were computed with MONAI {v.get('monai', '')} in mm with the voxel "
            "spacing, between surface voxels of 6-connected erosion. A structure missed or found falsely has Dice and "
            "NSD 0 and no distance; one that neither mask nor truth holds is not scored. Intervals are percentiles of "
            f"{s.resamples} patient resamples; detection rates have Wilson intervals."
        )
    tests = sum(r.p == r.p for r in e.rows if r.against == REST)
    if s.by:
        yield (
            f"Groups by {', '.join(s.by)}{' and their crossing' if len(s.by) > 1 else ''} were each compared with all "
            "other cases (AUROC: clustered DeLong variances, t on the logit scale; Dice and NSD: patient "
            f"means, Student's t); the {tests} p values were adjusted by Holm within each task. Groups with fewer than "
            f"{counted(s.min_cell, 'patients')} of each class are not reported."
        )
    if e.others:
        yield (
            f"Runs were compared on the cases both hold ({', '.join(r.facts.name for r in e.others)}): AUROC by paired "
            "DeLong test, average precision and Brier by paired patient bootstrap, segmentation by paired patient "
            "bootstrap intervals and Wilcoxon's signed-rank test, Holm-adjusted within each task."
        )
    packages = ", ".join(f"{k} {v[k]}" for k in ("python", "orthodx", "monai", "numpy", "scipy") if k in v)
    yield f"Software: {packages}, scikit-learn, statsmodels."


def checklist(e: Evaluation) -> list[Item]:
    """CLAIM (Tejani 2024) and TRIPOD+AI (Collins 2024) items, by name; numbers belong to the journal's version."""
    record, counts = e.run.facts.record, e.summary["counts"]
    model = record.get("model") if isinstance(record.get("model"), dict) else {}
    said = [f"{k} {model[k]}" for k in ("name", "version", "sha256") if model and model.get(k)]
    sizes = [f"{task}: {counted(c['patients'], 'patients')}" for task, c in counts.items() if isinstance(c, dict)]
    shares = counts.get("diagnosis", {}).get("labels", {})
    prevalence = ", ".join(f"{k} {c['positive']}/{c['known']}" for k, c in shares.items())
    blanks = sum(counts["diagnosis"]["studies"] - c["known"] for c in shares.values()) if shares else 0
    thresholds = "; ".join(f"{k} {t.value:g} ({t.source})" for k, t in e.thresholds.items())
    groups = "; ".join(f"{k}: {', '.join(map(str, v))}" for k, v in e.summary["groups"].items() if " x " not in k)
    worst = f"the {e.settings.worst} worst cases of each task are shown with group and picture"
    notes = "; ".join([*e.notices.refused, *e.notices.notes])
    refused = f"{len(e.notices.refused)} findings refused"
    training = "; ".join(f"{k}: {record[k]}" for k in ("training", "label_fraction", "seed", "device") if k in record)
    return [
        _item("both", "title names the use of AI and the task", ""),
        _item("both", "data sources, dates, eligibility, consent and ethics", ""),
        _item("CLAIM", "image acquisition: scanners, sequences", groups and f"groups reported: {groups}"),
        _item("CLAIM", "de-identification", ""),
        _item("both", "reference standard: definition, raters, agreement between them", ""),
        _item("CLAIM", "partitions are disjoint by patient", ""),
        _item("both", "sample size and participant flow", "; ".join([*sizes, refused])),
        _item("both", "outcome frequency (positive/known)", prevalence),
        _item("both", "missing data", shares and f"{blanks} blank labels, taken as unknown; {notes or 'nothing else'}"),
        _item("both", "model: architecture, version, availability", ", ".join(said)),
        _item("both", "training: data, hyper-parameters, initialisation", training),
        _item("TRIPOD+AI", "operating thresholds and where they come from", thresholds),
        _item("both", "software and versions", ", ".join(f"{k} {v}" for k, v in versions().items())),
        _item("both", "metrics and statistical uncertainty", "methods paragraph; every number has an interval"),
        _item("TRIPOD+AI", "fairness: performance by group", groups and "group tables, Holm-adjusted, equality gaps"),
        _item("CLAIM", "failure analysis", worst if e.settings.worst else ""),
        _item("CLAIM", "external testing", ""),
        _item("both", "limitations, intended use, clinical implications", ""),
        _item("both", "registration, protocol, funding, code and data availability", ""),
    ]  # fmt: skip


def _item(guideline: str, asks: str, answer: Any) -> Item:
    return Item(guideline, asks, str(answer) if answer else TO_WRITE, bool(answer))


def as_markdown(e: Evaluation) -> str:
    """`methods.md`: the paragraph and the list."""
    lines = ["# Methods (draft)", "", _inert(methods(e)), "", "# CLAIM / TRIPOD+AI (draft)", "",
             "| guideline | item | from this run |", "|---|---|---|"]  # fmt: skip
    lines += [f"| {i.guideline} | {i.asks} | {_inert(i.answer)} |" for i in checklist(e)]
    return "\n".join(lines) + "\n"


def _inert(text: str) -> str:
    """One line of Markdown that shows names as they are: no tag, link, picture or cell of theirs."""
    return re.sub(r"([\[\]`|\\])", r"\\\1", html.escape(" ".join(text.split()), quote=False))
