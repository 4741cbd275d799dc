"""`orthodx segment`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import typer

from orthodx.cli import exits
from orthodx.cli.command import Given, command
from orthodx.cli.options import (
    DEVICE,
    GROUP_BY,
    JOINT,
    KEEP_PATHS,
    MODEL,
    ONLY,
    RESUME,
    SHARD,
    STUDIES,
    VIEW,
    WORKERS,
    comma_separated,
    out,
    print_json,
)
from orthodx.requests import SegmentRequest

if TYPE_CHECKING:
    from orthodx.inference.segment_case import Case

WORDS = {
    "studies": STUDIES,
    "out": out("Folder for masks, tables and previews."),
    "model": MODEL,
    "joint": JOINT,
    "view": VIEW,
    "only": ONLY,
    "group_by": GROUP_BY,
    "fuse_views": typer.Option(
        "--fuse-views", help="Let the series of a study help each other where they overlap.", show_default=False
    ),
    "fast": typer.Option(
        "--fast", help="One look at each series, in its own plane: half the time, no quality.", show_default=False
    ),
    "formats": typer.Option(
        "--format", help="Of the masks: nifti, dicom-seg, or nifti,dicom-seg.", callback=comma_separated
    ),
    "preview": typer.Option(" /--no-preview", help="Write no pictures.", show_default=False),
    "device": DEVICE,
    "workers": WORKERS,
    "resume": RESUME,
    "shard": SHARD,
    "keep_paths": KEEP_PATHS,
}


@command(SegmentRequest, WORDS)
def run(given: Given) -> None:
    """Segment the structures of a joint: one mask per series, on exactly the image's grid."""
    from orthodx.inference.segment import segment

    voice, target = given.voice, given.request.out
    with voice.progress() as line:

        def tell(case: Case, done: int, total: int) -> None:
            name = case.series_id or case.source
            if case.status == "failed":
                exits.say_error(f"{name}: {case.reason}" if name not in case.reason else case.reason)
            else:
                note = f"  warning: {case.reason}" if case.status == "warned" else ""
                line(f"{name}  {case.seconds:.1f} s{note}", done, total)

        cases = segment(given.request, tell=tell, note=voice.note, command=sys.argv)
    failed = sum(case.status == "failed" for case in cases)
    voice.say(f"{len(cases) - failed} of {len(cases)} series segmented -> {target}")
    if given.json:
        print_json(
            {"out": str(target), "cases": [case.row(given.request.keep_paths, given.request.studies) for case in cases]}
        )
    if failed:
        raise SystemExit(exits.SOME_FAILED)
