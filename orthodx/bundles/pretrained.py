"""From finished `orthodx pretrain` runs, one a view, to a bundle of encoders that has seen no label."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from orthodx.bundles.bundle import Bundle, BundleInfo, Part, fill, save_bundle
from orthodx.errors import BundleError, UsageError
from orthodx.grid.spec import GridSpec
from orthodx.joints import DEFAULT_JOINT, Joint, View
from orthodx.networks import ENCODERS
from orthodx.networks.weights import load_file
from orthodx.studies.run_record import sha256

RECORD = "run.json"
TOLD = ("command", "starts", "versions", "device", "started", "finished")  # of a run's record, kept in the bundle


def pack_pretrained(
    runs: Sequence[Path],
    out: Path,
    *,
    name: str,
    joint: Joint | None = None,
    version: str = "0.1.0",
    licence: str = "unstated",
    sources: Sequence[str] = (),
) -> Bundle:
    """Check the weights of each run against its record and its encoder, and write them to `out` as float16.

    joint: what the scans showed, else what the runs tell, else the knee.

    Raises `BundleError` naming the file for a run that is not finished, was changed since, or holds NaN, and
    `UsageError` where two runs are of one view, runs differ in encoder, pixel size or joint, or `out` is not empty.
    """
    if out.exists() and any(out.iterdir()):
        raise UsageError(f"{out} is not empty", hint="choose a new folder for the bundle")
    encoders: dict[View, Part] = {}
    weights, training, kinds = {}, [], {}
    joints: dict[str, Joint] = {} if joint is None else {joint.name: joint}
    for run in runs:
        record = _record(run)
        config = record["config"]
        view, file = View(config["view"]), f"encoder_{config['view']}.safetensors"
        if view in encoders:
            raise UsageError(f"{run}: another run is of the {view} view too", hint="give one run a view")
        if not (run / file).is_file() or sha256(run / file) != record["weights"]:
            raise BundleError(f"{run / file}: not the weights that {RECORD} tells of", hint="finish or repeat that run")
        encoder = ENCODERS.get(config["encoder"])
        preset = encoder.preset(config["preset"])
        try:
            weights[file] = load_file(run / file)
        except SafetensorError as error:
            raise BundleError(f"{run / file}: not a safetensors file ({error})", hint="repeat that run") from error
        fill(encoder(preset), weights[file], str(run / file))
        if bad := [k for k, tensor in weights[file].items() if not torch.isfinite(tensor).all()]:
            raise BundleError(f"{run / file}: tensor '{bad[0]}' holds NaN or infinity", hint="repeat that run")
        encoders[view] = Part(config["encoder"], preset, file)
        if isinstance(record.get("joint"), dict):
            told_joint = Joint.from_json(record["joint"])
            joints.setdefault(told_joint.name, told_joint)
        kinds[run] = f"{config['encoder']} {config['preset']} of {float(config['pixel_mm']):g} mm"
        training.append({"stage": "pretrain", "view": str(view), "config": config, "weights": record["weights"]})
        training[-1] |= {k: record[k] for k in TOLD if k in record}
    if len(set(kinds.values())) > 1:
        told = ", ".join(f"{run}: {kind}" for run, kind in kinds.items())
        raise UsageError(f"the runs differ ({told})", hint="pretrain all views with one encoder, --preset, --pixel-mm")
    if len(joints) > 1:
        raise UsageError(
            f"the runs are of {' and '.join(joints)}", hint="pack the runs of one joint, and name no other"
        )
    info = BundleInfo(
        name=name,
        version=version,
        joint=next(iter(joints.values()), DEFAULT_JOINT),
        grid=GridSpec(pixel_mm=float(config["pixel_mm"])),
        encoders=encoders,
        heads={},
        training=training,
        licence=licence,
        sources=list(sources),
        sha256={},
    )
    return save_bundle(out, info, weights)


def _record(run: Path) -> dict[str, Any]:
    path = run / RECORD
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        _ = record["config"]["view"], record["config"]["encoder"], record["config"]["preset"], record["weights"]
        _ = float(record["config"]["pixel_mm"]), View(record["config"]["view"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BundleError(
            f"{path}: no record of a finished pretraining", hint="give the --out folders of 'orthodx pretrain'"
        ) from error
    return record
