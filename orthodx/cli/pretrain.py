"""`orthodx pretrain`."""

from __future__ import annotations

import sys

import typer

from orthodx.cli import exits
from orthodx.cli.command import Given, command
from orthodx.cli.options import (
    BANK_SHARE,
    DEVICE,
    ENCODER,
    KEEP_PATHS,
    LEARNING_RATE,
    PIXEL_MM,
    PRESET,
    RESUME,
    SEED,
    STUDIES,
    WORKERS,
    out,
    print_json,
)
from orthodx.requests import PretrainRequest

WORDS = {
    "studies": STUDIES,
    "view": typer.Option(help="The imaging plane this encoder is for."),
    "out": out("Folder for checkpoints, metrics and weights."),
    "encoder": ENCODER,
    "preset": PRESET,
    "steps": typer.Option(min=1, help="Optimiser steps."),
    "batch": typer.Option(min=1, help="Volumes per step."),
    "accumulate": typer.Option(min=1, help="Batches a process adds up before each step."),
    "learning_rate": LEARNING_RATE,
    "crop": typer.Option(help="Slices, rows and columns of a sample."),
    "pixel_mm": PIXEL_MM,
    "cache": typer.Option(help="Folder for studies on the model's grid, memory-mapped; else in memory."),
    "bank_share": BANK_SHARE,
    "sample_every": typer.Option(min=0, help="Steps between pictures drawn from noise; 0: none."),
    "probe": typer.Option("--probe", help="Held-out bank or studies with truth: keep what probes best."),
    "probe_every": typer.Option(min=1, help="With --probe: steps between two probes."),
    "init": typer.Option(help="Start from these encoder weights (.safetensors)."),
    "distil": typer.Option(help="Start from these weights and teach clean images their noisy features."),
    "distil_weight": typer.Option(min=1e-6, help="With --distil: weight of the features' loss."),
    "align": typer.Option(min=1e-6, help="Weight of the self-alignment of early with late blocks."),
    "compile": typer.Option("--compile", help="Compile the network first (torch.compile), which takes minutes."),
    "device": DEVICE,
    "workers": WORKERS,
    "seed": SEED,
    "resume": RESUME,
    "keep_paths": KEEP_PATHS,
}


@command(PretrainRequest, WORDS)
def run(given: Given) -> None:
    """Teach one view's encoder to predict noise, from unlabelled studies or an endless synthetic bank."""
    from orthodx.training.distributed import is_chief
    from orthodx.training.pretrain import pretrain

    left = 0

    def refused(line: str) -> None:
        nonlocal left
        left += 1
        exits.say_error(f"left out: {line}")

    weights = pretrain(given.request, say=given.voice.say, refused=refused, command=sys.argv)
    if is_chief():
        given.voice.say(f"-> {weights}")
        if given.json:
            print_json({"weights": str(weights), "metrics": str(given.request.out / "metrics.csv")})
    if left:
        raise SystemExit(exits.SOME_FAILED)
