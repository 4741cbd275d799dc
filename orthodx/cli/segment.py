"""`orthodx segment`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orthodx.cli import exits
from orthodx.cli.options import Debug, Device, Json, Quiet, Resume, Studies, Voice, Workers
from orthodx.joints import View

if TYPE_CHECKING:
    from orthodx.inference.segment import Case


def run(
    studies: Studies,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for masks, tables and previews.")],
    model: Annotated[str, typer.Option(help="Name of a shipped model, or a bundle folder.")] = "knee-small",
    view: Annotated[View | None, typer.Option(help="Read every series as this view (isotropic volumes).")] = None,
    format: Annotated[str, typer.Option(help="Of the masks: nifti, dicom-seg, or nifti,dicom-seg.")] = "nifti",
    no_preview: Annotated[bool, typer.Option("--no-preview", help="Write no pictures.")] = False,
    device: Device = "auto",
    workers: Workers = 1,
    quiet: Quiet = False,
    json: Json = False,
    debug: Debug = False,
    resume: Resume = False,
) -> None:
    """Segment knee structures: one mask per series, on exactly the image's grid."""
    voice = Voice(quiet, json)

    with exits.handled(debug):
        from orthodx.inference.segment import segment

        with voice.progress() as line:

            def tell(case: Case, done: int, total: int) -> None:
                name = case.series_id or case.source
                if case.status == "failed":
                    exits.say_error(f"{name}: {case.reason}" if name not in case.reason else case.reason)
                else:
                    note = f"  warning: {case.reason}" if case.status == "warned" else ""
                    line(f"{name}  {case.seconds:.1f} s{note}", done, total)

            cases = segment(
                studies, out, model=model, device=device, view=view, preview=not no_preview, resume=resume,
                formats=list(dict.fromkeys(f.strip() for f in format.split(","))), workers=workers, tell=tell,
                command=sys.argv,
            )  # fmt: skip
        failed = sum(case.status == "failed" for case in cases)
        voice.say(f"{len(cases) - failed} of {len(cases)} series segmented -> {out}")
        if json:
            import json as encoder

            print(encoder.dumps({"out": str(out), "cases": [case.__dict__ for case in cases]}))
        if failed:
            raise SystemExit(exits.SOME_FAILED)
