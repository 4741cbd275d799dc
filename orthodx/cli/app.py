"""The command line: one thin file a subcommand; heavy imports stay inside the commands."""

from __future__ import annotations

import logging
import sys
from typing import Annotated

import typer

from orthodx.cli import (
    convert,
    diagnose,
    evaluate,
    exits,
    finetune,
    followup,
    models,
    pretrain,
    segment,
    synth,
    transfer,
)
from orthodx.cli.options import further
from orthodx.cli.streams import patient, require_heard
from orthodx.studies.stopping import stop_on_signals

app = typer.Typer(
    name="orthodx",
    help="Read musculoskeletal MRI with diffusion foundation models. Not a medical device.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"orthodx {version('orthodx')}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Read musculoskeletal MRI with diffusion foundation models. Not a medical device."""


for name, run, page, line in (
    ("convert", convert.run, "convert", "export/ --out cohort/"),
    ("segment", segment.run, "segment", "cohort/ --out masks/"),
    ("diagnose", diagnose.run, "diagnose", "cohort/ --out predictions.csv --explain why/"),
    ("evaluate", evaluate.run, "evaluate", "--predictions predictions.csv --labels labels.csv --out report/"),
    ("followup", followup.run, "followup", "--masks masks/ --manifest manifest.csv --out changes/"),
    ("synth", synth.run, "synth", "cohort/ --studies 3 --lesions"),
    ("pretrain", pretrain.run, "training", "cohort/ --view sagittal --out pre/sagittal"),
    ("finetune", finetune.run, "training", "cohort/ --task diagnose --probe --encoders knee-small --out fit/"),
    ("transfer", transfer.run, "transfer", "ankles/ --joint ankle --from knee-small --out trial/"),
):
    app.command(name, epilog=further(f"{name} {line}", page))(run)
app.add_typer(models.app, name="models", epilog=further("models show knee-small", "models"))


def main() -> None:
    """Entry point of the `orthodx` command."""
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # of its cache folder, where there is no home
    stop_on_signals()
    sys.stdout, sys.stderr = patient(sys.stdout), patient(sys.stderr)
    with exits.handled(debug=False):
        try:
            app()
        finally:
            require_heard(sys.stdout)
