"""`orthodx pretrain`."""

from __future__ import annotations

import sys
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated

import typer

from orthodx.cli import exits
from orthodx.cli.options import BankShare, Debug, Device, Json, PixelMm, Quiet, Resume, Seed, Studies, Voice, Workers
from orthodx.joints import View


def run(
    studies: Studies,
    view: Annotated[View, typer.Option(help="The imaging plane this encoder is for.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for checkpoints, metrics and weights.")],
    encoder: Annotated[str, typer.Option(help="Registered encoder.")] = "ortho",
    preset: Annotated[str, typer.Option(help="Size of the encoder: small or base.")] = "small",
    steps: Annotated[int, typer.Option(min=1, help="Optimiser steps.")] = 20_000,
    batch: Annotated[int, typer.Option(min=1, help="Volumes a step.")] = 8,
    accumulate: Annotated[int, typer.Option(min=1, help="Batches a process adds up before each step.")] = 1,
    learning_rate: Annotated[float, typer.Option(min=1e-7, max=1.0, help="Peak learning rate.")] = 4e-4,
    crop: Annotated[tuple[int, int, int], typer.Option(help="Slices, rows and columns of a sample.")] = (
        16,
        96,
        96,
    ),
    pixel_mm: PixelMm = 1.0,
    cache: Annotated[
        Path | None, typer.Option(help="Folder for studies on the model's grid, memory-mapped; else in memory.")
    ] = None,
    bank_share: BankShare = None,
    sample_every: Annotated[int, typer.Option(min=0, help="Steps between pictures drawn from noise; 0: none.")] = 0,
    probe_bank: Annotated[
        Path | None, typer.Option("--probe", help="Held-out bank or studies with truth: keep what probes best.")
    ] = None,
    probe_every: Annotated[int, typer.Option(min=1, help="With --probe: steps between two probes.")] = 1000,
    init: Annotated[Path | None, typer.Option(help="Start from these encoder weights (.safetensors).")] = None,
    distil: Annotated[
        Path | None, typer.Option(help="Start from these weights and teach clean images their noisy features.")
    ] = None,
    distil_weight: Annotated[float, typer.Option(min=1e-6, help="With --distil: weight of the features' loss.")] = 1.0,
    align: Annotated[
        float | None, typer.Option(min=1e-6, help="Weight of the self-alignment of early with late blocks.")
    ] = None,
    device: Device = "auto",
    workers: Workers = 1,
    seed: Seed = 0,
    quiet: Quiet = False,
    json: Json = False,
    debug: Debug = False,
    resume: Resume = False,
) -> None:
    """Teach one view's encoder to predict noise, from unlabelled studies or an endless synthetic bank."""
    with exits.handled(debug):
        from orthodx.grid.spec import GridSpec
        from orthodx.inference.device import pick_device
        from orthodx.studies.run_record import sha256, state_on_disk, write_run
        from orthodx.training.distributed import join, leave
        from orthodx.training.pretrain import PretrainConfig, pretrain
        from orthodx.training.sources import identity, open_source, passed_over

        started = datetime.now(timezone.utc)
        spec = GridSpec(pixel_mm=pixel_mm)
        source = open_source(studies, spec, crop, seed, truth=False, views=[view], cache=cache, bank_share=bank_share)
        config = PretrainConfig(
            view=view, encoder=encoder, preset=preset, steps=steps, batch=batch, accumulate=accumulate,
            peak_rate=learning_rate, seed=seed, sample_every=sample_every, probe_every=probe_every if probe_bank else 0,
            align=align, distil=distil_weight if distil else None,
            crop=crop, pixel_mm=pixel_mm, bank_share=bank_share, data=identity(source),
        )  # fmt: skip
        labelled = open_source([probe_bank], spec, crop, seed, truth=True, views=[view]) if probe_bank else None
        team = join(pick_device(device))
        voice = Voice(quiet or not team.chief, json)
        if note := passed_over(source):
            voice.say(f"warning: {note}")
        weights = pretrain(
            config, source, out, team=team, workers=workers, init=init, teacher=distil, labelled=labelled,
            resume=resume, say=voice.say,
        )  # fmt: skip
        leave(team)
        if team.chief:
            starts = {name: sha256(path) for name, path in (("init", init), ("teacher", distil)) if path}
            facts = {"config": asdict(config), "device": str(team.device), "starts": starts, "weights": sha256(weights),
                     "inputs": [{"path": str(p), "state": state_on_disk(p)} for p in studies]}  # fmt: skip
            write_run(out / "run.json", command=sys.argv, started=started, facts=facts)
        voice.say(f"-> {weights}")
        if json and team.chief:
            import json as encoder_

            print(encoder_.dumps({"weights": str(weights), "metrics": str(out / "metrics.csv")}))
