"""Options that several commands share, each defined once."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer

from orthodx.errors import UsageError

Studies = Annotated[
    list[Path],
    typer.Argument(
        metavar="STUDY...", help="manifest.csv, folder of DICOM or NIfTI, or image file.", show_default=False
    ),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps; one that is not there is an error.")]
Workers = Annotated[int, typer.Option(min=0, help="Processes that prepare data beside the main one; 0 always works.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of everything random.")]
PixelMm = Annotated[float, typer.Option(min=0.1, help="In-plane pixel of the model's grid, mm.")]
BankShare = Annotated[
    float | None,
    typer.Option(min=0.01, max=0.99, help="Where banks and studies are given: the banks' share of samples; else 0.5."),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Only errors.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout; text for people goes to stderr.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks.")]
Resume = Annotated[bool, typer.Option("--resume", help="Keep what an interrupted run finished.")]


def refuse_given(context: typer.Context, names: Sequence[str], why: str, hint: str = "leave it out") -> None:
    """Raise `UsageError` where one of the options `names` stands on the command line, but would do nothing."""
    for name in names:
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            option = next(p.opts[0] for p in context.command.params if p.name == name)
            raise UsageError(f"{option} {why}", hint=hint)


class Voice:
    """Where text for people goes: stdout, or stderr when stdout carries JSON; nowhere when quiet."""

    def __init__(self, quiet: bool, json: bool) -> None:
        self.quiet, self.file = quiet, sys.stderr if json else sys.stdout

    def say(self, text: str) -> None:
        """Print one line."""
        if not self.quiet:
            print(text, file=self.file, flush=True)

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
                bar.console.print(line, markup=False, highlight=False)
                bar.update(task, completed=done, total=total)

            yield tell
