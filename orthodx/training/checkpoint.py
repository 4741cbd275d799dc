"""Training state on disk: weights, average, optimiser and step in one safetensors file, replaced atomically."""

from __future__ import annotations

import contextlib
import json
import math
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor, nn

from orthodx.bundles.bundle import fill
from orthodx.errors import BundleError, UsageError
from orthodx.joints import View
from orthodx.networks.heads.head import Head
from orthodx.networks.weights import load_file, safe_open
from orthodx.studies.claim import Owner, Place, claimed
from orthodx.studies.run_record import RUN
from orthodx.studies.writing import atomic
from orthodx.training.distributed import is_chief
from orthodx.training.ema import Ema


@dataclass(frozen=True, eq=False)
class HeadStart:
    """What a head begins with: tensors by their names in it, and the file they are from.

    rows: place of a label in the new head -> its place in the start's; None where both have the same labels.
    """

    tensors: dict[str, Tensor]
    path: Path
    rows: Mapping[int, int] | None = None


STATE, OPTIONS = "checkpoint.safetensors", "options.json"  # by which a run is known
PREVIOUS = "checkpoint-previous.safetensors"
VOLUMES = "volumes a step: --batch x --accumulate x processes"
MAY_CHANGE = {
    "peak_rate",
    "stop_at",
    "save_every",
    "log_every",
    "validate_every",
    "sample_every",
}  # between two parts of one run


def keep_or_refuse(path: Path, resume: bool) -> bool:
    """Whether to go on from `path`; raises `UsageError` rather than start over an earlier run."""
    if path.exists() and not resume:
        raise UsageError(f"{path.parent} already holds a run", hint="go on with --resume, or give another --out")
    return path.exists()


@contextlib.contextmanager
def trained_in(out: Path, by: str) -> Iterator[None]:
    """Hold the folder of a training run, which its chief process alone writes to."""
    if not is_chief():
        yield
        return
    begun = (out / STATE).exists() or (out / OPTIONS).exists()
    outputs = [] if begun else [*(out / name for name in (RUN, "metrics.csv")), *out.glob("*.safetensors")]
    with claimed(Place(out), Owner(by=by, outputs=outputs)):
        yield


def options(config: Any) -> dict[str, str]:
    """A run's configuration as plain text, for the checkpoint; fields left unset (None) are left out."""
    return {k: str(v) for k, v in asdict(config).items() if v is not None}


def start_from(module: nn.Module, path: Path) -> None:
    """Fill a network with the weights of another run or bundle, every name and shape checked.

    Raises `BundleError` for an unreadable file or weights of another network.
    """
    fill(module, _read(path), str(path))


def _read(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise BundleError(f"{path}: not a safetensors file ({error})", hint="give the weights of a finished run") from (
            error
        )


def head_weights(path: Path, view: View = View.SAGITTAL) -> dict[str, Tensor]:
    """Tensors of a head's file, or of one view's head in the file of a whole diagnosis, by their names in the head."""
    found, of_view = _read(path), f"heads.{view}."
    if any(k.startswith("heads.") for k in found):
        found = {k.removeprefix(of_view): v for k, v in found.items() if k.startswith(of_view)}
    return found


def fill_head(head: Head, start: HeadStart, where: str) -> None:
    """Fill a head as `fill` does, except for what is fitted to labels, labels that the start does not know, and parts
    that heads of its start do not have yet.
    """
    own = head.state_dict()
    given = {k: v for k, v in start.tensors.items() if k.split(".")[0] not in head.fitted}
    fitted = {k: v for k, v in own.items() if k.split(".")[0] in head.fitted}
    for name in head.per_label if start.rows is not None else ():
        kept = own[name].clone()
        if name in given and given[name].shape[1:] == kept.shape[1:]:
            for new, old in start.rows.items():  # type: ignore[union-attr]
                kept[new] = given[name][old]
            given[name] = kept
    lacked = {k: v for k, v in own.items() if k.split(".")[0] in head.added}
    fill(head, {**lacked, **given, **fitted}, where)


def save(
    path: Path,
    modules: dict[str, nn.Module],
    ema: Ema,
    optimizer: torch.optim.Optimizer,
    step: int,
    config: dict[str, Any],
) -> None:
    """Write everything needed to go on after `step` finished steps; the state before stays as `PREVIOUS`."""
    tensors: dict[str, Tensor] = {}
    for name, module in modules.items():
        tensors |= {f"live/{name}.{k}": v for k, v in module.state_dict().items()}
    tensors |= {f"ema/{k}": v for k, v in ema.tensors.items()}
    for i, state in optimizer.state_dict()["state"].items():
        tensors |= {f"opt/{i}/{k}": torch.as_tensor(v) for k, v in state.items()}
    tensors = {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}
    if path.exists():
        copy(path, path.with_name(PREVIOUS))
    with atomic(path) as temporary:
        save_file(tensors, temporary, metadata={"step": str(step), "config": json.dumps(config, sort_keys=True)})


def copy(path: Path, to: Path) -> None:
    """Copy a file atomically."""
    with atomic(to) as temporary:
        shutil.copyfile(path, temporary)


def load(
    path: Path,
    modules: dict[str, nn.Module],
    ema: Ema,
    optimizer: torch.optim.Optimizer,
    config: dict[str, Any],
) -> int:
    """Restore what `save` wrote and return the number of finished steps.

    Raises `BundleError` for an unreadable file or one written under another configuration.
    """
    try:
        with safe_open(path) as file:
            meta = file.metadata()
            tensors = {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise BundleError(
            f"{path} is not a readable checkpoint ({error})",
            hint=f"put {PREVIOUS} in its place, or start again in a new --out",
        ) from error
    then, now = fixed(json.loads(meta["config"])), fixed(json.loads(json.dumps(config)))
    then = in_volumes(then) if VOLUMES in now else then
    if "init" not in then:  # of a version that did not keep it
        now.pop("init", None)
    if changed := sorted(k for k in then.keys() | now.keys() if then.get(k) != now.get(k)):
        raise BundleError(
            f"{path} was made with other options ({', '.join(changed)})",
            hint="resume with the options of the first run, or use a new --out",
        )
    for name, module in modules.items():
        prefix = f"live/{name}."
        module.load_state_dict({k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)})
    for k in ema.tensors:
        ema.tensors[k].copy_(tensors[f"ema/{k}"])
    state: dict[int, dict[str, Tensor]] = {}
    for k, v in tensors.items():
        if k.startswith("opt/"):
            _, i, name = k.split("/")
            state.setdefault(int(i), {})[name] = v
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    return int(meta["step"])


def in_volumes(options: dict[str, Any]) -> dict[str, Any]:
    """Options of a run whose weights depend on how many volumes a step sees, and not on how they are split up."""
    split = {name: int(options[name]) for name in ("batch", "accumulate", "processes") if name in options}
    kept = {name: value for name, value in options.items() if name not in split}
    return kept | ({VOLUMES: str(math.prod(split.values()))} if split else {})


def fixed(config: dict[str, Any]) -> dict[str, Any]:
    """The options that a run keeps from beginning to end."""
    return {k: v for k, v in config.items() if k not in MAY_CHANGE}
