"""`orthodx finetune`."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated

import typer

from orthodx.cli import exits
from orthodx.cli.options import Debug, Device, Json, Quiet, Resume, Seed, Studies, Voice, Workers
from orthodx.joints import View


class Task(str, enum.Enum):
    """What to fine-tune for."""

    SEGMENT = "segment"
    DIAGNOSE = "diagnose"


HEADS_OF = {Task.SEGMENT: "skip_segment", Task.DIAGNOSE: "evidence"}


def run(
    studies: Studies,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for checkpoints, metrics and the bundle.")],
    task: Annotated[Task, typer.Option(help="What to learn.")] = Task.SEGMENT,
    encoders: Annotated[
        Path | None, typer.Option(help="Folder with encoder_<view>.safetensors (and the task's .safetensors).")
    ] = None,
    from_scratch: Annotated[bool, typer.Option("--from-scratch", help="Start every encoder from noise.")] = False,
    view: Annotated[list[View] | None, typer.Option(help="Only these views (repeatable).")] = None,
    name: Annotated[str, typer.Option(help="Name of the new model.")] = "my-model",
    encoder: Annotated[str, typer.Option(help="Registered encoder.")] = "ortho",
    preset: Annotated[str, typer.Option(help="Size of the encoder: small or base.")] = "small",
    head: Annotated[str | None, typer.Option(help="Registered head; else skip_segment or evidence.")] = None,
    probe: Annotated[bool, typer.Option("--probe", help="Leave the encoders as they are.")] = False,
    shared_encoder: Annotated[bool, typer.Option("--shared-encoder", help="One encoder for all views.")] = False,
    steps: Annotated[int, typer.Option(min=1, help="Optimiser steps.")] = 10_000,
    stop_at: Annotated[
        int | None, typer.Option(min=1, help="End this part of the run after so many steps; --resume goes on.")
    ] = None,
    batch: Annotated[int, typer.Option(min=1, help="Volumes a step.")] = 2,
    learning_rate: Annotated[float, typer.Option(min=1e-7, max=1.0, help="Peak learning rate.")] = 6e-4,
    crop: Annotated[tuple[int, int, int], typer.Option(help="Slices, rows and columns of a sample.")] = (
        16,
        112,
        112,
    ),
    validation: Annotated[
        Path | None, typer.Option(help="Held-out bank or studies with truth: Dice per view and structure.")
    ] = None,
    validate_every: Annotated[int, typer.Option(min=1, help="Steps between two validations.")] = 400,
    validation_samples: Annotated[int, typer.Option(min=1, help="Crops of each view in a validation.")] = 4,
    device: Device = "auto",
    workers: Workers = 1,
    seed: Seed = 0,
    quiet: Quiet = False,
    json: Json = False,
    debug: Debug = False,
    resume: Resume = False,
) -> None:
    """Fit encoders and a head to masks (truth/<series_id>.nii.gz) or to a synthetic bank; writes a model bundle."""
    voice = Voice(quiet, json)
    with exits.handled(debug):
        from orthodx.errors import UsageError
        from orthodx.grid.spec import GridSpec
        from orthodx.inference.device import pick_device
        from orthodx.training.bundling import bundle_run, starting_weights
        from orthodx.training.dense_tasks import DENSE_TASKS
        from orthodx.training.finetune import FinetuneConfig, finetune_dense
        from orthodx.training.study_source import open_source

        if (encoders is None) == (not from_scratch):
            raise UsageError("where do the encoders start?", hint="give --encoders FOLDER or --from-scratch, not both")
        spec, views = GridSpec(), tuple(view or View)
        config = FinetuneConfig(
            views=views, encoder=encoder, preset=preset, head=head or HEADS_OF[task], steps=steps, stop_at=stop_at,
            batch=batch, seed=seed, peak_rate=learning_rate, shared_encoder=shared_encoder,
            validate_every=validate_every, validation_samples=validation_samples, encoder_share=0.0 if probe else 1.0,
        )  # fmt: skip
        lesions = task is Task.DIAGNOSE
        source = open_source(studies, spec, crop, seed, truth=True, lesions=lesions)
        held_out = (
            None if validation is None else open_source([validation], spec, crop, seed, truth=True, lesions=lesions)
        )
        start, start_head = starting_weights(encoders, views, task.value) if encoders else ({}, None)
        parts = finetune_dense(
            config, source, out, device=pick_device(device), encoders=start, head=start_head, workers=workers,
            validation=held_out, resume=resume, task=DENSE_TASKS[task.value](), say=voice.say,
        )  # fmt: skip
        if task is Task.DIAGNOSE:
            voice.say(f"-> {parts[task.value]}")
            return
        bundle = bundle_run(out / name, name, config, parts, spec, crop)
        voice.say(f"-> {bundle.path}  (use it with --model {bundle.path})")
        if json:
            import json as encoder_

            print(encoder_.dumps({"model": str(bundle.path), "metrics": str(out / "metrics.csv")}))
