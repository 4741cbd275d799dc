"""`orthodx convert`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orthodx.cli import exits
from orthodx.cli.options import Debug, Json, Quiet, Resume, Voice, Workers

if TYPE_CHECKING:
    from orthodx.studies.convert import Outcome

_CORES = min(4, os.cpu_count() or 1)


def run(
    dicom: Annotated[
        list[Path],
        typer.Argument(metavar="DICOM...", help="Folders of any depth, files or zips.", show_default=False),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for images, sidecars and tables.")],
    site_map: Annotated[
        Path | None, typer.Option(help="CSV that names centers: `center` and tag columns; wins over the tag.")
    ] = None,
    key: Annotated[
        Path | None, typer.Option(help="Key file of the ids, made if missing; outside --out.", show_default=False)
    ] = None,
    descriptions: Annotated[
        bool, typer.Option("--descriptions", help="Copy series descriptions (free text) into the manifest.")
    ] = False,
    workers: Workers = _CORES,
    quiet: Quiet = False,
    json: Json = False,
    debug: Debug = False,
    resume: Resume = False,
) -> None:
    """Turn DICOM into NIfTI whose every slice is proved to be in place; what cannot be proved is refused by name."""
    voice = Voice(quiet, json)

    def tell(outcome: Outcome, done: int, total: int) -> None:
        if outcome.status == "refused":
            exits.say_error(f"{outcome.label}: {outcome.reason}")
        elif outcome.status == "skipped":
            voice.say(f"[{done}/{total}] skipped {outcome.label}: {outcome.reason}")
        else:
            note = outcome.row.get("warnings")
            voice.say(f"[{done}/{total}] {outcome.series_id}" + (f"  warning: {note}" if note else ""))

    with exits.handled(debug), _bar(quiet) as progress:
        from orthodx.studies.convert import convert

        outcomes = convert(
            dicom, out, site_map=site_map, key=key, resume=resume, descriptions=descriptions, workers=workers,
            command=sys.argv[1:], tell=tell, progress=progress,
        )  # fmt: skip
        counts = {s: sum(o.status == s for o in outcomes) for s in ("converted", "kept", "skipped", "refused")}
        voice.say(", ".join(f"{n} {status}" for status, n in counts.items()) + f" -> {out}")
        if json:
            import json as encoder

            series = [
                {"series_id": o.series_id, "status": o.status, "reason": o.nameless_reason, "files": o.files}
                for o in outcomes
            ]
            print(encoder.dumps({"out": str(out), **counts, "series": series}))
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
