"""From a finished run to a model bundle, and from a folder of weights to a run's start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from orthodx.bundles.bundle import INFO, Bundle, BundleInfo, DiagnosisInfo, Part, open_bundle, save_bundle
from orthodx.errors import UsageError
from orthodx.grid.spec import GridSpec
from orthodx.joints import KNEE, View
from orthodx.networks import ENCODERS, HEADS
from orthodx.studies.run_record import versions
from orthodx.training.finetune import FinetuneConfig
from orthodx.training.finetune_diagnose import DiagnoseConfig, Fitted

PARTS = ("segment", "evidence", "diagnose")


def starting_weights(folder: Path, views: tuple[View, ...]) -> tuple[dict[View, Path], dict[str, Path]]:
    """Encoder weights a view, every one must be there, and the weights of heads that the folder has, by part."""
    encoders = {view: folder / f"encoder_{view}.safetensors" for view in views}
    for view, path in encoders.items():
        if not path.is_file():
            raise UsageError(f"{path}: missing", hint=f"pretrain it with --view {view}, or train with --from-scratch")
    heads = {part: folder / f"{part}.safetensors" for part in PARTS}
    return encoders, {part: path for part, path in heads.items() if path.is_file()}


def bundle_run(
    folder: Path, name: str, config: FinetuneConfig, heads: Mapping[str, str], parts: dict[str, Path], spec: GridSpec,
    crop: tuple[int, ...], *, version: str = "0.1.0", training: list[dict[str, Any]] | None = None,
    licence: str = "unstated", sources: list[str] | None = None,
) -> Bundle:  # fmt: skip
    """Write the averaged weights of a fine-tuning from voxel-wise truth as a bundle. heads: part -> registered head."""
    encoder = ENCODERS.get(config.encoder)
    preset = encoder.preset(config.preset)
    record = {"stage": f"finetune {'+'.join(heads)}", "crop": list(crop), "versions": versions()}
    record |= {
        k: v if isinstance(v, (int, float, bool)) else str(v) for k, v in asdict(config).items() if v is not None
    }
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
                asdict(HEADS.get(config.head or name).config_for(encoder(preset))),
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
    folder: Path, name: str, config: DiagnoseConfig, fitted: Fitted, start: Path | None, ehr: Path | None
) -> Bundle:
    """Write a fitted diagnosis as a bundle.

    start: where the encoders came from. If that is a bundle, its licence, sources and training record go along;
    if a probe left its encoders as they were, so do its other heads.
    """
    origin = open_bundle(start).info if start is not None and (start / INFO).is_file() else None
    encoder = ENCODERS.get(config.encoder)
    preset = asdict(encoder.preset(config.preset))
    files = {f"encoder_{view}.safetensors": load_file(path) for view, path in fitted.encoders.items()}
    parts = {view: Part(config.encoder, preset, f"encoder_{view}.safetensors") for view in fitted.encoders}
    heads = {"diagnose": Part(config.head, asdict(fitted.model.config), "diagnose.safetensors")}
    files["diagnose.safetensors"] = {k: v.detach() for k, v in fitted.model.state_dict().items()}
    if origin is not None and start is not None and config.encoder_share == 0:
        for view in origin.encoders.keys() - parts.keys():
            parts[view] = origin.encoders[view]
            files[parts[view].file] = load_file(start / parts[view].file)
        for task, part in origin.heads.items():
            if task not in ("diagnose", "evidence"):  # the new diagnosis has evidence maps of its own
                heads[task], files[part.file] = part, load_file(start / part.file)
    record: dict[str, Any] = {"stage": "finetune diagnose", "versions": versions(), **fitted.counts}
    record |= {k: v if isinstance(v, (int, float, bool, str)) else str(v) for k, v in asdict(config).items()}
    info = BundleInfo(
        name=name,
        version="0.1.0",
        joint=KNEE.name,
        structures=KNEE.names,
        grid=config.grid,
        encoders=parts,
        heads=heads,
        training=[*(origin.training if origin else ()), record | {"health_records": ehr is not None}],
        licence=origin.licence if origin else "unstated",
        sources=origin.sources if origin else [],
        sha256={},
        diagnosis=DiagnosisInfo(
            region=config.region,
            temperatures=fitted.temperatures,
            thresholds=fitted.thresholds,
            label_fraction=config.fraction,
            from_scratch=start is None,
        ),
    )
    return save_bundle(folder, info, files)
