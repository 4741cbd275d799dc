"""`orthodx synth`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from orthodx.cli import exits
from orthodx.cli.options import Debug, Json, Quiet, Resume, Seed, Voice


def run(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write.")],
    joint: Annotated[str, typer.Option(help="Which joint.")] = "knee",
    studies: Annotated[int, typer.Option("--studies", "-n", help="Patients, three series each.")] = 3,
    bank: Annotated[bool, typer.Option("--bank", help="Write anatomies for training instead of studies.")] = False,
    center: Annotated[list[str] | None, typer.Option(help="Only these synthetic centers (repeatable).")] = None,
    seed: Seed = 0,
    quiet: Quiet = False,
    json: Json = False,
    debug: Debug = False,
    resume: Resume = False,
) -> None:
    """Make synthetic studies with their truth: sagittal, coronal and axial series of each patient's knee."""
    voice = Voice(quiet, json)
    with exits.handled(debug):
        from orthodx.synth.protocols import CENTERS

        def tell(name: str, done: int, total: int) -> None:
            voice.say(f"[{done}/{total}] {name}")

        if bank:
            from orthodx.synth.bank import write_bank

            result = write_bank(out, joint=joint, anatomies=studies, seed=seed, tell=tell)
        else:
            from orthodx.synth.study_writer import write_cohort

            result = write_cohort(
                out,
                joint=joint,
                studies=studies,
                seed=seed,
                centers=tuple(center or CENTERS),
                resume=resume,
                tell=tell,
            )
        voice.say(f"-> {result}")
        if json:
            import json as encoder

            print(encoder.dumps({"out": str(result), "studies": studies, "seed": seed}))
