"""`orthodx pretrain`: images without labels in, one view's encoder out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path

from orthodx.errors import UsageError
from orthodx.grid.spec import GridSpec
from orthodx.joints import DEFAULT_JOINT
from orthodx.networks import ENCODERS
from orthodx.networks.device import compiler_errors, pick_device
from orthodx.requests import PretrainRequest, takes
from orthodx.studies.nameless import nameless_command
from orthodx.studies.run_record import RUN, sha256, told_of, write_run
from orthodx.training.checkpoint import trained_in
from orthodx.training.denoising.fit import PretrainConfig, fit_denoiser
from orthodx.training.distributed import join, leave
from orthodx.training.source_contents import identity, left_out_of
from orthodx.training.sources import Source, joint_of_data, open_source


@takes(PretrainRequest)
def pretrain(
    request: PretrainRequest,
    *,
    say: Callable[[str], None] = lambda line: None,
    refused: Callable[[str], None] | None = None,
    command: Sequence[str] = (),
) -> Path:
    """Teach one view's encoder to predict noise; returns its weights, `out/encoder_<view>.safetensors`.

    Writes `metrics.csv`, checkpoints and `run.json` too. say: told how it goes. refused: told each input that is left
    out; else `say` is. Under `torchrun` the processes share
    every step. Raises `UsageError` for options that contradict each other or would do nothing, `NoInputError` where
    there is nothing to learn from, `DivergedError` on NaN, with the last good state saved.

    >>> orthodx.pretrain("nifti", "pretrained", view="sagittal", steps=2, batch=1, crop=(4, 32, 32), device="cpu")
    PosixPath('pretrained/encoder_sagittal.safetensors')
    """
    started = datetime.now(timezone.utc)
    if request.probe is None:
        request.refuse(("probe_every",), "needs --probe")
    if request.distil is None:
        request.refuse(("distil_weight",), "needs --distil")
    if not ENCODERS.get(request.encoder).denoises:
        able = [name for name in ENCODERS.names() if ENCODERS.get(name).denoises]
        raise UsageError(f"the encoder '{request.encoder}' is no denoiser", hint=f"give {' or '.join(able)}")
    GridSpec(pixel_mm=request.pixel_mm).require_readable("crop", request.crop)
    with trained_in(request.out, "orthodx pretrain"):
        return _pretrained(request, started, say, refused or (lambda line: say(f"left out: {line}")), command)


def _pretrained(
    request: PretrainRequest,
    started: datetime,
    say: Callable[[str], None],
    refused: Callable[[str], None],
    command: Sequence[str],
) -> Path:
    """Sources opened -> the encoder trained -> the record."""
    spec, joint = GridSpec(pixel_mm=request.pixel_mm), joint_of_data(request.studies) or DEFAULT_JOINT
    team = join(pick_device(request.device))
    told = say if team.chief else lambda line: None
    told(f"the {request.view} encoder learns for {request.steps} steps on {team.device}")
    source = open_source(
        request.studies,
        spec,
        request.crop,
        request.seed,
        joint=joint,
        truth=False,
        views=[request.view],
        cache=request.cache,
        bank_share=request.bank_share,
        team=team,
        say=told,
    )
    config = _config(request, source)
    labelled = None
    if request.probe is not None:
        held = joint_of_data([request.probe]) or joint
        labelled = open_source(
            [request.probe], spec, request.crop, request.seed, joint=held, truth=True, views=[request.view]
        )
    left = [*left_out_of(source), *([] if labelled is None else left_out_of(labelled))]
    for one in left if team.chief else ():
        refused(one.line)
    starts = {name: sha256(p) for name, p in (("init", request.init), ("teacher", request.distil)) if p}
    with compiler_errors():
        weights = fit_denoiser(
            config,
            source,
            request.out,
            team=team,
            workers=request.workers,
            init=request.init,
            teacher=request.distil,
            labelled=labelled,
            resume=request.resume,
            compiled=request.compile,
            say=told,
        )
    leave(team)
    if team.chief:
        facts = {
            "config": asdict(config),
            "device": str(team.device),
            "joint": joint.to_json(),
            "starts": starts,
            "weights": sha256(weights),
            "inputs": [told_of(path, request.keep_paths) for path in request.studies],
            "left_out": [one.row(request.studies, keep_paths=request.keep_paths) for one in left],
        }
        words = nameless_command(command, request, keep_paths=request.keep_paths)
        write_run(request.out / RUN, command=words, started=started, facts=facts)
    return weights


def _config(request: PretrainRequest, source: Source) -> PretrainConfig:
    """What decides the weights, as the checkpoint keeps it."""
    return PretrainConfig(
        view=request.view,
        encoder=request.encoder,
        preset=request.preset,
        steps=request.steps,
        batch=request.batch,
        accumulate=request.accumulate,
        peak_rate=request.learning_rate,
        seed=request.seed,
        sample_every=request.sample_every,
        probe_every=request.probe_every if request.probe else 0,
        align=request.align,
        distil=request.distil_weight if request.distil else None,
        crop=request.crop,
        pixel_mm=request.pixel_mm,
        bank_share=request.bank_share,
        data=identity(source),
    )
