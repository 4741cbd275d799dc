"""`orthodx evaluate`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orthodx.cli import exits
from orthodx.cli.options import Debug, Json, Quiet, Resume, Seed, Voice, Workers

if TYPE_CHECKING:
    from rich.table import Table

    from orthodx.evaluation.evaluate import Evaluation


def run(
    predictions: Annotated[Path | None, typer.Option(help="Predictions CSV; else ./predictions.csv.")] = None,
    labels: Annotated[Path | None, typer.Option(help="Labels CSV; else ./labels.csv.")] = None,
    masks: Annotated[Path | None, typer.Option(help="Folder of <series_id>.nii.gz; else ./masks.")] = None,
    truth: Annotated[Path | None, typer.Option(help="Folder of true masks of the same names; else ./truth.")] = None,
    manifest: Annotated[Path | None, typer.Option(help="Manifest; else ./manifest.csv.")] = None,
    ehr: Annotated[Path | None, typer.Option(help="EHR table, a row a study; else ./ehr.csv.")] = None,
    by: Annotated[str, typer.Option(metavar="COLS", help="Columns to group by, alone and crossed: a,b.")] = "",
    compare: Annotated[
        list[Path] | None,
        typer.Option(metavar="CSV_OR_DIR", help="Another run on the same cases (repeatable)."),
    ] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="Report folder.")] = Path("evaluation"),
    threshold: Annotated[
        list[str] | None, typer.Option(help="0.4 for all labels, or ACL=0.4 (repeatable); else the run record's.")
    ] = None,
    tolerance: Annotated[float, typer.Option(help="Tolerance of the surface Dice, mm.")] = 1.0,
    min_cell: Annotated[int, typer.Option(help="Fewest patients (of each class) for a number of a group.")] = 10,
    resamples: Annotated[int, typer.Option(help="Bootstrap resamples of patients.")] = 2000,
    worst: Annotated[int, typer.Option(min=0, help="Cases in the worst-case gallery.")] = 8,
    workers: Workers = 2,
    seed: Seed = 0,
    quiet: Quiet = False,
    json: Json = False,
    debug: Debug = False,
    resume: Resume = False,
) -> None:
    """Score predictions and masks against their truth: tables, figures and one HTML report."""
    voice = Voice(quiet, json)

    def tell(line: str, refused: bool) -> None:
        if refused:
            exits.say_error(line)
        else:
            voice.say(f"note: {line}")

    with exits.handled(debug):
        from orthodx.evaluation.evaluate import evaluate
        from orthodx.evaluation.report import REPORT
        from orthodx.evaluation.settings import Settings

        settings = Settings(
            by=tuple(c.strip() for c in by.split(",") if c.strip()), thresholds=tuple(threshold or ()),
            tolerance_mm=tolerance, min_cell=min_cell, resamples=resamples, worst=worst, seed=seed,
        )  # fmt: skip
        with voice.progress() as progress:
            done = evaluate(
                out, predictions=predictions, labels=labels, masks=masks, truth=truth, manifest=manifest, ehr=ehr,
                compare=compare or (), settings=settings, workers=workers, resume=resume, tell=tell,
                progress=progress, command=sys.argv,
            )  # fmt: skip
        if not quiet:
            _show(done, voice)
        voice.say(f"-> {out / REPORT}")
        if json:
            import json as encoder

            print(encoder.dumps(done.summary))
        if done.notices.refused:
            raise SystemExit(exits.SOME_FAILED)


def _show(done: Evaluation, voice: Voice) -> None:
    """The headline numbers as a table."""
    from rich.console import Console

    console = Console(file=voice.file, width=None if voice.file.isatty() else 110)
    for table in _tables(done):
        console.print(table)


def _tables(done: Evaluation) -> list[Table]:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from orthodx.evaluation.overview import overview

    tables = []
    for sheet in overview(done.rows):
        table = Table(title=sheet.title, title_justify="left", box=SIMPLE_HEAD, padding=0)
        for i, name in enumerate(sheet.columns):
            longest = max((len(word) for line in sheet.lines for word in line[i].split()), default=1)
            table.add_column(name, justify="left" if i == 0 else "right", overflow="fold", min_width=longest)
        for line in sheet.lines:
            table.add_row(*line)
        tables.append(table)
    return tables
