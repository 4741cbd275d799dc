"""Where a run begins: a folder of weights, or a bundle, and what of it each part can take over."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from orthodx.bundles.bundle import INFO, Bundle, open_bundle, shipped_names
from orthodx.errors import UsageError
from orthodx.grid.spec import GridSpec
from orthodx.joints import Joint, View
from orthodx.networks import ENCODERS, HEADS
from orthodx.networks.diagnosis.diagnoser import DiagnoserConfig
from orthodx.training import checkpoint
from orthodx.training.checkpoint import HeadStart
from orthodx.training.masks.tasks import SegmentTask

PARTS = ("segment", "evidence")


@dataclass(frozen=True, eq=False)
class Start:
    """What a run begins with; nothing at all where it trains from scratch.

    encoders: weights a view. heads: weights of the heads that the folder has, by part; "diagnose" is a whole diagnosis.
    bundle: the folder as a bundle, if it is one.
    """

    folder: Path | None = None
    encoders: Mapping[View, Path] = field(default_factory=dict)
    heads: Mapping[str, Path] = field(default_factory=dict)
    bundle: Bundle | None = None

    @property
    def diagnoser(self) -> DiagnoserConfig | None:
        """The diagnosis of the bundle, if it has one."""
        return self.bundle.info.diagnosis.diagnoser if self.bundle and self.bundle.info.diagnosis else None

    @property
    def files(self) -> dict[str, Path]:
        """All weights, by what they are, for the record."""
        return {str(view): path for view, path in self.encoders.items()} | {
            f"head {part}": path for part, path in self.heads.items()
        }

    @property
    def kind(self) -> tuple[str, str] | None:
        """Registered name and preset of the bundle's encoders, where all are of one."""
        parts = self.bundle.info.encoders.values() if self.bundle else ()
        kinds = {(part.name, part.config) for part in parts}
        if len(kinds) != 1:
            return None
        ((name, config),) = kinds
        presets = [preset for preset, known in ENCODERS.get(name).presets.items() if known == config]
        return (name, presets[0]) if presets else None

    def default_head(self) -> str:
        """The head of the bundle's diagnosis, or evidence maps."""
        return self.diagnoser.head if self.diagnoser else "evidence"

    def masks_head(self) -> str | None:
        """The head of the bundle's masks, if it has one."""
        part = self.bundle.info.heads.get("segment") if self.bundle else None
        return part.name if part else None

    def masks_detail(self, head: str | None) -> int:
        """How much closer than the encoders `head` looks in the bundle; 1 where its masks are by another."""
        if self.bundle is None or head is None or self.masks_head() != head:
            return 1
        return int(getattr(self.bundle.info.heads["segment"].config, "detail", 1))

    def detail_of(self, head: str) -> int:
        """How much closer than the encoders the bundle's `head` looks; 1 where there is no such head."""
        if self.diagnoser and self.diagnoser.head == head:
            return int(getattr(self.diagnoser.head_config, "detail", 1))
        own = HEADS.get(head).parts.get("", "")
        known = self.bundle.info.heads if self.bundle else {}
        return int(getattr(known[own].config, "detail", 1)) if own in known else 1


def start_of(encoders: Path | None, views: Sequence[View], task: str) -> Start:
    """The start in a folder, or in a shipped bundle by name; nothing without one. Every view must be there.

    For the task "diagnose", encoders that a bundle keeps for its diagnosis come first.
    """
    if encoders is None:
        return Start()
    shipped = str(encoders) in shipped_names() and not encoders.is_dir()
    folder = open_bundle(encoders).path if shipped or not encoders.exists() else encoders
    bundle = open_bundle(folder) if (folder / INFO).is_file() else None
    found = {view: folder / f"encoder_{view}.safetensors" for view in views}
    if bundle is not None:
        found |= {view: folder / part.file for view, part in bundle.info.encoders.items() if view in found}
    if task == "diagnose":
        own = {view: folder / f"diagnose_encoder_{view}.safetensors" for view in views}
        found |= {view: path for view, path in own.items() if path.is_file()}
    for view, path in found.items():
        if not path.is_file():
            raise UsageError(f"{path}: missing", hint=f"pretrain it with --view {view}, or train with --from-scratch")
    heads = {part: folder / f"{part}.safetensors" for part in PARTS}
    if bundle is not None and bundle.info.diagnosis is not None:
        heads["diagnose"] = folder / bundle.info.diagnosis.file
    return Start(folder, found, {part: path for part, path in heads.items() if path.is_file()}, bundle)


def dense_start(
    start: Start,
    task: str,
    joint: Joint,
    views: Sequence[View],
    detail: int = 1,
    masks: str = SegmentTask.heads["segment"],
) -> dict[str, HeadStart]:
    """What heads start from when they learn from masks, by part; those of other structures are left out.

    For the task "diagnose" a bundle's diagnosis is taken apart: its maps, and the segmentation head of its own
    encoders, if it has them, instead of that of the others. views: in the order in which their heads are looked for;
    after a probe the parts are alike in all. Maps of another `detail` are left out; of their labels those of `joint`
    are taken. masks: the head that learns them; it takes what it has in common with one that has grown from it or looks
    otherwise closely, and nothing of any other.
    """
    found = {part: _plain(start, part) for part in PARTS if part in start.heads}
    known = start.bundle.info.heads if start.bundle else {}
    if "segment" in found and "segment" in known:
        own = known["segment"]
        if own.name != masks and not _akin(own.name, masks):
            found.pop("segment")
        elif own.name != masks or start.masks_detail(masks) != (detail if task == "segment" else 1):
            found["segment"] = _without(found["segment"], HEADS.get(own.name).added)
    details = {"evidence": getattr(known["evidence"].config, "detail", 1)} if "evidence" in known else {}
    diagnosis = start.bundle.info.diagnosis if start.bundle else None
    if task == "diagnose" and diagnosis is not None and start.bundle is not None:
        if any(start.bundle.info.encoders.get(view) != part for view, part in diagnosis.encoders.items()):
            found = {}
        view = next(view for view in (*views, *View) if view in diagnosis.encoders)
        found |= _taken_apart(start, diagnosis.diagnoser, view)
        details |= {"evidence": getattr(diagnosis.diagnoser.head_config, "detail", 1)} if "evidence" in found else {}
    if details.get("evidence", detail) != detail:
        found.pop("evidence", None)
    if start.bundle is not None:
        if start.bundle.info.joint.values != joint.values or start.bundle.info.joint.names != joint.names:
            found.pop("segment", None)
        if "evidence" in found:
            labels = (
                diagnosis.diagnoser.labels if "diagnose" in start.heads and diagnosis else start.bundle.info.joint.codes
            )
            found["evidence"] = _relabelled(found["evidence"], labels, joint.codes)
    return found


def head_start(start: Start, head: str, labels: Sequence[str], view: View) -> HeadStart | None:
    """What a view's `head` of a diagnosis starts from: the bundle's own by the same head, or else its parts.

    Raises `UsageError` where a head of several parts lacks one.
    """
    if start.folder is None:
        return None
    if start.diagnoser is not None and start.diagnoser.head == head:
        path = start.heads["diagnose"]
        own = HeadStart(checkpoint.head_weights(path, view), path)
        return _relabelled(own, start.diagnoser.labels, labels)
    parts = HEADS.get(head).parts
    missing = [part for part in parts.values() if part not in start.heads]
    if missing and len(parts) > 1:
        raise UsageError(
            f"the head '{head}' needs {missing[0]}.safetensors in {start.folder}",
            hint="train masks and evidence together: finetune BANK --task diagnose",
        )
    if missing or not parts:
        return None
    files = {prefix: start.heads[part] for prefix, part in parts.items()}
    tensors = {f"{p}{k}": v for p, path in files.items() for k, v in checkpoint.head_weights(path, view).items()}
    own = HeadStart(tensors, next(iter(files.values())))
    known = start.bundle.info.joint.codes if start.bundle else tuple(labels)
    return _relabelled(own, known, labels)


def dense_notes(start: Start, spec: GridSpec, parts: Collection[str], begin: Mapping[str, HeadStart]) -> list[str]:
    """What is worth saying before heads learn from masks: parts that begin from noise, encoders of another pixel."""
    if start.folder is None:
        return []
    notes = [f"'{part}' begins from noise" for part in parts if part not in begin]
    notes += [
        f"'{part}' has new labels: {len(own.rows)} of them are taken over by name, the others begin from noise"
        for part, own in begin.items()
        if part in parts and own.rows is not None
    ]
    if start.bundle is not None and (own := start.bundle.info.grid.pixel_mm) != spec.pixel_mm:
        notes.append(f"the encoders learned at {own:g} mm, and go on at --pixel-mm {spec.pixel_mm:g}")
    return notes


def _akin(one: str, other: str) -> bool:
    """Whether one of two heads has grown from the other."""
    a, b = HEADS.get(one), HEADS.get(other)
    return issubclass(a, b) or issubclass(b, a)


def _without(own: HeadStart, parts: Collection[str]) -> HeadStart:
    """A start that lacks some parts of its head."""
    return replace(own, tensors={k: v for k, v in own.tensors.items() if k.split(".")[0] not in parts})


def _plain(start: Start, part: str) -> HeadStart:
    return HeadStart(checkpoint.head_weights(start.heads[part]), start.heads[part])


def _taken_apart(start: Start, diagnoser: DiagnoserConfig, view: View) -> dict[str, HeadStart]:
    """The parts of one view's head in a whole diagnosis."""
    path, parts = start.heads["diagnose"], HEADS.get(diagnoser.head).parts
    tensors, found = checkpoint.head_weights(path, view), {}
    for prefix, part in parts.items():
        others = tuple(other for other in parts if len(other) > len(prefix))
        own = {
            k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix) and not k.startswith(others)
        }
        found[part] = HeadStart(own, path)
    return found


def _relabelled(own: HeadStart, old: Sequence[str], new: Sequence[str]) -> HeadStart:
    """The start of a head of `old` labels for one of `new` labels: by label, those that are new from noise."""
    if tuple(old) == tuple(new):
        return own
    rows = {i: list(old).index(label) for i, label in enumerate(new) if label in old}
    return HeadStart(own.tensors, own.path, rows)
