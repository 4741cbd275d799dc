"""`orthodx finetune`."""

from __future__ import annotations

import enum
import sys
from dataclasses import asdict
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from orthodx.cli import exits
from orthodx.cli.options import (
    BankShare,
    Debug,
    Device,
    Json,
    PixelMm,
    Quiet,
    Resume,
    Seed,
    Studies,
    Voice,
    Workers,
    refuse_given,
)
from orthodx.joints import View


class Task(str, enum.Enum):
    """What to fine-tune for."""

    SEGMENT = "segment"
    DIAGNOSE = "diagnose"


FROM_LESIONS = ("focus", "focus_label")
FROM_MASKS = (
    "steps", "stop_at", "crop", "shared_encoder", "validate_every", "validation_samples", "bank_share", *FROM_LESIONS,
)  # fmt: skip
FROM_LABELS = (
    "labels", "ehr", "label_fraction", "fusion", "hold_out_center", "validation_share", "into", "epochs", "region",
    "cache",
)  # fmt: skip


def run(
    context: typer.Context,
    studies: Studies,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for checkpoints, metrics and the bundle.")],
    task: Annotated[Task, typer.Option(help="What to learn.")] = Task.SEGMENT,
    encoders: Annotated[
        Path | None, typer.Option(help="Folder or bundle with encoder_<view>.safetensors (and the head's weights).")
    ] = None,
    from_scratch: Annotated[bool, typer.Option("--from-scratch", help="Start every encoder from noise.")] = False,
    probe: Annotated[bool, typer.Option("--probe", help="Leave the encoders as they are.")] = False,
    encoder_share: Annotated[
        float | None, typer.Option(min=0, max=1, help="Encoders' learning rate relative to the head's.")
    ] = None,
    labels: Annotated[Path | None, typer.Option(help="diagnose: labels.csv, if not beside the studies.")] = None,
    ehr: Annotated[Path | None, typer.Option(help="diagnose: health records, ehr.csv.")] = None,
    label_fraction: Annotated[float, typer.Option(help="diagnose: share of the training patients used.")] = 1.0,
    fusion: Annotated[
        str, typer.Option(help="diagnose: gating, simple_concat, linear_concat, linear_add or cross_attention.")
    ] = "gating",
    hold_out_center: Annotated[
        list[str] | None, typer.Option(help="diagnose: leave this center out (repeatable).")
    ] = None,
    validation_share: Annotated[
        float, typer.Option(help="diagnose: share of the patients that calibrates, without --validation.")
    ] = 0.2,
    into: Annotated[
        Path | None, typer.Option(help="diagnose: add it to this bundle, whose masks stay as they are.")
    ] = None,
    epochs: Annotated[int, typer.Option(min=1, help="diagnose: passes over the studies, unless --probe.")] = 5,
    view: Annotated[list[View] | None, typer.Option(help="Only these views (repeatable).")] = None,
    name: Annotated[str, typer.Option(help="Name of the new model.")] = "my-model",
    encoder: Annotated[str, typer.Option(help="Registered encoder.")] = "ortho",
    preset: Annotated[str, typer.Option(help="Size of the encoder: small or base.")] = "small",
    head: Annotated[
        str | None, typer.Option(help="Registered head; else skip_segment, the bundle's, or evidence.")
    ] = None,
    shared_encoder: Annotated[bool, typer.Option("--shared-encoder", help="One encoder for all views.")] = False,
    steps: Annotated[int, typer.Option(min=1, help="Optimiser steps, from voxel-wise truth.")] = 10_000,
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
    bank_share: BankShare = None,
    focus: Annotated[
        float,
        typer.Option(min=0, max=1, help="diagnose, from a bank: share of crops on a lesion, or where one could be."),
    ] = 0.0,
    focus_label: Annotated[
        list[str] | None, typer.Option(help="Only lesions of this label, such as MM (repeatable), with --focus.")
    ] = None,
    region: Annotated[
        tuple[int, int, int], typer.Option(help="diagnose: slices, rows and columns read in the middle of a series.")
    ] = (28, 128, 128),
    pixel_mm: PixelMm = 1.0,
    detail: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=2,
            help="diagnose: pixels evidence maps see along one of the encoders' (default: as --encoders, or 1).",
        ),
    ] = None,
    cache: Annotated[
        Path | None, typer.Option(help="diagnose: folder for regions and frozen features, shared between runs.")
    ] = None,
    validation: Annotated[Path | None, typer.Option(help="Held-out bank or studies with truth or labels.csv.")] = None,
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
    """Fit encoders and a head to masks (truth/), labels (labels.csv) or a synthetic bank; writes a model bundle."""
    voice = Voice(quiet, json)
    with exits.handled(debug):
        from orthodx.errors import UsageError
        from orthodx.grid.spec import GridSpec
        from orthodx.inference.device import pick_device
        from orthodx.studies.run_record import sha256, state_on_disk, write_run
        from orthodx.synth.anatomy_bank import AnatomyBank
        from orthodx.training import bundling, starting

        started = datetime.now(timezone.utc)
        if (encoders is None) == (not from_scratch):
            raise UsageError("where do the encoders start?", hint="give --encoders FOLDER or --from-scratch, not both")
        if task is Task.SEGMENT:
            refuse_given(context, ("detail", *FROM_LESIONS), "is for --task diagnose")
        if not focus:
            refuse_given(context, ("focus_label",), "needs --focus")
        if probe and (from_scratch or encoder_share):
            raise UsageError("--probe leaves the encoders as they are", hint="leave it or the other option out")
        views, where = tuple(dict.fromkeys(view or View)), pick_device(device)
        encoders = starting.weights_folder(encoders) if encoders else None
        start, heads = starting.starting_weights(encoders, views, task.value) if encoders else ({}, {})
        banks = sum(len(AnatomyBank(path)) > 0 for path in studies)
        if task is Task.DIAGNOSE and banks and len(studies) > 1:
            raise UsageError("lesion masks are read from one bank alone", hint="give one bank, or studies and labels")
        dense = task is Task.SEGMENT or banks > 0
        _refuse_idle(context, dense, probe=probe, validation=validation is not None, workers=workers)
        share = encoder_share if encoder_share is not None else 1.0 if dense or from_scratch else 0.05  # as published
        share = 0.0 if probe else share
        wanted = head or starting.default_head(encoders)
        closer = detail or (1 if task is Task.SEGMENT else starting.head_detail(encoders, wanted))
        if dense:
            from orthodx.training.dense_tasks import dense_task
            from orthodx.training.finetune import FinetuneConfig, finetune_dense
            from orthodx.training.sources import identity, open_source, passed_over

            spec, learned = GridSpec(pixel_mm=pixel_mm), dense_task(task.value, probe)
            aim = (focus, tuple(focus_label or AnatomyBank(studies[0]).synthetic.injuries.sites)) if focus else None
            seen, size = GridSpec(pixel_mm=pixel_mm / closer), (crop[0], crop[1] * closer, crop[2] * closer)
            look = partial(open_source, truth=True, views=views, what=learned.truth, focus=aim)
            source = look(studies, seen, size, seed, bank_share=bank_share)
            held_out = None if validation is None else look([validation], seen, size, seed)
            config = FinetuneConfig(
                views=views, encoder=encoder, preset=preset, head=head, steps=steps, stop_at=stop_at, batch=batch,
                seed=seed, peak_rate=learning_rate, shared_encoder=shared_encoder, validate_every=validate_every,
                validation_samples=validation_samples, encoder_share=share, detail=closer,
                crop=crop, pixel_mm=pixel_mm, focus=aim, bank_share=bank_share, data=identity(source),
            )  # fmt: skip
            begin = starting.dense_start(encoders, heads, task.value, views, closer) if encoders else {}
            heads = {part: path for part, (path, _) in begin.items() if part in learned.heads}
            for note in (passed_over(source), *starting.dense_notes(encoders, spec, learned.heads, begin)):
                if note:
                    voice.say(f"note: {note}")
            parts = finetune_dense(
                config, source, out, device=where, encoders=start, workers=workers, task=learned,
                heads={part: tensors for part, (_, tensors) in begin.items()},
                validation=held_out, resume=resume, say=voice.say,
            )  # fmt: skip
            bundle = bundling.bundle_run(out / name, name, config, learned.heads, parts, spec, closer=learned.closer)
            facts: dict[str, Any] = {"config": asdict(config), "task": task.value}
        else:
            from orthodx.grid.region import RegionSpec
            from orthodx.training.finetune_diagnose import DiagnoseConfig, finetune_diagnose

            grid = GridSpec(pixel_mm=pixel_mm)
            base = bundling.base_of(into, encoders, probe=probe)
            if base is not None:
                bundling.refuse_other_grid(base, grid)
            study_config = DiagnoseConfig(
                encoder=encoder, preset=preset, head=wanted, fusion=fusion, epochs=epochs, batch=batch,
                views=views, peak_rate=learning_rate, fraction=label_fraction, validation=validation_share,
                encoder_share=share, hold_out=tuple(hold_out_center or ()), seed=seed,
                grid=grid, region=RegionSpec(slices=region[0], rows=region[1], columns=region[2], detail=closer),
            )  # fmt: skip
            fitted = finetune_diagnose(
                study_config, studies, out, device=where, encoders=start, labels=labels, ehr=ehr, cache=cache,
                head=starting.head_start(encoders, heads, wanted), validation=[validation] if validation else [],
                resume=resume, say=voice.say,
            )  # fmt: skip
            bundle = bundling.bundle_diagnosis(
                out / name, name, study_config, fitted, from_scratch=from_scratch, base=base, ehr=ehr is not None
            )
            facts = {
                "config": asdict(study_config), "task": task.value, "label_fraction": label_fraction,
                "counts": fitted.counts, "fitted_to": fitted.inputs,
            }  # fmt: skip
        given = [*studies, *(path for path in (validation, labels, ehr) if path is not None)]
        facts |= {
            "seed": seed, "device": str(where), "from_scratch": from_scratch,
            "inputs": [
                {"path": str(p), "state": state_on_disk(p), "sha256": sha256(p) if p.is_file() else None} for p in given
            ],
            "starts": {path.name: sha256(path) for path in dict.fromkeys((*start.values(), *heads.values()))},
            "model": {"name": name, "sha256": bundle.digest},
        }  # fmt: skip
        write_run(out / "run.json", command=sys.argv, started=started, facts=facts)
        voice.say(f"-> {bundle.path}  (use it with --model {bundle.path})")
        if json:
            import json as encoder_

            print(encoder_.dumps({"model": str(bundle.path), "metrics": str(out / "metrics.csv")}))


def _refuse_idle(context: typer.Context, dense: bool, *, probe: bool, validation: bool, workers: int) -> None:
    """Refuses options that would do nothing in this run."""
    if dense:
        refuse_given(context, FROM_LABELS, "is for --task diagnose, from studies with labels.csv")
        if not validation:
            refuse_given(context, ("validate_every", "validation_samples"), "needs --validation")
        return
    refuse_given(context, FROM_MASKS, "is for training from masks or a bank, not from labels.csv")
    if workers:
        refuse_given(context, ("workers",), "does nothing when a diagnosis is trained from studies")
    if probe:
        refuse_given(context, ("epochs", "batch", "learning_rate"), "does nothing with --probe")
    if validation:
        refuse_given(context, ("validation_share",), "does nothing with --validation")
