"""The report folder: tables, figures, text and one HTML file that needs no network."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader, StrictUndefined

from orthodx.evaluation import figures, overview
from orthodx.evaluation.diagnosis import TASK as DIAGNOSIS
from orthodx.evaluation.figures import Picture
from orthodx.evaluation.files import CASE_FILE, METRIC_FILE, SUMMARY_FILE, summary, write_files
from orthodx.evaluation.gallery import WorstCase, worst_diagnoses, worst_masks
from orthodx.evaluation.groups import CROSS
from orthodx.evaluation.label_cases import cases_by_label
from orthodx.evaluation.label_efficiency import FRACTION
from orthodx.evaluation.methods import as_markdown, checklist, methods
from orthodx.evaluation.overview import COLUMN_NAMES, Sheet, number
from orthodx.evaluation.rows import ALL_STRUCTURES, MACRO, Row, find
from orthodx.evaluation.segmentation import TASK as SEGMENTATION
from orthodx.studies.nameless import nameless_command
from orthodx.studies.readable import counted, readable
from orthodx.studies.run_record import RUN, versions, write_run
from orthodx.studies.writing import atomic

if TYPE_CHECKING:
    from orthodx.evaluation.evaluate import Evaluation

REPORT, METHODS, FIGURES = "report.html", "methods.md", "figures"
RANKING = ("auroc", "average_precision", "prevalence", "brier", "calibration_error")
OPERATING = ("sensitivity", "specificity", "ppv", "npv", "net_benefit")
OVERLAP = ("dice", "nsd", "hd95_mm", "assd_mm", "detection_rate")
SIZES = ("volume_error_ml", "volume_error_percent", "missed", "false", "both_empty")
WRITTEN = (REPORT, METHODS, METRIC_FILE, CASE_FILE, SUMMARY_FILE, RUN)
MAIN = {DIAGNOSIS: "auroc", SEGMENTATION: "dice"}
EVERYTHING = {DIAGNOSIS: MACRO, SEGMENTATION: ALL_STRUCTURES}


@dataclass(frozen=True)
class Section:
    """One part of the page."""

    id: str
    title: str
    text: str = ""
    sheets: tuple[Sheet, ...] = ()
    pictures: tuple[Picture, ...] = ()
    worst: tuple[WorstCase, ...] = ()
    broad: bool = False

    @property
    def narrow(self) -> list[Picture]:
        """Square figures, set side by side."""
        return [p for p in self.pictures if not p.wide]

    @property
    def wide(self) -> list[Picture]:
        """Figures that need room for names."""
        return [p for p in self.pictures if p.wide]


@dataclass(frozen=True)
class Card:
    """A headline number."""

    name: str
    value: str
    about: str


def write_report(e: Evaluation, out: Path) -> Evaluation:
    """Write everything under `out`, the page last; returns the evaluation with its summary."""
    out.mkdir(parents=True, exist_ok=True)
    e = replace(e, summary=summary(e))
    write_files(e, out)
    with atomic(out / METHODS) as temporary:
        temporary.write_text(readable(as_markdown(e), keep="\n"), encoding="utf-8")
    drawn = out / FIGURES
    sections = [s for s in (_diagnosis(e, drawn), _segmentation(e, drawn), *_groups(e, drawn), _compared(e),
                            _efficiency(e, drawn), *_worst(e, drawn)) if s is not None]  # fmt: skip
    page = _page(e, sections)
    with atomic(out / REPORT) as temporary:
        temporary.write_text(readable(page, keep="\t\n"), encoding="utf-8")
    figures = sorted(f"{picture.name}.{kind}" for s in sections for picture in s.pictures for kind in ("png", "svg"))
    _take_away(drawn, _told_figures(out / RUN) - set(figures))
    facts = {k: e.summary[k] for k in ("inputs", "settings", "compared", "counts")} | {"figures": figures}
    words = nameless_command(e.command, e.settings, keep_paths=e.settings.keep_paths)
    write_run(out / RUN, command=words, started=e.started, facts=facts)
    return e


def _told_figures(record: Path) -> set[str]:
    """Names of the figures of the report that was here before."""
    try:
        return set(map(str, json.loads(record.read_text(encoding="utf-8"))["figures"]))
    except (OSError, ValueError, KeyError, TypeError):
        return set()


def _take_away(folder: Path, names: Iterable[str]) -> None:
    for path in (folder / Path(name).name for name in names):
        path.unlink(missing_ok=True)


def _page(e: Evaluation, sections: Sequence[Section]) -> str:
    environment = Environment(
        loader=PackageLoader("orthodx", "evaluation"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    record = {
        "inputs": "; ".join(f"{k}: {v.get('name', k)} ({v['sha256'][:12]})" for k, v in e.summary["inputs"].items()),
        "settings": "; ".join(_setting(k, v) for k, v in e.summary["settings"].items() if v not in (None, [], False)),
        "versions": ", ".join(f"{k} {v}" for k, v in versions().items()),
        "schema": "{name} {version}".format(**e.summary["schema"]),
    }
    return environment.get_template("report.html.j2").render(
        title=f"Evaluation of {e.run.facts.name}", created=e.started.strftime("%Y-%m-%d %H:%M UTC"),
        version=version("orthodx"), sections=sections, cards=_cards(e), refused=e.notices.refused,
        notes=e.notices.notes, methods=methods(e), checklist=checklist(e), record=record,
    )  # fmt: skip


def _setting(name: str, value: object) -> str:
    return f"{name} {', '.join(map(str, value)) if isinstance(value, list) else value}".removesuffix(" True")


def _cards(e: Evaluation) -> list[Card]:
    cards = []
    for task, metric in MAIN.items():
        if task not in e.summary["counts"]:
            continue
        counts = e.summary["counts"][task]
        about = ", ".join(counted(v, k) for k, v in counts.items() if isinstance(v, int))
        overall = find(e.rows, task=task, metric=metric, grouping="", against="")
        row = next((r for r in overall if r.target == EVERYTHING[task]), overall[0])
        between = "" if row.low != row.low else f"95 % {number(row.low, metric)} to {number(row.high, metric)}; "
        cards.append(Card(f"{COLUMN_NAMES[metric]}, {row.target}", number(row.value, metric), f"{between}{about}"))
    if e.settings.by:
        told, _, further = overview.differences_told(e.rows).partition(": ")
        value, about = (told, further) if told == "not testable" else (told.split("; ")[0], "after Holm's adjustment")
        about += f"; not testable: {further}" if further and told != "not testable" else ""
        cards.append(Card("groups against the rest", value, about))
    doubtful = counted(len(e.notices.refused), "findings")
    cards.append(Card("left out", str(e.notices.left_out), f"without prediction or truth; {doubtful} not trusted"))
    return cards


def _diagnosis(e: Evaluation, folder: Path) -> Section | None:
    d = e.run.diagnoses
    if d is None:
        return None
    pictures = []
    overall = {r.target: r for r in find(e.rows, task=DIAGNOSIS, metric="auroc", grouping="", against="")}
    for label in cases_by_label(d):
        if label.both_classes:
            pictures.append(figures.roc(label, overall[label.name], folder, e.settings.resamples, e.settings.seed))
            pictures.append(figures.calibration(label, folder))
            pictures.append(figures.decision_curve(label, e.thresholds[label.name].value, folder))
    ranking = overview.by_target(e.rows, DIAGNOSIS, "All studies, 95 % intervals", RANKING)
    sheets = (ranking, _at_thresholds(e))
    meanings = e.joint.meanings
    text = "; ".join(f"{name}: {meanings[name]}" for name in d.labels if meanings.get(name, name) != name)
    return Section("diagnosis", "Diagnosis", text and f"{text}.", sheets=sheets, pictures=tuple(pictures))


def _at_thresholds(e: Evaluation) -> Sheet:
    """What the thresholds do, each with its value and where it came from."""
    sheet = overview.by_target(e.rows, DIAGNOSIS, "At the operating threshold", OPERATING)
    lines = tuple(
        (*line, f"{e.thresholds[line[0]].value:.3g}", e.thresholds[line[0]].source)
        for line in sheet.lines
        if line[0] in e.thresholds
    )
    return Sheet(sheet.title, (*sheet.columns, "threshold", "from"), lines)


def _segmentation(e: Evaluation, folder: Path) -> Section | None:
    if e.run.masks is None:
        return None
    rows = find(e.rows, task=SEGMENTATION)
    pictures = [figures.strips(e.run.masks, rows, m, COLUMN_NAMES[m], folder) for m in ("dice", "nsd")]
    text = (
        f"NSD at {e.settings.tolerance_mm:g} mm. A missed or falsely found structure has Dice and NSD 0 and no "
        "distance: read HD95 and ASSD beside the detection rate. Structures in neither mask nor truth are not scored."
    )
    overlap = overview.by_target(e.rows, SEGMENTATION, "All series, 95 % intervals over patients", OVERLAP)
    sizes = overview.by_target(e.rows, SEGMENTATION, "Volumes, and series in which a structure is empty", SIZES)
    return Section("segmentation", "Segmentation", text, (overlap, sizes), tuple(pictures))


def _groups(e: Evaluation, folder: Path) -> list[Section]:
    sections = []
    for task, groups in ((DIAGNOSIS, e.groups), (SEGMENTATION, e.series_groups)):
        sheets, pictures = [], []
        for grouping in groups:
            metric = MAIN[task]
            sheets.append(overview.by_group(e.rows, task, grouping, metric))
            rows = find(e.rows, task=task, grouping=grouping, metric=metric, against="")
            if CROSS in grouping:
                rows = _main_target(rows, EVERYTHING[task])
            if any(r.value == r.value for r in rows):
                name = f"forest_{task}_{figures.safe(grouping)}"
                pictures.append(figures.forest(rows, COLUMN_NAMES[metric], grouping, folder, name))
        if sheets:
            sheets.append(overview.gaps(e.rows, task))
            text = "Each group against all other cases; p values Holm-adjusted over all tests of this task."
            found = overview.group_differences(find(e.rows, task=task))
            sheets.insert(0, found) if found.lines else None
            told = overview.differences_told(find(e.rows, task=task))
            none = f" Of groups and targets, {told}." if told.startswith("not testable") else f" {told}."
            text += "" if found.lines else none
            shown = tuple(s for s in sheets if s.lines)
            sections.append(Section(f"groups-{task}", f"{task.capitalize()} by group", text, shown, tuple(pictures)))
    return sections


def _main_target(rows: list[Row], average: str) -> list[Row]:
    """Of crossed groups only the average is drawn, else the first target: the table has the rest."""
    wanted = average if any(r.target == average for r in rows) else rows[0].target if rows else ""
    return [r for r in rows if r.target == wanted]


def _compared(e: Evaluation) -> Section | None:
    sheet = overview.comparisons(e.rows)
    text = "Above zero: this run is higher. For Brier, HD95 and ASSD lower is better."
    return Section("compared", "Comparison", text, (sheet,)) if sheet.lines else None


def _efficiency(e: Evaluation, folder: Path) -> Section | None:
    rows = find(e.rows, grouping=FRACTION)
    if not rows:
        return None
    pictures, sheets = [], []
    for task, metric in MAIN.items():
        part = _main_target(find(rows, task=task, metric=metric, against=""), EVERYTHING[task])
        if len({r.group for r in part}) > 1:
            pictures.append(figures.efficiency(part, part[0].target, COLUMN_NAMES[metric], folder))
        sheets.append(overview.by_share(rows, task, metric))
    text = (
        "Each number on the same cases; several runs of one start and share are averaged, and how they scatter counts "
        "in the intervals, Student's t over patients. Differences are paired, p values Holm-adjusted within the task."
    )
    shown = tuple(sheet for sheet in sheets if sheet.lines)
    return Section("efficiency", "Label efficiency", text, shown, tuple(pictures))


def _worst(e: Evaluation, folder: Path) -> list[Section]:
    sections = []
    if masks := worst_masks(e, folder):
        text = "The series with the lowest mean Dice, each at the slice where mask and truth differ most."
        sections.append(Section("worst-masks", "Worst masks", text, worst=tuple(masks), broad=True))
    if diagnoses := worst_diagnoses(e, folder):
        text = "The probabilities farthest from the truth, with the middle slice where the manifest leads to an image."
        sections.append(Section("worst-diagnoses", "Worst diagnoses", text, worst=tuple(diagnoses)))
    return sections
