"""From a finished run to a model bundle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from orthodx.bundles.bundle import Bundle, BundleInfo, DiagnosisInfo, Part, open_bundle, save_bundle
from orthodx.errors import UsageError
from orthodx.grid.spec import GridSpec
from orthodx.joints import Joint, View
from orthodx.networks import ENCODERS, Wanted
from orthodx.networks.heads.head import head_config
from orthodx.networks.weights import load_file
from orthodx.studies.run_record import versions
from orthodx.training.diagnosis.fit import DiagnosisConfig, Fitted
from orthodx.training.masks.fit import MasksConfig, heads_of
from orthodx.training.masks.tasks import DenseTask
from orthodx.training.starting import Start

DIAGNOSE = "diagnose.safetensors"


@dataclass(frozen=True, kw_only=True)
class Card:
    """What a bundle says of itself beside its networks. training: records that stand in the place of the run's own.

    from_scratch: whether the encoders started from noise, where it is known.
    """

    name: str
    version: str = "0.1.0"
    training: tuple[dict[str, Any], ...] = ()
    from_scratch: bool | None = None
    licence: str = "unstated"
    sources: tuple[str, ...] = ()

    def after(self, origin: Bundle | None) -> Card:
        """The card of weights that began as those of another bundle: its licence and sources hold for them too."""
        return (
            self if origin is None else replace(self, licence=origin.info.licence, sources=tuple(origin.info.sources))
        )


def base_of(into: Path | None, start: Start, joint: Joint, *, probe: bool) -> Bundle | None:
    """The bundle that a diagnosis is added to: `into`, or the one whose encoders a probe of its joint leaves alone."""
    if into is not None:
        return open_bundle(into)
    own = start.bundle if probe else None
    alike = own is not None and (own.info.joint.name == joint.name or own.info.joint.names == joint.names)
    return own if alike else None


def grid_after(start: Bundle | None, pixel_mm: float) -> GridSpec:
    """How masks are learned and read by encoders that begin as a bundle's: as it reads images, at that pixel."""
    return GridSpec(pixel_mm=pixel_mm) if start is None else replace(start.info.grid, pixel_mm=pixel_mm)


def grid_of(base: Bundle | None, pixel_mm: float) -> GridSpec:
    """How a diagnosis reads images: as the bundle that it is added to. Raises what `refuse_other_grid` does."""
    if base is None:
        return GridSpec(pixel_mm=pixel_mm)
    grid = replace(base.info.grid, pixel_mm=pixel_mm)
    refuse_other_grid(base, grid)
    return grid


def refuse_other_grid(base: Bundle, grid: GridSpec) -> None:
    """Raises `UsageError` where the bundle reads images on another grid; windows of slices may differ."""
    own = base.info.grid
    if own.pixel_mm != grid.pixel_mm:
        raise UsageError(
            f"{base.info.name} reads pixels of {own.pixel_mm:g} mm, not {grid.pixel_mm:g} mm",
            hint=f"give --pixel-mm {own.pixel_mm:g}, or train without this bundle",
        )
    if replace(grid, slices=own.slices, overlap=own.overlap) != own:
        raise UsageError(f"{base.info.name} reads {own}, not {grid}", hint="train without this bundle")


def bundle_masks(
    folder: Path, card: Card, config: MasksConfig, task: DenseTask, parts: Mapping[str, Path], spec: GridSpec
) -> Bundle:
    """Write the averaged weights of a fine-tuning from voxel-wise truth as a bundle."""
    cls = ENCODERS.get(config.encoder)
    preset = cls.preset(config.preset)
    encoder = cls(preset)
    heads = {}
    for part, name in heads_of(config, task).items():
        wanted = Wanted.of(task.joint, detail=config.detail if part in task.closer else 1)
        heads[part] = Part(name, head_config(name, encoder, wanted), f"{part}.safetensors")
    record = {"stage": f"finetune {'+'.join(heads)}", "versions": versions()}
    told = asdict(config) | {"from_scratch": card.from_scratch}
    record |= json.loads(json.dumps({k: v for k, v in told.items() if v is not None}))
    info = BundleInfo(
        name=card.name,
        version=card.version,
        joint=task.joint,
        grid=spec,
        encoders={view: Part(config.encoder, preset, f"encoder_{view}.safetensors") for view in config.views},
        heads=heads,
        training=list(card.training) or [record],
        licence=card.licence,
        sources=list(card.sources),
        sha256={},
    )
    return save_bundle(folder, info, {path.name: load_file(path) for path in parts.values()})


def bundle_diagnosis(
    folder: Path,
    name: str,
    config: DiagnosisConfig,
    fitted: Fitted,
    *,
    start: Start,
    base: Bundle | None = None,
    ehr: bool = False,
) -> Bundle:
    """Write a fitted diagnosis as a bundle.

    base: a bundle to add the diagnosis to: its grid, encoders and heads come along as they are, and so do its licence,
    sources and training record, as those of `start` do without it; encoders that equal the bundle's are kept once.
    Raises `UsageError` where its grid is another.
    """
    config = fitted.config
    origin = base or start.bundle
    if base is not None:
        refuse_other_grid(base, config.grid)
    files: dict[str, Mapping[str, Tensor]] = {}
    kept = {t: p for t, p in (base.info.familiarity if base else {}).items() if t != "diagnose"}  # their encoders stay
    if base is not None:
        own_parts = (*base.info.encoders.values(), *base.info.heads.values(), *kept.values())
        files = {part.file: load_file(base.path / part.file) for part in own_parts}
    read = _encoders(config, fitted, base, files)
    files[DIAGNOSE] = {k: v.detach() for k, v in fitted.model.state_dict().items()}
    heads = {k: v for k, v in (base.info.heads if base else {}).items() if k != "evidence"}  # it has maps of its own
    files.pop("evidence.safetensors", None)
    info = BundleInfo(
        name=name,
        version=base.info.version if base else "0.1.0",
        joint=config.joint,
        grid=base.info.grid if base else config.grid,
        encoders=base.info.encoders if base else read,
        heads=heads,
        training=[*(origin.info.training if origin else ()), _record(config, fitted) | {"health_records": ehr}],
        licence=origin.info.licence if origin else "unstated",
        sources=origin.info.sources if origin else [],
        sha256={},
        diagnosis=DiagnosisInfo(
            diagnoser=fitted.model.config,
            file=DIAGNOSE,
            encoders=read,
            region=config.region,
            temperatures=fitted.temperatures,
            thresholds=fitted.thresholds,
            label_fraction=config.fraction,
            from_scratch=start.folder is None,
            synthetic_only=fitted.synthetic_only,
            noising=config.noising,
        ),
        familiarity=kept,
        quality=base.info.quality if base else {},
    )
    return save_bundle(folder, info, files)


def _encoders(
    config: DiagnosisConfig, fitted: Fitted, base: Bundle | None, files: dict[str, Mapping[str, Tensor]]
) -> dict[View, Part]:
    """The encoders that the diagnosis reads; those that the base has not are added to `files`."""
    preset, read = ENCODERS.get(config.encoder).preset(config.preset), {}
    for view, path in fitted.encoders.items():
        tensors, own = load_file(path), base.info.encoders.get(view) if base else None
        if own is not None and _equal(tensors, files[own.file]):
            read[view] = own
        else:
            read[view] = Part(config.encoder, preset, f"{'diagnose_' if base else ''}encoder_{view}.safetensors")
            files[read[view].file] = tensors
    return read


def _record(config: DiagnosisConfig, fitted: Fitted) -> dict[str, Any]:
    record: dict[str, Any] = {"stage": "finetune diagnose", "versions": versions(), **fitted.counts}
    settings = {k: v for k, v in asdict(config).items() if k != "joint"}
    return record | {k: v if isinstance(v, (int, float, bool, str)) else str(v) for k, v in settings.items()}


def _equal(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    """Whether two sets of weights are the same once stored as float16."""
    return one.keys() == other.keys() and all(one[k].half().equal(other[k].half()) for k in one)
