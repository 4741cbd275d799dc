"""`orthodx synth`."""

from __future__ import annotations

import typer

from orthodx.cli.command import Given, command
from orthodx.cli.options import RESUME, SEED, WORKERS, comma_separated, print_json
from orthodx.requests import SynthRequest
from orthodx.studies.readable import counted

WORDS = {
    "out": typer.Argument(metavar="OUT", help="Folder to write.", show_default=False),
    "joint": typer.Option(help="Which joint; else that of the bank in --anatomy, or knee.", show_default=False),
    "studies": typer.Option("--studies", "-n", help="Patients, three series each."),
    "bank": typer.Option("--bank", help="Write anatomies for training instead of studies."),
    "anatomy": typer.Option(
        help="Folder of label maps (.nii.gz), or a bank, instead of procedural joints.", show_default=False
    ),
    "maps": typer.Option("--map", help="Only this map of the folder (repeatable).", show_default=False),
    "centers": typer.Option("--center", help="Only these synthetic centers (repeatable).", show_default=False),
    "formats": typer.Option("--format", help="nifti, dicom or nifti,dicom.", callback=comma_separated),
    "lesions": typer.Option("--lesions", help="Injured joints: labels.csv, ehr.csv and lesion masks too."),
    "prevalence": typer.Option(min=0, max=1, help="With --lesions: share of injured or worn joints."),
    "views": typer.Option("--view", help="Write only these views (repeatable).", show_default=False),
    "visits": typer.Option(min=1, help="Studies of each patient, in another posture and scanner each time."),
    "cartilage_loss": typer.Option(
        min=0, max=0.9, help="With --visits: share of its thickness that cartilage has lost at the last one."
    ),
    "workers": WORKERS,
    "seed": SEED,
    "resume": RESUME,
}


@command(SynthRequest, WORDS)
def run(given: Given) -> None:
    """Make synthetic studies with their truth: sagittal, coronal and axial series of each patient's joint."""
    request = given.request
    given.voice.say(f"making {counted(request.studies, 'anatomies' if request.bank else 'patients')}")
    from orthodx.synth.make import synth

    with given.voice.progress() as tell:
        result = synth(request, tell=tell)
    given.voice.say(f"-> {result}")
    if given.json:
        print_json({"out": str(result), "studies": request.studies, "seed": request.seed})
