"""Which precision a network runs in: bf16 where it is the faster one, fp32 elsewhere."""

from __future__ import annotations

import contextlib
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch


def native_bf16(device: torch.device) -> bool:
    """Whether bf16 products are the faster ones: CUDA from Ampere on, AMX, AVX512-BF16 of AMD.

    Intel's AVX512-BF16 without AMX (as virtual machines have it) multiplies fp32 faster: docs/performance.md.
    """
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu":
        return False
    return torch.cpu._is_amx_tile_supported() or (torch.cpu._is_avx512_bf16_supported() and not _by_intel())


@lru_cache(maxsize=1)
def _by_intel() -> bool:
    """Whether Linux says so of the first processor; elsewhere nobody asks."""
    try:
        told = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return "GenuineIntel" in told.partition("\n\n")[0]


def full_precision(device: torch.device) -> contextlib.AbstractContextManager[Any]:
    """Operations in the precision of what they are given, also within `autocast`."""
    known = torch.amp.is_autocast_available(device.type)
    return torch.autocast(device.type, enabled=False) if known else contextlib.nullcontext()


def autocast(device: torch.device) -> contextlib.AbstractContextManager[Any]:
    """bf16 autocast where it is native, nothing elsewhere."""
    return torch.autocast(device.type, torch.bfloat16) if native_bf16(device) else contextlib.nullcontext()
