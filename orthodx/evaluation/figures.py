"""Figures of a report, each drawn once: SVG and PNG files on white, and SVG for the page in the page's own colours."""

from __future__ import annotations

import io
import itertools
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from sklearn.calibration import calibration_curve
from sklearn.metrics import roc_curve

from orthodx.evaluation.label_cases import LabelCases
from orthodx.evaluation.label_efficiency import FRACTION, PRETRAINED
from orthodx.evaluation.operating import BINS, net_benefit, proportion
from orthodx.evaluation.ranking import roc_points
from orthodx.evaluation.resampling import PatientBootstrap
from orthodx.evaluation.rows import Row, find
from orthodx.studies.keys import file_name
from orthodx.studies.readable import readable
from orthodx.studies.writing import atomic

INK, BLUE, ORANGE, GREY = "#1c2024", "#3a80d2", "#e07a2f", "#8c939b"
CURVES = (BLUE, ORANGE, GREY, INK, "#3f9b57", "#8e5ea8")
_STYLE = {
    "font.family": "sans-serif", "font.size": 9, "axes.titlesize": 10, "axes.labelsize": 9, "text.color": INK,
    "axes.edgecolor": INK, "axes.labelcolor": INK, "xtick.color": INK, "ytick.color": INK, "axes.titlecolor": INK,
    "axes.spines.top": False, "axes.spines.right": False, "axes.linewidth": 0.8, "svg.fonttype": "none",
    "svg.hashsalt": "orthodx", "legend.frameon": False, "legend.fontsize": 8, "figure.facecolor": "#ffffff",
    "axes.facecolor": "#ffffff", "text.parse_math": False,
}  # fmt: skip


@dataclass(frozen=True)
class Picture:
    """One figure: file name without suffix, what a screen reader says, SVG for the page, whether it is wide."""

    name: str
    alt: str
    svg: str
    wide: bool = False


@contextmanager
def _drawing(width: float, height: float) -> Iterator[tuple[Figure, Axes]]:
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(figure)
        yield figure, figure.add_subplot()


def _finish(figure: Figure, folder: Path, name: str, alt: str, wide: bool = False) -> Picture:
    """Save as SVG and PNG; the page's copy has its ink and paper replaced by the page's."""
    buffer = io.StringIO()
    with warnings.catch_warnings(), atomic(folder / f"{name}.png") as temporary:
        warnings.filterwarnings("ignore", message="Glyph")  # names in scripts the font lacks; SVG keeps them as text
        if (layout := figure.get_layout_engine()) is not None:
            layout.execute(figure)
            figure.set_layout_engine("none")  # once is enough for both
        figure.savefig(buffer, format="svg", metadata={"Date": None})
        figure.savefig(temporary, format="png", dpi=150)
    svg = readable(buffer.getvalue(), keep="\t\n")
    with atomic(folder / f"{name}.svg") as temporary:
        temporary.write_text(svg, encoding="utf-8")
    page = svg[svg.index("<svg") :].replace(INK, "currentColor").replace("fill: #ffffff", "fill: none")
    return Picture(name, alt, page, wide)


def safe(text: str) -> str:
    """A file-name part, no two alike."""
    return file_name(text.replace(" ", "_"))


def roc(label: LabelCases, row: Row, folder: Path, resamples: int, seed: int) -> Picture:
    """ROC curve with a pointwise 95 % band from resampled patients."""
    grid = np.linspace(0, 1, 101)
    _, patient = np.unique(label.patient, return_inverse=True)
    blocks = PatientBootstrap(patient, resamples, seed).weights()
    curves = np.concatenate([roc_points(label.scores, label.positive, w, grid) for w in blocks])
    low, high = np.quantile(curves, [0.025, 0.975], axis=0)
    fpr, tpr, _ = roc_curve(label.positive, label.scores)
    with _drawing(3.4, 3.3) as (figure, ax):
        ax.fill_between(grid, low, high, color=BLUE, alpha=0.22, linewidth=0)
        ax.plot([0, 1], [0, 1], color=GREY, lw=0.8, ls="--")
        ax.plot(fpr, tpr, color=BLUE, lw=1.6)
        _square(ax, "1 − specificity", "sensitivity", f"{_brief(label.name)}: AUROC {row.value:.3f}")
        alt = f"ROC curve of {label.name}, AUROC {row.value:.3f} ({row.low:.3f} to {row.high:.3f})"
        return _finish(figure, folder, f"roc_{safe(label.name)}", alt)


def calibration(label: LabelCases, folder: Path) -> Picture:
    """Observed share against mean probability in ten bins of equal count, Wilson intervals."""
    edges = np.unique(np.quantile(label.scores, np.linspace(0, 1, BINS + 1)))
    share, mean = calibration_curve(label.positive, label.scores, n_bins=BINS, strategy="quantile")
    member = np.searchsorted(edges[1:-1], label.scores)
    bins = [proportion(label.positive[member == b], label.patient[member == b]) for b in np.unique(member)]
    with _drawing(3.4, 3.3) as (figure, ax):
        ax.plot([0, 1], [0, 1], color=GREY, lw=0.8, ls="--")
        if len(bins) == len(share):
            ax.vlines(mean, [b.low for b in bins], [b.high for b in bins], color=BLUE, lw=1, alpha=0.7)
        ax.plot(mean, share, color=BLUE, lw=1.2, marker="o", ms=4)
        _square(ax, "predicted probability", "observed share", f"{_brief(label.name)}: calibration")
        return _finish(figure, folder, f"calibration_{safe(label.name)}", f"Calibration curve of {label.name}")


def decision_curve(label: LabelCases, threshold: float, folder: Path) -> Picture:
    """Net benefit of the model, of treating all and of treating none, over thresholds."""
    at = np.linspace(0.01, 0.99, 99)
    prevalence = float(label.positive.mean())
    model = np.array([net_benefit(label.scores, label.positive, t) for t in at])
    everyone = prevalence - (1 - prevalence) * at / (1 - at)
    with _drawing(3.4, 3.3) as (figure, ax):
        ax.axhline(0, color=GREY, lw=0.8)
        ax.plot(at, everyone, color=ORANGE, lw=1, ls="--", label="all positive")
        ax.plot(at, model, color=BLUE, lw=1.6, label="model")
        ax.axvline(threshold, color=GREY, lw=0.8, ls=":")
        ax.set(xlim=(0, 1), ylim=(-0.05, max(0.05, prevalence * 1.1)), xlabel="threshold", ylabel="net benefit")
        ax.set_title(f"{_brief(label.name)}: decision curve")
        ax.legend(loc="upper right")
        return _finish(figure, folder, f"benefit_{safe(label.name)}", f"Net benefit of {label.name} over thresholds")


def _square(ax: Axes, x: str, y: str, title: str) -> None:
    ax.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), xlabel=x, ylabel=y, title=title, aspect="equal")


def forest(rows: Sequence[Row], metric_name: str, grouping: str, folder: Path, name: str) -> Picture:
    """Value and interval of every group, a block a target; the dotted line is the target over all groups."""
    targets = list(dict.fromkeys(r.target for r in rows))
    lines: list[Row | str] = []
    for target in targets:
        lines += [target, *(r for r in rows if r.target == target)]
    with _drawing(5.0, 0.7 + 0.2 * len(lines)) as (figure, ax):
        for y, line in enumerate(lines):
            if isinstance(line, str):
                continue
            known = not np.isnan(line.value)
            ax.plot([line.low, line.high], [y, y], color=BLUE, lw=1.2)
            ax.plot([line.value], [y], "o", color=BLUE, ms=4)
            if not known:
                ax.text(0.01, y, "n too small", transform=ax.get_yaxis_transform(), va="center", fontsize=7, color=GREY)
        ax.set_yticks(range(len(lines)))
        ax.set_yticklabels([_heading(x) if isinstance(x, str) else _brief(x.group) for x in lines])
        for tick, line in zip(ax.get_yticklabels(), lines, strict=True):
            tick.set_fontweight("bold" if isinstance(line, str) else "normal")
        ax.set(ylim=(len(lines) - 0.5, -0.5), xlabel=metric_name, title=f"{metric_name} by {_brief(grouping, 60)}")
        ax.grid(axis="x", color=GREY, alpha=0.25, lw=0.6)
        ax.tick_params(axis="y", length=0)
        return _finish(figure, folder, name, f"{metric_name} with 95 % intervals by {grouping}", wide=True)


def _heading(target: str) -> str:
    return _brief(target.replace("_", " "))


def _brief(name: str, most: int = 40) -> str:
    """A name that leaves room for the figure; wide signs count twice."""
    wide = [2 if ord(sign) > 0x2E80 else 1 for sign in name]
    return name if sum(wide) <= most else name[: int(np.searchsorted(np.cumsum(wide), most - 1))] + "…"


def strips(scores: pd.DataFrame, rows: Sequence[Row], metric: str, metric_name: str, folder: Path) -> Picture:
    """Every series as a dot, a row a structure; the bar is the patient mean with its interval."""
    overall = {r.target: r for r in find(rows, metric=metric, grouping="", against="") if not np.isnan(r.value)}
    names = [n for n in scores["structure"].unique() if n in overall]
    rng = np.random.default_rng(0)
    with _drawing(5.0, 0.8 + 0.32 * len(names)) as (figure, ax):
        for y, name in enumerate(names):
            values = scores.loc[scores["structure"] == name, metric].dropna().to_numpy()
            ax.plot(values, y + rng.uniform(-0.25, 0.25, len(values)), ".", color=BLUE, ms=3, alpha=0.5, zorder=1,
                    rasterized=len(values) > 200)  # fmt: skip
            row = overall[name]
            ax.plot([row.low, row.high], [y, y], color=ORANGE, lw=3, solid_capstyle="butt", zorder=2)
            ax.plot([row.value], [y], "|", color=ORANGE, ms=12, mew=2, zorder=3)
        ax.set_yticks(range(len(names)), [_heading(n) for n in names])
        ax.set(
            ylim=(len(names) - 0.5, -0.5),
            xlim=(-0.02, 1.02),
            xlabel=metric_name,
            title=f"{metric_name}, a dot a series",
        )
        ax.grid(axis="x", color=GREY, alpha=0.25, lw=0.6)
        ax.tick_params(axis="y", length=0)
        return _finish(figure, folder, f"strips_{metric}", f"{metric_name} of every series by structure", wide=True)


def efficiency(rows: Sequence[Row], target: str, metric_name: str, folder: Path) -> Picture:
    """A metric over the share of training labels, with its intervals; a curve each way of starting."""
    rows = [r for r in rows if r.grouping == FRACTION and r.target == target and not r.against]
    with _drawing(5.0, 3.2) as (figure, ax):
        curves = sorted(dict.fromkeys(r.note for r in rows), key=lambda note: not note.startswith(PRETRAINED))
        for start, colour in zip(curves, itertools.cycle(CURVES), strict=False):
            points = [r for r in rows if r.note == start]
            x = [100 * float(r.group) for r in points]
            ax.fill_between(x, [r.low for r in points], [r.high for r in points], color=colour, alpha=0.2, linewidth=0)
            ax.plot(x, [r.value for r in points], "o-", color=colour, ms=4, lw=1.4, label=start or "runs")
        ax.set(xscale="log", xlabel="training labels used, %", ylabel=metric_name)
        ticks = sorted({100 * float(r.group) for r in rows})
        ax.set_xticks(ticks, [f"{t:g}" for t in ticks])
        ax.minorticks_off()
        ax.set_title(f"{_heading(target)}: label efficiency")
        ax.legend(loc="lower right")
        name = f"label_efficiency_{safe(target)}_{safe(metric_name)}"
        return _finish(figure, folder, name, f"{metric_name} of {target} over the share of training labels", wide=True)
