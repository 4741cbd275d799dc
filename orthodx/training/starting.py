"""From a folder of weights, or a bundle, to what a run starts from."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from orthodx.bundles.bundle import INFO, Part, open_bundle, shipped_names
from orthodx.errors import UsageError
from orthodx.grid.spec import GridSpec
from orthodx.joints import View
from orthodx.networks import HEADS
from orthodx.training import checkpoint

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
    which their heads are looked for; after a probe the parts are alike in all. Maps of another `detail` are left out.
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
    own = HEADS.get(head).parts.get("", "")
    return int(heads[own].config.get("detail", 1)) if own in heads else 1
