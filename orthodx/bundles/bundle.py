"""A model on disk: `model.json` and one `.safetensors` file a part. Nothing in it can run code."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor, nn

from orthodx.bundles.model_json import INFO, BundleInfo, DiagnosisInfo, Part, read_info, write_info
from orthodx.errors import BundleError
from orthodx.joints import View
from orthodx.networks import ENCODERS, HEADS, Head, ViewEncoder
from orthodx.networks.diagnosis.diagnoser import Diagnoser
from orthodx.networks.familiarity import Familiarity
from orthodx.networks.weights import load_file
from orthodx.studies.run_record import sha256
from orthodx.studies.writing import atomic

__all__ = ["INFO", "SHIPPED", "Bundle", "BundleInfo", "DiagnosisInfo", "Part", "fill", "open_bundle", "read_weights",
           "save_bundle", "shipped_names", "verify"]  # fmt: skip
SHIPPED = Path(__file__).parent / "shipped"


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
        return self._part(parts[view], ENCODERS)

    def head(self, task: str) -> Head:
        """The head of one task ("segment") with its weights, in evaluation mode."""
        if task not in self.info.heads:
            known = f"it can: {', '.join(self.info.tasks)}"
            hint = known if self.info.tasks else f"it has encoders only: 'orthodx finetune --encoders {self.path}'"
            raise BundleError(f"{self.info.name} cannot {task}", hint=hint)
        return self._part(self.info.heads[task], HEADS)

    def diagnoser(self) -> Diagnoser:
        """Heads, fusion and record branch of the diagnosis with their weights, in evaluation mode."""
        if self.info.diagnosis is None:
            raise BundleError(
                f"{self.info.name} cannot diagnose", hint="fit it with 'orthodx finetune --task diagnose'"
            )
        return self._built(Diagnoser, self.info.diagnosis.diagnoser, self.info.diagnosis.file)

    def familiarity(self, task: str) -> Familiarity | None:
        """What the encoders of a task have seen, in evaluation mode; None where nobody has calibrated it."""
        part = self.info.familiarity.get(task)
        return None if part is None else self._built(Familiarity, part.config, part.file)

    def _part(self, part: Part, registry: Any) -> Any:
        return self._built(registry.get(part.name), part.config, part.file)

    def _built(self, cls: Any, config: Any, file: str) -> Any:
        try:
            module: nn.Module = cls(config)
        except (TypeError, ValueError, RuntimeError, MemoryError) as error:
            raise BundleError(
                f"{self.path / INFO}: impossible configuration ({str(error)[:200]})", hint="get the bundle again"
            ) from error
        fill(module, read_weights(self.path / file, self.info.sha256.get(file)), f"{self.info.name}/{file}")
        return module.eval()

    @property
    def digest(self) -> str:
        """SHA-256 of `model.json`, which itself holds the hashes of all parts."""
        return sha256(self.path / INFO)


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
            names = shipped_names()
            near = get_close_matches(str(name_or_folder).lower(), names, n=1)
            meant = f"did you mean '{near[0]}'? " if near else ""
            raise BundleError(
                f"no model '{name_or_folder}'", hint=f"{meant}shipped: {', '.join(names) or 'none'}; or give a folder"
            )
    return Bundle(folder, read_info(folder / INFO))


def shipped_names() -> list[str]:
    """Names of the bundles that come with the package."""
    return sorted(p.parent.name for p in SHIPPED.glob(f"*/{INFO}"))


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
    write_info(folder, dataclasses.replace(info, sha256=hashes))
    return open_bundle(folder)


def verify(bundle: Bundle) -> list[str]:
    """Build every network with its weights and return what was checked; raises `BundleError` at the first fault."""
    info = bundle.info
    made: dict[str, nn.Module] = {part.file: bundle.encoder(view) for view, part in info.encoders.items()}
    made |= {part.file: bundle.head(task) for task, part in info.heads.items()}
    if info.diagnosis is not None:
        own = {part.file: view for view, part in info.diagnosis.encoders.items() if part.file not in made}
        made |= {file: bundle.encoder(view, "diagnose") for file, view in own.items()}
        made[info.diagnosis.file] = bundle.diagnoser()
    made |= {part.file: bundle.familiarity(task) for task, part in info.familiarity.items()}  # type: ignore[misc]
    sizes = {file: sum(p.numel() for p in module.parameters()) for file, module in made.items()}
    return [f"{file}: {n / 1e6:.2f} M parameters" for file, n in sizes.items()]
