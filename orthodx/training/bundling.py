"""From a finished run to a model bundle, and from a folder of weights to a run's start."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from orthodx.bundles.bundle import Bundle, BundleInfo, Part, save_bundle
from orthodx.errors import UsageError
from orthodx.grid.spec import GridSpec
from orthodx.joints import KNEE, View
from orthodx.networks import ENCODERS, HEADS
from orthodx.studies.run_record import versions
from orthodx.training.finetune import FinetuneConfig


def starting_weights(
    folder: Path, views: tuple[View, ...], part: str = "segment"
) -> tuple[dict[View, Path], Path | None]:
    """Encoder weights a view, and the head's weights `part` if the folder has some; every view must be there."""
    encoders = {view: folder / f"encoder_{view}.safetensors" for view in views}
    for view, path in encoders.items():
        if not path.is_file():
            raise UsageError(f"{path}: missing", hint=f"pretrain it with --view {view}, or train with --from-scratch")
    head = folder / f"{part}.safetensors"
    return encoders, head if head.is_file() else None


def bundle_run(
    folder: Path, name: str, config: FinetuneConfig, parts: dict[str, Path], spec: GridSpec, crop: tuple[int, ...],
    *, version: str = "0.1.0", training: list[dict[str, Any]] | None = None, licence: str = "unstated",
    sources: list[str] | None = None,
) -> Bundle:  # fmt: skip
    """Write the averaged weights of a fine-tuning as a bundle."""
    encoder, head = ENCODERS.get(config.encoder), HEADS.get(config.head)
    preset = encoder.preset(config.preset)
    record = {"stage": "finetune segment", "crop": list(crop), "versions": versions()}
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
        heads={"segment": Part(config.head, asdict(head.config_for(encoder(preset))), "segment.safetensors")},
        training=training or [record],
        licence=licence,
        sources=sources or [],
        sha256={},
    )
    return save_bundle(folder, info, {path.name: load_file(path) for path in parts.values()})
