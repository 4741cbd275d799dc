"""`orthodx diagnose`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orthodx.cli import exits
from orthodx.cli.options import Debug, Device, Json, Quiet, Resume, Studies, Voice, Workers
from orthodx.joints import View

if TYPE_CHECKING:
    from orthodx.inference.diagnose import StudyCase


def run(
    studies: Studies,
    out: Annotated[str, typer.Option("--out", "-o", help="CSV of probabilities, or a folder for predictions.csv.")],
    model: Annotated[str, typer.Option(help="Name of a shipped model, or a bundle folder.")] = "knee-small",
    ehr: Annotated[Path | None, typer.Option(help="Table of health records, a row a study (ehr.csv).")] = None,
    explain: Annotated[
        Path | None, typer.Option(help="Folder for what each view and the record counted, and heat-map pictures.")
    ] = None,
    view: Annotated[View | None, typer.Option(help="Read every series as this view (isotropic volumes).")] = None,
    device: Device = "auto",
    workers: Workers = 1,
    quiet: Quiet = False,
    json: Json = False,
    debug: Debug = False,
    resume: Resume = False,
) -> None:
    """Probability of each abnormality: one answer a study, from all its series and the health record."""
    voice = Voice(quiet, json)

    with exits.handled(debug):
        from orthodx.inference.diagnose import diagnose, table_at

        table = table_at(out)
        with voice.progress() as line:

            def tell(case: StudyCase, done: int, total: int) -> None:
                name = case.study_id or case.source
                if case.status == "failed":
                    exits.say_error(f"{name}: {case.reason}" if name not in case.reason else case.reason)
                else:
                    found = ", ".join(f"{label} {case.probabilities[label]:.2f}" for label in case.positive)
                    warning = f"  warning: {case.reason}" if case.status == "warned" else ""
                    text = f"{name}  {case.views}  {found or 'none positive'}  {case.seconds:.1f} s{warning}"
                    line(text, done, total)

            cases = diagnose(
                studies, table, model=model, ehr=ehr, explain=explain, view=view, device=device, workers=workers,
                resume=resume, tell=tell, note=lambda text: voice.say(f"note: {text}"), command=sys.argv,
            )  # fmt: skip
        failed = sum(case.status == "failed" for case in cases)
        voice.say(f"{len(cases) - failed} of {len(cases)} studies diagnosed -> {table}")
        if explain:
            voice.say(f"explained -> {explain}")
        if json:
            import json as encoder

            print(encoder.dumps({"out": str(table), "cases": [case.__dict__ for case in cases]}))
        if failed:
            raise SystemExit(exits.SOME_FAILED)
