"""Which device to compute on; an explicit one that is not there is an error, never a silent fallback. Its memory."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch

from orthodx.errors import UsageError, lacks_memory

OUT_OF_MEMORY = "out of memory; close other programs or crop the image"


def pick_device(name: str = "auto") -> torch.device:
    """`auto` takes CUDA, else the CPU; `cpu`, `cuda`, `cuda:N` and `mps` are taken at their word.

    MPS, on which no one has tried this yet, is never taken unasked.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageError(f"no device is called '{name}'", hint="use auto, cpu, cuda, cuda:N or mps") from error
    there = {
        "cpu": True,
        "cuda": torch.cuda.is_available() and (device.index or 0) < torch.cuda.device_count(),
        "mps": torch.backends.mps.is_available(),
    }
    if not there.get(device.type, False):
        raise UsageError(f"the device '{name}' is not there", hint="use --device auto or --device cpu")
    return device


@contextlib.contextmanager
def memory_errors() -> Iterator[None]:
    """Where torch cannot allocate memory, on any device, it is a `MemoryError` as anywhere else."""
    try:
        yield
    except RuntimeError as error:
        if lacks_memory(error):
            raise MemoryError(str(error).splitlines()[0]) from error
        raise


@contextlib.contextmanager
def compiler_errors() -> Iterator[None]:
    """What torch.compile cannot do becomes a `UsageError` that says so."""
    try:
        yield
    except RuntimeError as error:
        if not type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
            raise
        why = " ".join(str(error).split())[:200] or type(error).__name__
        raise UsageError(f"torch.compile failed: {why}", hint="leave --compile out") from error
