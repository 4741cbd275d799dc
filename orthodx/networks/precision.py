"""Which precision a network runs in: bf16 where the hardware multiplies it, fp32 elsewhere."""

from __future__ import annotations

import contextlib
from typing import Any

import torch


def native_bf16(device: torch.device) -> bool:
    """Whether bf16 products run in hardware (CUDA from Ampere on, AMX, AVX512-BF16); elsewhere they are far slower."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and (torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported())


def full_precision(device: torch.device) -> contextlib.AbstractContextManager[Any]:
    """Operations in the precision of what they are given, also within `autocast`."""
    known = torch.amp.is_autocast_available(device.type)
    return torch.autocast(device.type, enabled=False) if known else contextlib.nullcontext()


def autocast(device: torch.device) -> contextlib.AbstractContextManager[Any]:
    """bf16 autocast where it is native, nothing elsewhere."""
    return torch.autocast(device.type, torch.bfloat16) if native_bf16(device) else contextlib.nullcontext()
