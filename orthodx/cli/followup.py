"""`orthodx followup`."""

from __future__ import annotations

import sys

import typer

from orthodx.cli import exits
from orthodx.cli.command import Given, command
from orthodx.cli.options import A_JOINT, KEEP_PATHS, LINK, RESUME, WORKERS, out, print_json
from orthodx.requests import FollowupRequest

WORDS = {
    "out": out("Folder for tables and pictures."),
    "masks": typer.Option(help="Folder of <series_id>.nii.gz; else ./masks."),
    "predictions": typer.Option(help="Predictions CSV; else ./predictions.csv."),
    "manifest": typer.Option(help="Manifest; else ./manifest.csv."),
    "visits": typer.Option(
        metavar="CSV", help="Table of study_id and days between, or visit; else these columns of the manifest."
    ),
    "link": LINK,
    "joint": typer.Option(help=f"{A_JOINT}; else that of masks or manifest."),
    "error": typer.Option(metavar="CSV", help="Measurement error: error.csv of patients without change."),
    "no_change": typer.Option("--no-change", help="These patients did not change: measure the error on them."),
    "picture": typer.Option(" /--no-picture", help="No pictures.", show_default=False),
    "workers": WORKERS,
    "resume": RESUME,
    "keep_paths": KEEP_PATHS,
}


@command(FollowupRequest, WORDS)
def run(given: Given) -> None:
    """Tell what changed in patients seen more than once, and whether that is more than the measurement error."""
    from orthodx.evaluation.followup import CHANGES, followup

    voice = given.voice

    def tell(line: str, refused: bool) -> None:
        if refused:
            exits.say_error(line)
        else:
            voice.note(line)

    with voice.progress() as progress:
        done = followup(given.request, tell=tell, progress=progress, command=sys.argv)
    beyond = [row for row in done.changes if row["beyond_error"]]
    voice.say(f"{len(beyond)} of {len(done.changes)} changes are more than the measurement error")
    voice.say(f"-> {given.request.out / CHANGES}")
    if given.json:
        print_json({"out": str(given.request.out), "changes": len(done.changes), "beyond_error": len(beyond)})
    if done.notices.refused:
        raise SystemExit(exits.SOME_FAILED)
