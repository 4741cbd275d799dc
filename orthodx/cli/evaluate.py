"""`orthodx evaluate`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

from orthodx.cli import exits
from orthodx.cli.command import Given, command
from orthodx.cli.options import (
    A_JOINT,
    KEEP_PATHS,
    LINK,
    RESUME,
    SEED,
    WORKERS,
    Voice,
    comma_separated,
    out,
    print_json,
)
from orthodx.requests import EvaluateRequest

if TYPE_CHECKING:
    from rich.table import Table

    from orthodx.evaluation.overview import Sheet

WORDS = {
    "predictions": typer.Option(help="Predictions CSV; else ./predictions.csv."),
    "labels": typer.Option(help="Labels CSV; else ./labels.csv."),
    "link": LINK,
    "masks": typer.Option(help="Folder of <series_id>.nii.gz; else ./masks."),
    "truth": typer.Option(help="Folder of true masks of the same names; else ./truth."),
    "manifest": typer.Option(help="Manifest; else ./manifest.csv."),
    "ehr": typer.Option(help="EHR table, one row per study; else ./ehr.csv."),
    "joint": typer.Option(help=f"{A_JOINT}; else that of masks or manifest."),
    "by": typer.Option(
        metavar="COLS",
        help="Columns to group by, alone and crossed: a,b.",
        callback=comma_separated,
        show_default=False,
    ),
    "compare": typer.Option(
        metavar="CSV_OR_DIR", help="Another run on the same cases (repeatable).", show_default=False
    ),
    "out": out("Report folder."),
    "thresholds": typer.Option(
        "--threshold",
        help="0.4 for all labels, or CODE=0.4 (repeatable); else the run record's.",
        show_default=False,
    ),
    "tolerance_mm": typer.Option("--tolerance", help="Tolerance of the surface Dice, mm."),
    "min_cell": typer.Option(help="Fewest patients (of each class) for a number of a group."),
    "resamples": typer.Option(help="Bootstrap resamples of patients."),
    "worst": typer.Option(min=0, help="Cases in the worst-case gallery."),
    "workers": WORKERS,
    "seed": SEED,
    "resume": RESUME,
    "keep_paths": KEEP_PATHS,
}


@command(EvaluateRequest, WORDS)
def run(given: Given) -> None:
    """Score predictions and masks against their truth: tables, figures and one HTML report."""
    from orthodx.evaluation.evaluate import evaluate
    from orthodx.evaluation.overview import differences_told, overview
    from orthodx.evaluation.report import REPORT

    voice = given.voice

    def tell(line: str, refused: bool) -> None:
        if refused:
            exits.say_error(line)
        else:
            voice.note(line)

    with voice.progress() as progress:
        done = evaluate(given.request, tell=tell, progress=progress, command=sys.argv)
    show(overview(done.rows), voice)
    if told := differences_told(done.rows):
        voice.say(f"groups against the rest (Holm-adjusted): {told}")
    voice.say(f"-> {given.request.out / REPORT}")
    if given.json:
        print_json(done.summary)
    if done.notices.refused:
        raise SystemExit(exits.SOME_FAILED)


def show(sheets: Sequence[Sheet], voice: Voice) -> None:
    """Sheets as tables of the terminal, unless quiet."""
    from rich.console import Console

    console = Console(
        file=voice.file, markup=False, emoji=False, highlight=False, width=None if voice.file.isatty() else 110
    )
    for table in () if voice.quiet else _tables(sheets):
        console.print(table)


def _tables(sheets: Sequence[Sheet]) -> list[Table]:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    tables = []
    for sheet in sheets:
        table = Table(title=sheet.title, title_justify="left", box=SIMPLE_HEAD, padding=0)
        for i, name in enumerate(sheet.columns):
            longest = max((len(word) for line in sheet.lines for word in line[i].split()), default=1)
            table.add_column(name, justify="left" if i == 0 else "right", overflow="fold", min_width=longest)
        for line in sheet.lines:
            table.add_row(*line)
        tables.append(table)
    return tables
