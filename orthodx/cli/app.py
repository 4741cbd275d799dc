"""The command line: one thin file a subcommand; heavy imports stay inside the commands."""

from __future__ import annotations

import logging
import sys
from typing import Annotated

import typer

from orthodx.cli import convert, diagnose, evaluate, exits, finetune, models, pretrain, segment, synth, transfer
from orthodx.cli.streams import patient, require_heard
from orthodx.studies.stopping import stop_on_signals

app = typer.Typer(
    name="orthodx",
    help="Read musculoskeletal MRI with diffusion foundation models. Not a medical device.",
    no_args_is_help=True,
    add_completion=False,
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


app.command("convert")(convert.run)
app.command("segment")(segment.run)
app.command("diagnose")(diagnose.run)
app.command("evaluate")(evaluate.run)
app.command("synth")(synth.run)
app.command("pretrain")(pretrain.run)
app.command("finetune")(finetune.run)
app.command("transfer")(transfer.run)
app.add_typer(models.app, name="models")


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
