"""`orthodx pretrain`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from orthodx.cli import exits
from orthodx.cli.options import Debug, Device, Json, Quiet, Resume, Seed, Studies, Voice, Workers
from orthodx.joints import View


def run(
    studies: Studies,
    view: Annotated[View, typer.Option(help="The imaging plane this encoder is for.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for checkpoints, metrics and weights.")],
    encoder: Annotated[str, typer.Option(help="Registered encoder.")] = "ortho",
    preset: Annotated[str, typer.Option(help="Size of the encoder: small or base.")] = "small",
    steps: Annotated[int, typer.Option(min=1, help="Optimiser steps.")] = 20_000,
    batch: Annotated[int, typer.Option(min=1, help="Volumes a step.")] = 8,
    learning_rate: Annotated[float, typer.Option(min=1e-7, max=1.0, help="Peak learning rate.")] = 4e-4,
    crop: Annotated[tuple[int, int, int], typer.Option(help="Slices, rows and columns of a sample.")] = (
        16,
        96,
        96,
    ),
    init: Annotated[Path | None, typer.Option(help="Start from these encoder weights (.safetensors).")] = None,
    device: Device = "auto",
    workers: Workers = 1,
    seed: Seed = 0,
    quiet: Quiet = False,
    json: Json = False,
    debug: Debug = False,
    resume: Resume = False,
) -> None:
    """Teach one view's encoder to predict noise, from unlabelled studies or an endless synthetic bank."""
    voice = Voice(quiet, json)
    with exits.handled(debug):
        from orthodx.grid.spec import GridSpec
        from orthodx.inference.device import pick_device
        from orthodx.training.pretrain import PretrainConfig, pretrain
        from orthodx.training.study_source import open_source

        config = PretrainConfig(
            view=view,
            encoder=encoder,
            preset=preset,
            steps=steps,
            batch=batch,
            peak_rate=learning_rate,
            seed=seed,
        )
        source = open_source(studies, GridSpec(), crop, seed, truth=False)
        weights = pretrain(
            config,
            source,
            out,
            device=pick_device(device),
            workers=workers,
            init=init,
            resume=resume,
            say=voice.say,
        )
        voice.say(f"-> {weights}")
        if json:
            import json as encoder_

            print(encoder_.dumps({"weights": str(weights), "metrics": str(out / "metrics.csv")}))
