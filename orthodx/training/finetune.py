"""`orthodx finetune`: where it starts, what it learns from, and the bundle that comes out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from orthodx.bundles.bundle import Bundle
from orthodx.errors import UsageError
from orthodx.requests import FinetuneRequest, Task, takes
from orthodx.studies.nameless import nameless_command
from orthodx.studies.run_record import RUN, sha256, told_of, write_run
from orthodx.synth.source import SyntheticSource
from orthodx.training.bundling import Card, base_of, bundle_diagnosis, bundle_masks, grid_after, grid_of
from orthodx.training.checkpoint import trained_in
from orthodx.training.checks import Run, checked
from orthodx.training.diagnosis.fit import Cohort, fit_diagnosis
from orthodx.training.diagnosis.stage_one import DiagnosisConfig
from orthodx.training.distributed import leave
from orthodx.training.left_out import Leave, LeftOut
from orthodx.training.masks.fit import MasksConfig, fit_masks
from orthodx.training.masks.tasks import dense_task
from orthodx.training.source_contents import identity, left_out_of, refuse_shared, studies_of
from orthodx.training.sources import EVERYONE, Chosen, Source, open_source
from orthodx.training.starting import dense_notes, dense_start


@takes(FinetuneRequest)
def finetune(
    request: FinetuneRequest,
    *,
    say: Callable[[str], None] = lambda line: None,
    refused: Callable[[str], None] | None = None,
    command: Sequence[str] = (),
) -> Bundle:
    """Fit encoders and a head to masks, labels or a bank of injuries, and write a model bundle to `out/<name>`.

    Writes `metrics.csv`, checkpoints and `run.json` too. say: told how it goes. refused: told each input that is left
    out; else `say` is. Raises `UsageError` for options that contradict each other or would do nothing, `NoInputError`
    where there is nothing to learn from, `DivergedError` on NaN, with the last good state saved.

    >>> bundle = orthodx.finetune("cohort", "fit", encoders="pretrained", views="sagittal", steps=2, crop=(4, 32, 32))
    >>> bundle.info.tasks
    ['segment']
    """
    started = datetime.now(timezone.utc)
    run, left = checked(request, say), list[LeftOut]()

    def note(one: LeftOut) -> None:
        left.append(one)
        if run.team.chief:
            refused(one.line) if refused else say(f"left out: {one.line}")

    with trained_in(request.out, "orthodx finetune"):
        bundle, facts = _from_truth(run, note) if run.dense else _from_labels(run, note)
        leave(run.team)
        facts |= {"left_out": [one.row(request.studies, keep_paths=request.keep_paths) for one in left]}
        _record(run, bundle, facts, started, command)
    return bundle


def _record(run: Run, bundle: Bundle, facts: dict[str, Any], started: datetime, command: Sequence[str]) -> None:
    request = run.request
    if run.team.chief:
        given = [*request.studies, *(p for p in (request.validation, request.labels, request.ehr) if p is not None)]
        facts |= {
            "task": str(request.task),
            "joint": run.joint.name,
            "seed": request.seed,
            "device": str(run.team.device),
            "from_scratch": request.from_scratch,
            "inputs": [told_of(path, request.keep_paths) for path in given],
            "starts": {what: sha256(path) for what, path in run.start.files.items()},
            "model": {"name": request.name, "sha256": bundle.digest},
        }
        words = nameless_command(command, request, keep_paths=request.keep_paths)
        write_run(request.out / RUN, command=words, started=started, facts=facts)


def _from_truth(run: Run, note: Leave) -> tuple[Bundle, dict[str, Any]]:
    """Masks, lesions, or both: sources opened -> encoders and heads trained -> bundle."""
    request, start, closer = run.request, run.start, run.detail
    spec, task = grid_after(start.bundle, run.pixel_mm), dense_task(str(request.task), request.probe, run.joint)
    seen = replace(spec, pixel_mm=run.pixel_mm / closer)
    crop = (request.crop[0], request.crop[1] * closer, request.crop[2] * closer)
    spec.require_readable("crop", request.crop)
    aim = (request.focus, request.focus_label or ()) if request.focus else None

    def opened(
        studies: Sequence[Path], *, augment: bool = False, bank_share: float | None = None, chosen: Chosen = EVERYONE
    ) -> Any:
        return open_source(
            studies,
            seen,
            crop,
            request.seed,
            joint=run.joint,
            truth=True,
            views=run.views,
            what=task.truth,
            focus=aim,
            bank_share=bank_share,
            chosen=chosen,
            augment=augment,
        )

    chosen = Chosen(request.only, request.label_fraction, request.seed, request.group_by)
    source = opened(request.studies, augment=request.augment, bank_share=request.bank_share, chosen=chosen)
    held_out = None if request.validation is None else opened([request.validation])
    if held_out is not None:
        refuse_shared(source, held_out)
    config = _masks_config(run, source, held_out, aim)
    masks = run.head if request.task is Task.SEGMENT else task.heads.get("segment", "")
    begin = dense_start(start, str(request.task), run.joint, run.views, closer, masks)
    for one in (*left_out_of(source), *([] if held_out is None else left_out_of(held_out))):
        note(one)
    for line in dense_notes(start, spec, task.heads, begin):
        run.say(f"note: {line}")
    what, views = " and ".join(task.heads), ", ".join(run.views)
    run.say(f"{what}: learns for {request.steps} steps from {views} series on {run.team.device}")
    parts = fit_masks(
        config,
        source,
        request.out,
        task=task,
        team=run.team,
        encoders=start.encoders,
        heads=begin,
        validation=held_out,
        workers=request.workers,
        resume=request.resume,
        say=run.say,
    )
    card = Card(name=request.name, from_scratch=request.from_scratch).after(start.bundle)
    bundle = bundle_masks(request.out / request.name, card, config, task, parts, spec)
    sides = {"train": source, "validation": held_out}
    counts = {name: studies_of(side) for name, side in sides.items() if side is not None}
    return bundle, {"config": asdict(config), "counts": {name: n for name, n in counts.items() if n}}


def _masks_config(
    run: Run, source: Source, held_out: Source | None, focus: tuple[float, tuple[str, ...]] | None
) -> MasksConfig:
    """What decides the weights, as the checkpoint keeps it."""
    request = run.request
    return MasksConfig(
        views=run.views,
        encoder=run.encoder,
        preset=run.preset,
        head=run.head if request.task is Task.SEGMENT else request.head,
        steps=request.steps,
        stop_at=request.stop_at,
        batch=request.batch,
        seed=request.seed,
        peak_rate=run.learning_rate,
        shared_encoder=request.shared_encoder,
        validate_every=request.validate_every,
        validation_samples=request.validation_samples,
        patience=request.patience,
        encoder_share=run.share,
        detail=run.detail,
        crop=request.crop,
        pixel_mm=run.pixel_mm,
        focus=focus,
        bank_share=request.bank_share,
        augment=None if isinstance(source, SyntheticSource) else request.augment,
        label_fraction=None if request.label_fraction == 1 else request.label_fraction,
        data=identity(source),
        validated_on=None if held_out is None else identity(held_out),
    )


def _from_labels(run: Run, note: Leave) -> tuple[Bundle, dict[str, Any]]:
    """Studies with labels: stage I a view, fusion, calibration -> bundle, added to another one where asked."""
    request, start = run.request, run.start
    base = base_of(request.into, start, run.joint, probe=request.probe)
    grid = grid_of(base, run.pixel_mm)
    joint = base.info.joint if base is not None and request.joint is None else run.joint
    if base is not None and base.info.joint.names != joint.names:
        raise UsageError(
            f"{base.info.name} is a model of the {base.info.joint.name}, not of the {joint.name}",
            hint="train without this bundle, or leave --joint out",
        )
    config = DiagnosisConfig(
        joint=joint,
        encoder=run.encoder,
        preset=run.preset,
        head=run.head,
        blocks=run.blocks,
        noising=run.noising,
        stage_one=run.stage_one,
        fusion=request.fusion,
        epochs=run.epochs,
        batch=request.batch,
        views=run.views,
        peak_rate=run.learning_rate,
        fraction=request.label_fraction,
        validation=request.validation_share,
        encoder_share=run.share,
        hold_out=request.hold_out_center,
        seed=request.seed,
        grid=grid,
        region=run.region,
    )
    cohort = Cohort(
        studies=request.studies,
        validation=() if request.validation is None else (request.validation,),
        only=request.only,
        group_by=request.group_by,
        link=request.link,
        labels=request.labels,
        ehr=request.ehr,
        cache=request.cache,
    )
    fitted = fit_diagnosis(
        config, cohort, request.out, device=run.team.device, start=start, resume=request.resume, say=run.say, leave=note
    )
    bundle = bundle_diagnosis(
        request.out / request.name,
        request.name,
        config,
        fitted,
        start=start,
        base=base,
        ehr=request.ehr is not None,
    )
    return bundle, {
        "config": {k: v for k, v in asdict(fitted.config).items() if k != "joint"},
        "label_fraction": request.label_fraction,
        "counts": fitted.counts,
        "fitted_to": fitted.inputs,
    }
