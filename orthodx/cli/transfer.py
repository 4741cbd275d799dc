"""`orthodx transfer`."""

from __future__ import annotations

import sys
from typing import Any

import typer

from orthodx.cli import exits
from orthodx.cli.command import Given, command
from orthodx.cli.options import (
    A_JOINT,
    DEVICE,
    KEEP_PATHS,
    LEARNING_RATE,
    LINK,
    RESUME,
    SEED,
    STUDIES,
    WORKERS,
    comma_separated,
    out,
    print_json,
)
from orthodx.requests import TransferRequest

TEST: dict[str, Any] = {"rich_help_panel": "Who tests", "show_default": False}
LABELS: dict[str, Any] = {"rich_help_panel": "To diagnose"}
MASKS: dict[str, Any] = {"rich_help_panel": "To segment"}
WORDS = {
    "studies": STUDIES,
    "out": out("Folder for the bundle, the arms and the report."),
    "start": typer.Option("--from", help="Bundle, or shipped model, whose encoders are taken."),
    "joint": typer.Option(help=f"The new joint: {A_JOINT}; else that of the data.", show_default=False),
    "task": typer.Option(help="What to learn: from labels, or from masks."),
    "labels": typer.Option(help="labels.csv, if not beside the studies.", show_default=False),
    "link": LINK,
    "probe": typer.Option("--probe", help="Leave the encoders as they are."),
    "full": typer.Option("--full", help="Train the encoders at the head's rate, not lightly."),
    "scratch": typer.Option(" /--no-scratch", help="No arm from scratch.", show_default=False),
    "baseline": typer.Option(help="One more arm: resnet18 (diagnose) or dynunet (segment).", show_default=False),
    "label_fraction": typer.Option(
        metavar="SHARES", help="Shares of the training patients, an arm each: 0.1,0.25,1.", callback=comma_separated
    ),
    "label_count": typer.Option(
        metavar="NUMBERS",
        help="Numbers of training patients instead: 1,4,16.",
        callback=comma_separated,
        show_default=False,
    ),
    "seeds": typer.Option(help="How many seeds, from --seed on."),
    "name": typer.Option(help="Name of the new model."),
    "views": typer.Option("--view", help="Only these views (repeatable).", show_default=False),
    "head": typer.Option(help="Registered head; else global_local or skip_segment.", show_default=False),
    "learning_rate": typer.Option(
        min=1e-7, max=1.0, help=f"{LEARNING_RATE.help} (default: 6e-4; published: 5e-4)", show_default=False
    ),
    "batch": typer.Option(min=1, help="Volumes per step."),
    "device": DEVICE,
    "workers": WORKERS,
    "seed": SEED,
    "resume": RESUME,
    "keep_paths": KEEP_PATHS,
    "test": typer.Option(metavar="STUDY", help="Other studies that test (repeatable).", **TEST),
    "hold_out_center": typer.Option(help="The studies of this center test (repeatable).", **TEST),
    "test_share": typer.Option(
        help="Share of the patients who test, without either.", **{**TEST, "show_default": True}
    ),
    "epochs": typer.Option(min=1, help="Passes over the studies, where encoders are trained (default: 5).", **LABELS),
    "region": typer.Option(
        help="Slices, rows and columns read in the middle of a series (default: 28 128 128; published: 16 256 256).",
        **LABELS,
    ),
    "cache": typer.Option(help="Folder for regions and frozen features; else in --out.", show_default=False, **LABELS),
    "steps": typer.Option(min=1, help="Optimiser steps of each arm.", **MASKS),
    "crop": typer.Option(help="Slices, rows and columns of a sample.", **MASKS),
    "validation": typer.Option(
        help="Studies of further patients with truth, for --patience.", show_default=False, **MASKS
    ),
    "validate_every": typer.Option(min=1, help="With --validation: steps between two validations.", **MASKS),
    "patience": typer.Option(
        min=1, help="With --validation: an arm ends after so many without a better one.", show_default=False, **MASKS
    ),
}


@command(TransferRequest, WORDS)
def run(given: Given) -> None:
    """Take a bundle's encoders to another joint, and test them against the same network from scratch."""
    from orthodx.cli.evaluate import show
    from orthodx.evaluation.overview import overview, shares
    from orthodx.evaluation.report import REPORT as PAGE
    from orthodx.trials.transfer import REPORT, transfer

    voice, target = given.voice, given.request.out
    with voice.progress() as tell:
        done = transfer(given.request, tell=tell, say=voice.say, command=sys.argv)
    rows = done.evaluation.rows
    show(shares(rows) or overview(rows), voice)
    voice.say(f"-> {done.bundle.path}  (use it with --model {done.bundle.path})")
    voice.say(f"-> {target / REPORT / PAGE}")
    if given.json:
        print_json({"model": str(done.bundle.path), "arms": done.arms, "report": done.evaluation.summary})
    if done.failed or done.left_out:
        raise SystemExit(exits.SOME_FAILED)
