"""`orthodx convert`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from orthodx.cli import exits
from orthodx.cli.command import Given, command
from orthodx.cli.options import RESUME, SHARD, WORKERS, out, print_json
from orthodx.requests import ConvertRequest

if TYPE_CHECKING:
    from orthodx.studies.convert import Outcome

WORDS = {
    "dicom": typer.Argument(metavar="DICOM...", help="Folders of any depth, files or zips.", show_default=False),
    "out": out("Folder for images, sidecars and tables."),
    "site_map": typer.Option(help="CSV that names centers: `center` and tag columns; wins over the tag."),
    "key": typer.Option(help="Key file of the ids, made if missing; outside --out.", show_default=False),
    "link": typer.Option(
        help="Write what each id stands for: UIDs, PatientID, accession number, folder. Private; outside --out.",
        show_default=False,
    ),
    "descriptions": typer.Option("--descriptions", help="Copy series descriptions (free text) into the manifest."),
    "workers": WORKERS,
    "resume": RESUME,
    "shard": SHARD,
}


@command(ConvertRequest, WORDS)
def run(given: Given) -> None:
    """Turn DICOM into NIfTI whose every slice is proved to be in place; what cannot be proved is refused by name."""
    from orthodx.studies.convert import convert

    voice, target = given.voice, given.request.out

    def tell(outcome: Outcome, done: int, total: int) -> None:
        if outcome.status == "refused":
            exits.say_error(f"{outcome.label}: {outcome.reason}")
        elif outcome.status == "skipped":
            voice.say(f"[{done}/{total}] skipped {outcome.label}: {outcome.reason}")
        else:
            note = outcome.row.get("warnings")
            voice.say(f"[{done}/{total}] {outcome.series_id}" + (f"  warning: {outcome.label}: {note}" if note else ""))

    with _bar(voice.quiet) as progress:
        outcomes = convert(given.request, tell=tell, progress=progress, command=sys.argv[1:])
    counts = {s: sum(o.status == s for o in outcomes) for s in ("converted", "kept", "skipped", "refused")}
    voice.say(", ".join(f"{n} {status}" for status, n in counts.items()) + f" -> {target}")
    if given.json:
        told = ("series_id", "status", "files")
        series = [{name: getattr(o, name) for name in told} | {"reason": o.nameless_reason} for o in outcomes]
        print_json({"out": str(target), **counts, "series": series})
    if counts["refused"]:
        raise SystemExit(exits.SOME_FAILED)


@contextmanager
def _bar(quiet: bool) -> Iterator[Callable[[str, int, int], None]]:
    """A progress bar on a terminal, nothing in a pipe."""
    if quiet or not sys.stderr.isatty():
        yield lambda stage, done, total: None
        return
    from rich.console import Console
    from rich.progress import Progress

    # refreshed by hand: a thread of its own would keep the worker processes from being forked
    with Progress(console=Console(stderr=True), transient=True, auto_refresh=False) as bar:
        task = bar.add_task("", total=None)

        def progress(stage: str, done: int, total: int) -> None:
            bar.update(task, description=stage, completed=done, total=total, refresh=True)

        yield progress
