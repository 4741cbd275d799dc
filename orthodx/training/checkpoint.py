"""Training state on disk: weights, average, optimiser and step in one safetensors file, replaced atomically."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from orthodx.errors import BundleError
from orthodx.studies.writing import atomic
from orthodx.training.ema import Ema


def save(
    path: Path, modules: dict[str, nn.Module], ema: Ema, optimizer: torch.optim.Optimizer, step: int,
    config: dict[str, Any],
) -> None:  # fmt: skip
    """Write everything needed to go on after `step` finished steps."""
    tensors: dict[str, Tensor] = {}
    for name, module in modules.items():
        tensors |= {f"live/{name}.{k}": v for k, v in module.state_dict().items()}
    tensors |= {f"ema/{k}": v for k, v in ema.tensors.items()}
    for i, state in optimizer.state_dict()["state"].items():
        tensors |= {f"opt/{i}/{k}": torch.as_tensor(v) for k, v in state.items()}
    tensors = {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}
    with atomic(path) as temporary:
        save_file(tensors, temporary, metadata={"step": str(step), "config": json.dumps(config, sort_keys=True)})


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
        with safe_open(path, "pt") as file:
            meta = file.metadata()
            tensors = {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise BundleError(
            f"{path} is not a readable checkpoint ({error})", hint="start again without --resume"
        ) from error
    if json.loads(meta["config"]) != json.loads(json.dumps(config)):
        raise BundleError(
            f"{path} was made with other options",
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
