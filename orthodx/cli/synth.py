"""`orthodx synth`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from orthodx.cli import exits
from orthodx.cli.options import Debug, Json, Quiet, Resume, Seed, Voice, Workers, refuse_given


def run(
    context: typer.Context,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write.")],
    joint: Annotated[str, typer.Option(help="Which joint.")] = "knee",
    studies: Annotated[int, typer.Option("--studies", "-n", help="Patients, three series each.")] = 3,
    bank: Annotated[bool, typer.Option("--bank", help="Write anatomies for training instead of studies.")] = False,
    anatomy: Annotated[
        Path | None, typer.Option(help="Folder of knee label maps (.nii.gz), or a bank, instead of procedural knees.")
    ] = None,
    label_map: Annotated[
        list[str] | None, typer.Option("--map", help="Only this map of the folder (repeatable).")
    ] = None,
    center: Annotated[list[str] | None, typer.Option(help="Only these synthetic centers (repeatable).")] = None,
    formats: Annotated[str, typer.Option("--format", help="nifti, dicom or nifti,dicom.")] = "nifti",
    lesions: Annotated[
        bool, typer.Option("--lesions", help="Injured knees: labels.csv, ehr.csv and lesion masks too.")
    ] = False,
    prevalence: Annotated[
        float | None, typer.Option(min=0, max=1, help="With --lesions: share of injured or worn knees.")
    ] = None,
    workers: Workers = 1,
    seed: Seed = 0,
    quiet: Quiet = False,
    json: Json = False,
    debug: Debug = False,
    resume: Resume = False,
) -> None:
    """Make synthetic studies with their truth: sagittal, coronal and axial series of each patient's knee."""
    voice = Voice(quiet, json)
    with exits.handled(debug):
        from orthodx.errors import UsageError
        from orthodx.synth.anatomy_bank import AnatomyBank
        from orthodx.synth.grammar import synthetic

        if label_map and anatomy is None:
            raise UsageError("--map picks from a folder of label maps", hint="give the folder with --anatomy")
        if bank:
            refuse_given(context, ("center", "formats"), "is for studies, not for --bank")
        if prevalence is not None and not lesions:
            raise UsageError("--prevalence is the share of injured knees", hint="add --lesions")
        kept = None if anatomy is None else AnatomyBank(anatomy)
        if kept and label_map:
            raise UsageError(f"{anatomy} is a bank, and --map picks label maps", hint="leave --map out")
        draw = None if anatomy is None else kept or synthetic(joint).open_maps(anatomy, label_map)
        with voice.progress() as tell:
            if bank:
                from orthodx.synth.bank import write_bank

                result = write_bank(
                    out, joint=joint, anatomies=studies, seed=seed, anatomy=draw, lesions=lesions,
                    prevalence=prevalence, workers=workers, tell=tell,
                )  # fmt: skip
            else:
                from orthodx.synth.study_writer import write_cohort

                result = write_cohort(
                    out, joint=joint, studies=studies, seed=seed, centers=tuple(center or ()), anatomy=draw,
                    formats=tuple(formats.split(",")), lesions=lesions, prevalence=prevalence, resume=resume,
                    workers=workers, tell=tell,
                )  # fmt: skip
        voice.say(f"-> {result}")
        if json:
            import json as encoder

            print(encoder.dumps({"out": str(result), "studies": studies, "seed": seed}))
