"""From a finished run to a model bundle."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor

from orthodx.bundles.bundle import (
    INFO,
    Bundle,
    BundleInfo,
    DiagnosisInfo,
    Part,
    open_bundle,
    save_bundle,
)
from orthodx.errors import UsageError
from orthodx.grid.spec import GridSpec
from orthodx.joints import KNEE, View
from orthodx.networks import ENCODERS, HEADS
from orthodx.networks.head import head_config
from orthodx.studies.run_record import versions
from orthodx.training.finetune import FinetuneConfig
from orthodx.training.finetune_diagnose import DiagnoseConfig, Fitted


def base_of(into: Path | None, start: Path | None, *, probe: bool) -> Bundle | None:
    """The bundle that a diagnosis is added to: `into`, or the one whose encoders `start` a probe leaves alone."""
    if into is not None:
        return open_bundle(into)
    return open_bundle(start) if probe and start is not None and (start / INFO).is_file() else None


def refuse_other_grid(base: Bundle, grid: GridSpec) -> None:
    """Raises `UsageError` where the bundle reads images on another grid; windows of slices may differ."""
    own = base.info.grid
    if replace(grid, slices=own.slices, overlap=own.overlap) != own:
        raise UsageError(
            f"{base.info.name} reads pixels of {own.pixel_mm:g} mm, not {grid.pixel_mm:g} mm, or other slices",
            hint=f"give --pixel-mm {own.pixel_mm:g}, or train without this bundle",
        )


def bundle_run(
    folder: Path, name: str, config: FinetuneConfig, heads: Mapping[str, str], parts: dict[str, Path], spec: GridSpec,
    *, closer: Collection[str] = (), version: str = "0.1.0",
    training: list[dict[str, Any]] | None = None, licence: str = "unstated", sources: list[str] | None = None,
) -> Bundle:  # fmt: skip
    """Write the averaged weights of a fine-tuning from voxel-wise truth as a bundle.

    heads: part -> registered head. closer: parts that look `config.detail` times closer than the encoders.
    """
    encoder = ENCODERS.get(config.encoder)
    preset = encoder.preset(config.preset)
    details = {part: config.detail if part in closer else 1 for part in heads}
    record = {"stage": f"finetune {'+'.join(heads)}", "versions": versions()}
    record |= json.loads(json.dumps({k: v for k, v in asdict(config).items() if v is not None}))
    info = BundleInfo(
        name=name,
        version=version,
        joint=KNEE.name,
        structures=KNEE.names,
        grid=spec,
        encoders={view: Part(config.encoder, asdict(preset), f"encoder_{view}.safetensors") for view in config.views},
        heads={
            part: Part(
                config.head or name,
                asdict(head_config(HEADS.get(config.head or name), encoder(preset), details[part])),
                f"{part}.safetensors",
            )
            for part, name in heads.items()
        },
        training=training or [record],
        licence=licence,
        sources=sources or [],
        sha256={},
    )
    return save_bundle(folder, info, {path.name: load_file(path) for path in parts.values()})


def bundle_diagnosis(
    folder: Path, name: str, config: DiagnoseConfig, fitted: Fitted, *, from_scratch: bool,
    base: Bundle | None = None, ehr: bool = False,
) -> Bundle:  # fmt: skip
    """Write a fitted diagnosis as a bundle.

    base: a bundle to add the diagnosis to: its grid, encoders and heads come along as they are, and so do its licence,
    sources and training record; encoders that equal the bundle's are kept once. Raises `UsageError` where its grid
    is another.
    """
    if base is not None:
        refuse_other_grid(base, config.grid)
    preset = asdict(ENCODERS.get(config.encoder).preset(config.preset))
    files: dict[str, Mapping[str, Tensor]] = {}
    if base is not None:
        parts = (*base.info.encoders.values(), *base.info.heads.values())
        files = {part.file: load_file(base.path / part.file) for part in parts}
    read: dict[View, Part] = {}
    for view, path in fitted.encoders.items():
        tensors, own = load_file(path), base.info.encoders.get(view) if base else None
        if own is not None and _equal(tensors, files[own.file]):
            read[view] = own
        else:
            read[view] = Part(config.encoder, preset, f"{'diagnose_' if base else ''}encoder_{view}.safetensors")
            files[read[view].file] = tensors
    files["diagnose.safetensors"] = {k: v.detach() for k, v in fitted.model.state_dict().items()}
    heads = {
        **(base.info.heads if base else {}),
        "diagnose": Part(config.head, asdict(fitted.model.config), "diagnose.safetensors"),
    }
    heads.pop("evidence", None)  # the diagnosis has evidence maps of its own
    files.pop("evidence.safetensors", None)
    record: dict[str, Any] = {"stage": "finetune diagnose", "versions": versions(), **fitted.counts}
    record |= {k: v if isinstance(v, (int, float, bool, str)) else str(v) for k, v in asdict(config).items()}
    info = BundleInfo(
        name=name,
        version=base.info.version if base else "0.1.0",
        joint=KNEE.name,
        structures=base.info.structures if base else KNEE.names,
        grid=base.info.grid if base else config.grid,
        encoders=base.info.encoders if base else read,
        heads=heads,
        training=[*(base.info.training if base else ()), record | {"health_records": ehr}],
        licence=base.info.licence if base else "unstated",
        sources=base.info.sources if base else [],
        sha256={},
        diagnosis=DiagnosisInfo(
            encoders=read,
            region=config.region,
            temperatures=fitted.temperatures,
            thresholds=fitted.thresholds,
            label_fraction=config.fraction,
            from_scratch=from_scratch,
        ),
    )
    return save_bundle(folder, info, files)


def _equal(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    """Whether two sets of weights are the same once stored as float16."""
    return one.keys() == other.keys() and all(one[k].half().equal(other[k].half()) for k in one)
