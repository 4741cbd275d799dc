"""`orthodx finetune`."""

from __future__ import annotations

import sys
from typing import Any

import typer

from orthodx.cli import exits
from orthodx.cli.command import Given, command
from orthodx.cli.options import (
    A_JOINT,
    BANK_SHARE,
    DEVICE,
    ENCODER,
    GROUP_BY,
    KEEP_PATHS,
    LEARNING_RATE,
    LINK,
    ONLY,
    PIXEL_MM,
    PRESET,
    RESUME,
    SEED,
    STUDIES,
    WORKERS,
    in_order,
    out,
    print_json,
)
from orthodx.requests import FinetuneRequest

MASKS: dict[str, Any] = {"rich_help_panel": "From masks or a bank"}
LESIONS: dict[str, Any] = {"rich_help_panel": "From a bank of injuries"}
LABELS: dict[str, Any] = {"rich_help_panel": "From labels"}
WORDS = {
    "studies": STUDIES,
    "out": out("Folder for checkpoints, metrics and the bundle."),
    "task": typer.Option(help="What to learn."),
    "joint": typer.Option(help=f"{A_JOINT}; else that of the data.", show_default=False),
    "encoders": typer.Option(
        help="What to start from: a shipped model by its name, a bundle, or a folder of encoders.", show_default=False
    ),
    "from_scratch": typer.Option("--from-scratch", help="Start every encoder from noise."),
    "probe": typer.Option("--probe", help="Leave the encoders as they are."),
    "encoder_share": typer.Option(min=0, max=1, help="Encoders' learning rate relative to the head's."),
    "views": typer.Option("--view", help="Only these views (repeatable).", show_default=False),
    "only": ONLY,
    "group_by": GROUP_BY,
    "label_fraction": typer.Option(help="Share of the training patients used."),
    "name": typer.Option(help="Name of the new model."),
    "encoder": ENCODER,
    "preset": PRESET,
    "head": typer.Option(help="Registered head; else the bundle's, skip_segment or evidence.", show_default=False),
    "batch": typer.Option(min=1, help="Volumes per step."),
    "learning_rate": typer.Option(
        min=1e-7, max=1.0, help=f"{LEARNING_RATE.help} (default: 6e-4; published: 5e-4)", show_default=False
    ),
    "pixel_mm": typer.Option(
        min=0.1, max=20, help=f"{PIXEL_MM.help} (default: that of --encoders, or 1)", show_default=False
    ),
    "detail": typer.Option(
        min=1, max=2, help="Pixels that the head sees along one of the encoders' (default: as --encoders, or 1)."
    ),
    "validation": typer.Option(help="Held-out bank or studies with truth or labels.csv.", show_default=False),
    "device": DEVICE,
    "workers": WORKERS,
    "seed": SEED,
    "resume": RESUME,
    "keep_paths": KEEP_PATHS,
    "steps": typer.Option(min=1, help="Optimiser steps.", **MASKS),
    "stop_at": typer.Option(min=1, help="End this part of the run after so many steps; --resume goes on.", **MASKS),
    "crop": typer.Option(help="Slices, rows and columns of a sample.", **MASKS),
    "shared_encoder": typer.Option("--shared-encoder", help="One encoder for all views.", **MASKS),
    "bank_share": typer.Option(min=0.01, max=0.99, help=str(BANK_SHARE.help), **MASKS),
    "augment": typer.Option(
        " /--no-augment", help="Leave crops of studies unturned, unscaled, unmirrored, in their own light.", **MASKS
    ),
    "validate_every": typer.Option(min=1, help="With --validation: steps between two validations.", **MASKS),
    "patience": typer.Option(
        min=1, help="With --validation: end after so many without a better one; the best weights are kept.", **MASKS
    ),
    "validation_samples": typer.Option(min=1, help="With --validation: crops of each view.", **MASKS),
    "focus": typer.Option(min=0, max=1, help="Share of crops on a lesion, or where one could be.", **LESIONS),
    "focus_label": typer.Option(
        help="With --focus: only lesions of this label (repeatable).", show_default=False, **LESIONS
    ),
    "labels": typer.Option(help="labels.csv, if not beside the studies.", show_default=False, **LABELS),
    "link": LINK,
    "ehr": typer.Option(help="Health records, ehr.csv.", show_default=False, **LABELS),
    "fusion": typer.Option(help="gating, simple_concat, linear_concat, linear_add or cross_attention.", **LABELS),
    "hold_out_center": typer.Option(help="Leave this center out (repeatable).", show_default=False, **LABELS),
    "validation_share": typer.Option(help="Share of the patients that calibrates, without --validation.", **LABELS),
    "into": typer.Option(help="Add the diagnosis to this bundle, whose masks stay.", show_default=False, **LABELS),
    "recipe": typer.Option(
        help="How to read and fit where no other option says: ours, or published (default: that of the encoder).",
        show_default=False,
        **LABELS,
    ),
    "epochs": typer.Option(
        min=1, help="Passes over the studies (default: 5; of heads by --probe, published: 10).", **LABELS
    ),
    "region": typer.Option(
        help="Slices, rows and columns read in the middle of a series (default: 28 128 128; published: 16 256 256).",
        **LABELS,
    ),
    "cache": typer.Option(help="Folder for regions and frozen features.", show_default=False, **LABELS),
    "block": typer.Option(
        metavar="BLOCKS",
        help="Of the encoder, that the head pools: one, or one a view, as mid_0,mid_0,mid_2 (default: the deepest).",
        callback=in_order,
        show_default=False,
        **LABELS,
    ),
    "timestep": typer.Option(
        metavar="TIMESTEPS",
        help="Noise of the images that are read: one, or one a view, as 200,150,50 (default: 0; published: 100).",
        callback=in_order,
        show_default=False,
        **LABELS,
    ),
    "noise": typer.Option(help="With --timestep: one noise for all images, or a fresh one each time.", **LABELS),
}


@command(FinetuneRequest, WORDS)
def run(given: Given) -> None:
    """Fit encoders and a head to masks (truth/), labels (labels.csv) or a synthetic bank; writes a model bundle."""
    from orthodx.training.distributed import is_chief
    from orthodx.training.finetune import finetune

    left = 0

    def refused(line: str) -> None:
        nonlocal left
        left += 1
        exits.say_error(f"left out: {line}")

    bundle = finetune(given.request, say=given.voice.say, refused=refused, command=sys.argv)
    if is_chief():
        given.voice.say(f"-> {bundle.path}  (use it with --model {bundle.path})")
        if given.json:
            print_json({"model": str(bundle.path), "metrics": str(given.request.out / "metrics.csv")})
    if left:
        raise SystemExit(exits.SOME_FAILED)
