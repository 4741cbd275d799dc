"""Anatomies made once and kept, so that training renders from them without end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from orthodx.errors import UsageError
from orthodx.synth.anatomy import Anatomy
from orthodx.synth.procedural import random_knee
from orthodx.synth.source import AnatomyBank


def write_bank(
    out: Path, *, joint: str = "knee", anatomies: int = 48, seed: int = 0,
    anatomy: Callable[[np.random.Generator], Anatomy] = random_knee,
    tell: Callable[[str, int, int], None] = lambda name, done, total: None,
) -> Path:  # fmt: skip
    """Add anatomies `seed`-0..n-1 to the bank in `out`; those already there are kept. About 12 MB each.

    anatomy: draws one; a bank may hold anatomies of several sources, told apart by their seeds.
    """
    if joint != "knee":
        raise UsageError(f"no synthetic {joint} yet", hint="use --joint knee")
    bank = AnatomyBank(out)
    for i in range(anatomies):
        name = f"{joint}-{seed:04d}-{i:04d}"
        if name not in bank.names:
            bank.add(name, anatomy(np.random.default_rng([seed, i])))
        tell(name, i + 1, anatomies)
    return out
