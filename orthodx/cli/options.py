"""Words of options that several commands share, each written once, and the voice in which commands speak."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import Annotated

import typer

from orthodx.joints import JOINTS
from orthodx.studies.readable import readable, readable_values

A_JOINT = f"{', '.join(JOINTS)}, or a TOML file"
STUDIES = typer.Argument(
    metavar="STUDY...", help="manifest.csv, folder of DICOM or NIfTI, or image file.", show_default=False
)
MODEL = typer.Option(help="Shipped model, or a bundle folder; else the shipped one of the joint.", show_default=False)
JOINT = typer.Option(help=f"What the studies show: {A_JOINT}; else as they say, or knee.", show_default=False)
VIEW = typer.Option(help="Read every series as this view (isotropic volumes).")
GROUP_BY = typer.Option(
    help="What makes NIfTI files without a manifest one study; else names and folders decide.", show_default=False
)
LINK = typer.Option(
    help="What convert --link wrote: tables may name studies by UID, accession number, folder.", show_default=False
)
ONLY = typer.Option(metavar="CSV", help="Only the studies that this table names (column study_id).", show_default=False)
DEVICE = typer.Option(help="auto, cpu, cuda, cuda:N or mps; one that is not there is an error.")
WORKERS = typer.Option(min=0, help="Processes that prepare data beside the main one; 0 always works.")
SEED = typer.Option(min=0, help="Seed of everything random.")
RESUME = typer.Option("--resume", help="Keep what an interrupted run finished.")
SHARD = typer.Option(
    metavar="I/N", help="Only this share of the studies; all N shards write into one --out.", show_default=False
)
KEEP_PATHS = typer.Option("--keep-paths", help="Name inputs by their paths in tables and run.json, not by ids only.")
ENCODER = typer.Option(help="Registered encoder.")
PRESET = typer.Option(help="Size of the encoder: small or base.")
PIXEL_MM = typer.Option(min=0.1, max=20, help="In-plane pixel of the model's grid, mm.")
LEARNING_RATE = typer.Option(min=1e-7, max=1.0, help="Peak learning rate.")
BANK_SHARE = typer.Option(
    min=0.01, max=0.99, help="Where banks and studies are given: the banks' share of samples; else 0.5."
)
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Only errors.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout; text for people goes to stderr.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks.")]


def out(help_text: str) -> typer.models.OptionInfo:
    """`--out`, `-o`."""
    return typer.Option("--out", "-o", help=help_text)


def further(example: str, page: str) -> str:
    """What stands below a help page: one command line that works, and the page that tells the rest."""
    return f"Example: orthodx {example}\n\nMore: docs/{page}.md"


def comma_separated(values: list[str] | None) -> list[str] | None:
    """`a,b` and `a` `b` alike, each once, as lists of options are given on a command line."""
    if values is None:
        return None
    return list(dict.fromkeys(item.strip() for value in values for item in value.split(",") if item.strip()))


def in_order(values: list[str] | None) -> list[str] | None:
    """As `comma_separated`, but what is given twice stays twice."""
    return values and [item.strip() for value in values for item in value.split(",") if item.strip()]


class Voice:
    """Where text for people goes: stdout, or stderr when stdout carries JSON; nowhere when quiet."""

    def __init__(self, quiet: bool, json: bool) -> None:
        self.quiet, self.file = quiet, sys.stderr if json else sys.stdout

    def say(self, text: str) -> None:
        """Print one line."""
        if not self.quiet:
            print(readable(text), file=self.file, flush=True)

    def note(self, text: str) -> None:
        """Print a line worth knowing."""
        self.say(f"note: {text}")

    @contextlib.contextmanager
    def progress(self) -> Iterator[Callable[[str, int, int], None]]:
        """Gives tell(line, done, total): `[done/total] line`, and on a terminal a bar with the time left below."""
        if self.quiet or not self.file.isatty():
            yield lambda line, done, total: self.say(f"[{done}/{total}] {line}")
            return
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn, TimeRemainingColumn

        columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
        with Progress(*columns, console=Console(file=self.file), transient=True) as bar:
            task = bar.add_task("", total=None)

            def tell(line: str, done: int, total: int) -> None:
                bar.console.print(readable(line), markup=False, highlight=False)
                bar.update(task, completed=done, total=total)

            yield tell


def print_json(value: object) -> None:
    """The one JSON object on stdout."""
    import json

    print(json.dumps(readable_values(value)))
