"""From a finished run to a model bundle, and from a folder of weights to a run's start."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
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
    shipped_names,
)
from orthodx.errors import UsageError
from orthodx.grid.spec import GridSpec
from orthodx.joints import KNEE, View
from orthodx.networks import ENCODERS, HEADS
from orthodx.networks.head import head_config
from orthodx.studies.run_record import versions
from orthodx.training import checkpoint
from orthodx.training.finetune import FinetuneConfig
from orthodx.training.finetune_diagnose import DiagnoseConfig, Fitted

PARTS = ("segment", "evidence", "diagnose")


def weights_folder(name_or_folder: Path) -> Path:
    """A folder of weights, or that of a shipped bundle by name."""
    shipped = str(name_or_folder) in shipped_names() and not name_or_folder.is_dir()
    return open_bundle(name_or_folder).path if shipped else name_or_folder


def starting_weights(
    folder: Path, views: tuple[View, ...], task: str = "segment"
) -> tuple[dict[View, Path], dict[str, Path]]:
    """Encoder weights a view, every one must be there, and the weights of heads that the folder has, by part.

    For the task "diagnose", encoders that a bundle keeps for its diagnosis come first.
    """
    encoders = {view: folder / f"encoder_{view}.safetensors" for view in views}
    if task == "diagnose":
        own = {view: folder / f"diagnose_encoder_{view}.safetensors" for view in views}
        encoders |= {view: path for view, path in own.items() if path.is_file()}
    for view, path in encoders.items():
        if not path.is_file():
            raise UsageError(f"{path}: missing", hint=f"pretrain it with --view {view}, or train with --from-scratch")
    heads = {part: folder / f"{part}.safetensors" for part in PARTS}
    return encoders, {part: path for part, path in heads.items() if path.is_file()}


def _heads(folder: Path | None) -> tuple[dict[str, Any], Mapping[str, Part]]:
    """Configuration of a bundle's diagnosis, and its heads by part; nothing where `folder` is no bundle."""
    if folder is None or not (folder / INFO).is_file():
        return {}, {}
    heads = open_bundle(folder).info.heads
    return heads["diagnose"].config if "diagnose" in heads else {}, heads


Start = tuple[Path, dict[str, Tensor]]  # a head's weights, and the file they are from


def dense_start(
    folder: Path, heads: Mapping[str, Path], task: str, views: Sequence[View], detail: int = 1
) -> dict[str, Start]:
    """What heads start from when they learn from masks, by part.

    folder: where encoders and `heads` are from. For the task "diagnose" a bundle's diagnosis is taken apart: its maps,
    and the segmentation head of its own encoders, if it has them, instead of that of the others. views: in the order in
    which their heads are looked for; the parts are alike in all fitted ones. Maps of another `detail` are left out.
    """
    found = {part: (path, checkpoint.head_weights(path)) for part, path in heads.items() if part != "diagnose"}
    whole, known = _heads(folder)
    closer = {"evidence": known["evidence"].config.get("detail", 1)} if "evidence" in known else {}
    diagnosis = open_bundle(folder).info.diagnosis if "head" in whole else None
    if task == "diagnose" and diagnosis is not None:
        if any(open_bundle(folder).info.encoders.get(view) != part for view, part in diagnosis.encoders.items()):
            found = {}
        view = next(view for view in (*views, *View) if view in diagnosis.encoders)
        tensors, parts = checkpoint.head_weights(heads["diagnose"], view), HEADS.get(whole["head"]).parts
        for prefix, part in parts.items():
            others = tuple(other for other in parts if len(other) > len(prefix))
            own = {
                k.removeprefix(prefix): v
                for k, v in tensors.items()
                if k.startswith(prefix) and not k.startswith(others)
            }
            found[part] = (heads["diagnose"], own)
            closer[part] = whole["head_config"].get("detail", 1) if part == "evidence" else 1
    if int(closer.get("evidence", detail)) != detail:
        found.pop("evidence", None)
    return found


def dense_notes(folder: Path | None, spec: GridSpec, parts: Collection[str], begin: Mapping[str, Start]) -> list[str]:
    """What is worth saying before heads learn from masks: parts that begin from noise, encoders of another pixel."""
    if folder is None:
        return []
    notes = [f"'{part}' begins from noise" for part in parts if part not in begin]
    if (folder / INFO).is_file() and (own := open_bundle(folder).info.grid.pixel_mm) != spec.pixel_mm:
        notes.append(f"the encoders learned at {own:g} mm, and go on at --pixel-mm {spec.pixel_mm:g}")
    return notes


def default_head(folder: Path | None) -> str:
    """The head of a bundle's diagnosis, or evidence maps."""
    return str(_heads(folder)[0].get("head", "evidence"))


def head_start(folder: Path | None, heads: Mapping[str, Path], head: str) -> dict[str, Path]:
    """Files that a view's `head` starts from, by prefix: a bundle's diagnosis by the same head, or else its parts.

    Raises `UsageError` where a head of several parts lacks one.
    """
    if folder is None:
        return {}
    if _heads(folder)[0].get("head") == head:
        return {"": heads["diagnose"]}
    parts = HEADS.get(head).parts
    missing = [part for part in parts.values() if part not in heads]
    if missing and len(parts) > 1:
        raise UsageError(f"the head '{head}' needs {missing[0]}.safetensors in {folder}",
                         hint="train masks and evidence together: finetune BANK --task diagnose")  # fmt: skip
    return {prefix: heads[part] for prefix, part in parts.items() if part in heads}


def head_detail(folder: Path | None, head: str) -> int:
    """How much closer than the encoders a bundle's `head` looks; 1 where there is no such bundle or head."""
    whole, heads = _heads(folder)
    if whole.get("head") == head:
        return int(whole["head_config"].get("detail", 1))
    own = HEADS.get(head).parts.get("")
    return int(heads[own].config.get("detail", 1)) if own in heads else 1


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
