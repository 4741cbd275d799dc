"""A model on disk: `model.json` and one `.safetensors` file a part. Nothing in it can run code."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from orthodx.errors import BundleError, OrthodxError
from orthodx.grid.region import RegionSpec
from orthodx.grid.spec import GridSpec
from orthodx.joints import View
from orthodx.networks import ENCODERS, HEADS, Head, ViewEncoder
from orthodx.networks.diagnoser import Diagnoser, DiagnoserConfig
from orthodx.studies.run_record import sha256, write_json
from orthodx.studies.writing import atomic

SCHEMA = 1
SHIPPED = Path(__file__).parent / "shipped"
INFO = "model.json"


@dataclass(frozen=True)
class Part:
    """One network of a bundle: registered name, its configuration, its weights file."""

    name: str
    config: dict[str, Any]
    file: str


@dataclass(frozen=True, kw_only=True)
class DiagnosisInfo:
    """How a bundle's diagnosis is used: what it reads of a series, and its calibration on validation studies.

    encoders: those it reads, the bundle's own or others. temperatures: label -> what its logit is divided by.
    thresholds: label -> probability from which it is positive. label_fraction: share of the training labels used.
    from_scratch: whether the encoders started from noise.
    """

    encoders: dict[View, Part]
    region: RegionSpec
    temperatures: dict[str, float]
    thresholds: dict[str, float]
    label_fraction: float = 1.0
    from_scratch: bool = False


@dataclass(frozen=True, kw_only=True)
class BundleInfo:
    """The contents of `model.json`."""

    name: str
    version: str
    joint: str
    structures: dict[int, str]
    grid: GridSpec
    encoders: dict[View, Part]
    heads: dict[str, Part]
    training: list[dict[str, Any]]
    licence: str
    sources: list[str]
    sha256: dict[str, str]
    diagnosis: DiagnosisInfo | None = None


@dataclass(frozen=True)
class Bundle:
    """A bundle folder whose description has been read and whose weights are loaded on demand."""

    path: Path
    info: BundleInfo

    def encoder(self, view: View, task: str = "segment") -> ViewEncoder:
        """The encoder of one view for a task with its weights, in evaluation mode."""
        parts = self.info.encoders
        if task == "diagnose" and self.info.diagnosis is not None:
            parts = self.info.diagnosis.encoders
        if view not in parts:
            raise BundleError(f"{self.info.name} has no {view} encoder", hint="use a bundle trained on that view")
        part = parts[view]
        return self._fill(_build(ENCODERS.get(part.name), part.config, self.path), part)

    def head(self, task: str) -> Head:
        """The head of one task ("segment") with its weights, in evaluation mode."""
        if task not in self.info.heads:
            known = f"it can: {', '.join(self.info.heads)}"
            hint = known if self.info.heads else f"it has encoders only: 'orthodx finetune --encoders {self.path}'"
            raise BundleError(f"{self.info.name} cannot {task}", hint=hint)
        part = self.info.heads[task]
        return self._fill(_build(HEADS.get(part.name), part.config, self.path), part)

    def diagnoser(self) -> Diagnoser:
        """Heads, fusion and record branch of the diagnosis with their weights, in evaluation mode."""
        if "diagnose" not in self.info.heads or self.info.diagnosis is None:
            raise BundleError(
                f"{self.info.name} cannot diagnose", hint="fit it with 'orthodx finetune --task diagnose'"
            )
        part = self.info.heads["diagnose"]
        try:
            module = Diagnoser(DiagnoserConfig(**{**part.config, "labels": tuple(part.config["labels"])}))
        except (TypeError, ValueError, KeyError) as error:
            raise BundleError(
                f"{self.path / INFO}: impossible configuration ({error})", hint="get the bundle again"
            ) from error
        return self._fill(module, part)

    def _fill(self, module: nn.Module, part: Part) -> Any:
        tensors = read_weights(self.path / part.file, self.info.sha256.get(part.file))
        fill(module, tensors, f"{self.info.name}/{part.file}")
        return module.eval()

    @property
    def digest(self) -> str:
        """SHA-256 of `model.json`, which itself holds the hashes of all parts."""
        return sha256(self.path / INFO)


def _build(cls: Any, config: dict[str, Any], where: Path) -> Any:
    try:
        known = {f.name: f for f in dataclasses.fields(cls.Config)}
        return cls(cls.Config(**{k: tuple(v) if isinstance(v, list) else v for k, v in config.items() if k in known}))
    except (TypeError, ValueError) as error:
        raise BundleError(f"{where / INFO}: impossible configuration ({error})", hint="get the bundle again") from error


def read_weights(path: Path, expected: str | None) -> dict[str, Tensor]:
    """Tensors of one part as float32; raises `BundleError` if missing, altered, unreadable or not finite."""
    if not path.is_file():
        raise BundleError(f"{path}: missing", hint="get the bundle again")
    if expected is None or sha256(path) != expected:
        raise BundleError(f"{path}: does not match its SHA-256 in {INFO}", hint="get the bundle again; it was altered")
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise BundleError(f"{path}: not a safetensors file ({error})", hint="get the bundle again") from error
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise BundleError(f"{path}: tensor '{name}' holds NaN or infinity", hint="get the bundle again")
    return {k: v.float() for k, v in tensors.items()}


def fill(module: nn.Module, tensors: Mapping[str, Tensor], where: str) -> None:
    """Load weights after checking every name and shape; raises `BundleError` naming the first that differs."""
    wanted = module.state_dict()
    for name in sorted(wanted.keys() | tensors.keys()):
        if name not in tensors:
            raise BundleError(f"{where}: lacks tensor '{name}'", hint="the weights belong to another network")
        if name not in wanted:
            raise BundleError(f"{where}: has an unknown tensor '{name}'", hint="the weights belong to another network")
        if wanted[name].shape != tensors[name].shape:
            raise BundleError(
                f"{where}: tensor '{name}' is {tuple(tensors[name].shape)}, not {tuple(wanted[name].shape)}",
                hint="the weights belong to another network",
            )
    module.load_state_dict(dict(tensors))


def open_bundle(name_or_folder: str | Path) -> Bundle:
    """A shipped bundle by name, or a bundle folder by path."""
    folder = Path(name_or_folder)
    if not (folder / INFO).is_file():
        folder = SHIPPED / str(name_or_folder)
        if not (folder / INFO).is_file() or folder.parent != SHIPPED:
            raise BundleError(
                f"no model '{name_or_folder}'",
                hint=f"shipped: {', '.join(shipped_names()) or 'none'}; or give a folder",
            )
    return Bundle(folder, _read_info(folder / INFO))


def shipped_names() -> list[str]:
    """Names of the bundles that come with the package."""
    return sorted(p.parent.name for p in SHIPPED.glob(f"*/{INFO}"))


def _read_info(path: Path) -> BundleInfo:
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        if raw["schema"] != SCHEMA:
            raise BundleError(f"{path}: schema {raw['schema']}, this version reads {SCHEMA}", hint="update orthodx")
        parts = {group: {k: Part(**v) for k, v in raw[group].items()} for group in ("encoders", "heads")}
        diagnosis = _diagnosis(raw.get("diagnosis"))
        extra = diagnosis.encoders if diagnosis else {}
        for part in (*parts["encoders"].values(), *parts["heads"].values(), *extra.values()):
            if Path(part.file).name != part.file:
                raise BundleError(f"{path}: the part '{part.file}' leads out of the bundle", hint="do not use it")
        return BundleInfo(
            name=str(raw["name"]),
            version=str(raw["version"]),
            joint=str(raw["joint"]),
            structures={int(k): str(v) for k, v in raw["structures"].items()},
            grid=GridSpec(**raw["grid"]),
            encoders={View(k): v for k, v in parts["encoders"].items()},
            heads=parts["heads"],
            training=list(raw["training"]),
            licence=str(raw["licence"]),
            sources=list(raw["sources"]),
            sha256={str(k): str(v) for k, v in raw["sha256"].items()},
            diagnosis=diagnosis,
        )
    except OrthodxError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BundleError(f"{path}: not a model description ({error})", hint="get the bundle again") from error


def _diagnosis(raw: dict[str, Any] | None) -> DiagnosisInfo | None:
    if raw is None:
        return None
    encoders = {View(k): Part(**v) for k, v in raw["encoders"].items()}
    return DiagnosisInfo(**{**raw, "encoders": encoders, "region": RegionSpec(**raw["region"])})


def save_bundle(
    folder: Path,
    info: BundleInfo,
    weights: Mapping[str, Mapping[str, Tensor]],
    dtype: torch.dtype = torch.float16,
) -> Bundle:
    """Write parts (file name -> tensors, stored as `dtype`) and, last, `model.json` with their hashes."""
    folder.mkdir(parents=True, exist_ok=True)
    hashes = {}
    for file, tensors in weights.items():
        stored = {k: v.detach().to("cpu", dtype).contiguous() for k, v in tensors.items()}
        with atomic(folder / file) as temporary:
            save_file(stored, temporary)
        hashes[file] = sha256(folder / file)
    info = dataclasses.replace(info, sha256=hashes)
    plain = dataclasses.asdict(info)
    for holder in (plain, plain["diagnosis"] or {}):
        holder["encoders"] = {str(k): v for k, v in holder.get("encoders", {}).items()}
    plain["grid"] = info.grid.to_json()
    write_json(folder / INFO, {"schema": SCHEMA, **plain})
    return open_bundle(folder)


def verify(bundle: Bundle) -> list[str]:
    """Load every part and return what was checked; raises `BundleError` at the first fault."""
    checked = []
    own = [(part.file, "segment", view) for view, part in bundle.info.encoders.items()]
    other = [
        (part.file, "diagnose", view)
        for view, part in (bundle.info.diagnosis.encoders if bundle.info.diagnosis else {}).items()
    ]
    for file, task, view in {file: (file, task, view) for file, task, view in (*other, *own)}.values():
        n = sum(p.numel() for p in bundle.encoder(view, task).parameters())
        checked.append(f"{file}: {n / 1e6:.2f} M parameters")
    for task in bundle.info.heads:
        head = bundle.diagnoser() if task == "diagnose" else bundle.head(task)
        n = sum(p.numel() for p in head.parameters())
        checked.append(f"{bundle.info.heads[task].file}: {n / 1e6:.2f} M parameters")
    return checked
