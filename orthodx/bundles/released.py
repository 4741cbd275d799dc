"""Import of the released OrthoDiffusion checkpoints (PyTorch files) as a bundle of three `published` encoders."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from orthodx.bundles.bundle import Bundle, BundleInfo, Part, fill, save_bundle
from orthodx.errors import BundleError, UsageError
from orthodx.grid.spec import GridSpec
from orthodx.joints import DEFAULT_JOINT, Joint, View
from orthodx.networks.encoders.published import PublishedConfig, PublishedEncoder
from orthodx.studies.run_record import sha256

RELEASED = f"published-{DEFAULT_JOINT.name}"
PREFIXES = ("denoise_fn.module.", "denoise_fn.")
HINT = "download the released file again; only {'step', 'model', 'ema', 'opt'} files of the published network fit"
GRID = GridSpec(pixel_mm=160 / 256)  # the authors resize every slice to 256 x 256; the field of view is ~160 mm


def import_released(
    files: Mapping[View, Path], out: Path, *, name: str = RELEASED, joint: Joint = DEFAULT_JOINT
) -> Bundle:
    """Read one checkpoint a view, prefer its averaged weights, check every tensor, write a bundle to `out`.

    No code in a checkpoint runs: files are read with `weights_only`. Weights are kept as float32. Raises
    joint: what their scans showed. Raises
    `BundleError` naming the file for anything that is not the published network, and `UsageError` where
    `out` holds a bundle already.
    """
    if out.exists() and any(out.iterdir()):
        raise UsageError(f"{out} is not empty", hint="choose a new folder for the bundle")
    weights, records = {}, []
    for view, path in files.items():
        tensors, which, step = read_checkpoint(path)
        fill(PublishedEncoder(PublishedConfig()), tensors, path.name)
        weights[f"encoder_{view}.safetensors"] = tensors
        told = {"weights": which, "step": step, "source_sha256": sha256(path)}
        records.append({"stage": "imported", "view": str(view), **told})
    info = BundleInfo(
        name=name,
        version="1",
        joint=joint,
        grid=GRID,
        encoders={v: Part("published", PublishedConfig(), f"encoder_{v}.safetensors") for v in files},
        heads={},
        training=records,
        licence="MIT (the authors' release)",
        sources=["OrthoDiffusion, arXiv 2602.20752: released checkpoints"],
        sha256={},
    )
    return save_bundle(out, info, weights, dtype=torch.float32)


def read_checkpoint(path: Path) -> tuple[dict[str, Tensor], str, int | None]:
    """The U-Net's tensors (float32, by their plain names), "ema" or "model", and the training step."""
    if not path.is_file():
        raise BundleError(f"{path}: missing", hint="give the path of a released checkpoint")
    try:
        raw: Any = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except (pickle.UnpicklingError, RuntimeError, OSError, EOFError, ValueError, KeyError, AttributeError) as error:
        reason = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        raise BundleError(f"{path.name}: not a plain PyTorch checkpoint ({reason})", hint=HINT) from error
    which = next((k for k in ("ema", "model") if isinstance(raw, dict) and isinstance(raw.get(k), dict)), None)
    if which is None:
        raise BundleError(f"{path.name}: holds neither 'ema' nor 'model' weights", hint=HINT)
    tensors = {}
    for key, value in raw[which].items():
        prefix = next((p for p in PREFIXES if isinstance(key, str) and key.startswith(p)), None)
        if prefix is None:
            continue  # the diffusion schedule's buffers, which follow from the paper
        tensors[key.removeprefix(prefix)] = _checked(value, f"{path.name}: tensor '{key}'")
    if not tensors:
        raise BundleError(f"{path.name}: has no tensor under 'denoise_fn.'", hint=HINT)
    step = raw.get("step")
    return tensors, which, int(step) if isinstance(step, int) else None


def _checked(value: Any, what: str) -> Tensor:
    if not isinstance(value, Tensor):
        raise BundleError(f"{what} is no tensor", hint=HINT)
    if value.layout != torch.strided or value.is_quantized or not value.is_floating_point():
        raise BundleError(f"{what} is not a plain floating-point tensor", hint=HINT)
    if value.numel() * value.element_size() > value.untyped_storage().nbytes():
        raise BundleError(f"{what} claims more values than its file holds", hint=HINT)
    if not torch.isfinite(value).all():
        raise BundleError(f"{what} holds NaN or infinity", hint=HINT)
    return value.detach().float().contiguous()
