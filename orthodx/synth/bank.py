"""Anatomies made once and kept, so that training renders from them without end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from orthodx.errors import UsageError
from orthodx.synth.anatomy import Anatomy
from orthodx.synth.anatomy_bank import AnatomyBank
from orthodx.synth.lesion_painting import paint
from orthodx.synth.patients import patient_of
from orthodx.synth.procedural import random_knee
from orthodx.synth.protocols import CENTERS


def write_bank(
    out: Path, *, joint: str = "knee", anatomies: int = 48, seed: int = 0,
    anatomy: Callable[[np.random.Generator], Anatomy] = random_knee,
    lesions: bool = False, prevalence: float | None = None,
    tell: Callable[[str, int, int], None] = lambda name, done, total: None,
) -> Path:  # fmt: skip
    """Add anatomies `seed`-0..n-1 to the bank in `out`; those already there are kept. About 12 MB each.

    anatomy: draws one; a bank may hold anatomies of several sources, told apart by their seeds. lesions: injured
    knees with their lesion masks (as much again), from the case mixes of all synthetic centers in turn, or with the
    share `prevalence` of injured ones. Raises `UsageError` where healthy and injured knees would mix.
    """
    if joint != "knee":
        raise UsageError(f"no synthetic {joint} yet", hint="use --joint knee")
    bank = AnatomyBank(out)
    if len(bank) and bank.injured != lesions:
        raise UsageError(f"{out} holds {'healthy' if lesions else 'injured'} knees", hint="choose another folder")
    centers = list(CENTERS)
    for i in range(anatomies):
        name = f"{joint}-{seed:04d}-{i:04d}"
        if name not in bank.names:
            knee = anatomy(np.random.default_rng([seed, i]))
            if lesions:
                patient = patient_of(seed, i, centers[i % len(centers)], prevalence)
                bank.add(name, *paint(knee, patient.lesions))
            else:
                bank.add(name, knee)
        tell(name, i + 1, anatomies)
    return out
