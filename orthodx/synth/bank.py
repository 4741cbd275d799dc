"""Anatomies made once and kept, so that training renders from them without end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from orthodx.errors import UsageError
from orthodx.studies.processes import spread
from orthodx.synth.anatomy import Anatomy
from orthodx.synth.anatomy_bank import AnatomyBank
from orthodx.synth.knee.patients import patient_of
from orthodx.synth.knee.procedural import random_knee
from orthodx.synth.knee.protocols import CENTERS
from orthodx.synth.lesion_painting import paint


def write_bank(
    out: Path, *, joint: str = "knee", anatomies: int = 48, seed: int = 0,
    anatomy: Callable[[np.random.Generator], Anatomy] = random_knee,
    lesions: bool = False, prevalence: float | None = None, workers: int = 1,
    tell: Callable[[str, int, int], None] = lambda name, done, total: None,
) -> Path:  # fmt: skip
    """Add anatomies `seed`-0..n-1 to the bank in `out`; those already there are kept. About 12 MB each.

    anatomy: draws one; a bank may hold anatomies of several sources, told apart by their seeds. lesions: injured
    knees with their lesion masks (as much again), from the case mixes of all synthetic centers in turn, or with the
    share `prevalence` of injured ones. workers: processes, each with one anatomy at a time. Raises `UsageError` where
    healthy and injured knees would mix.
    """
    if joint != "knee":
        raise UsageError(f"no synthetic {joint} yet", hint="use --joint knee")
    bank = AnatomyBank(out)
    if len(bank) and bank.injured != lesions:
        raise UsageError(f"{out} holds {'healthy' if lesions else 'injured'} knees", hint="choose another folder")
    write = _AnatomyWriter(out, joint, seed, anatomy, lesions, prevalence, frozenset(bank.names), alone=workers < 2)
    for done, name in enumerate(spread(write, range(anatomies), workers), 1):
        tell(name, done, anatomies)
    return out


@dataclass(frozen=True)
class _AnatomyWriter:
    """Number of an anatomy -> its name, once it is in the bank."""

    out: Path
    joint: str
    seed: int
    anatomy: Callable[[np.random.Generator], Anatomy]
    lesions: bool
    prevalence: float | None
    there: frozenset[str]
    alone: bool  # no other process works beside this one

    def __call__(self, i: int) -> str:
        if not self.alone:
            torch.set_num_threads(1)
        name = f"{self.joint}-{self.seed:04d}-{i:04d}"
        if name in self.there:
            return name
        knee, bank = self.anatomy(np.random.default_rng([self.seed, i])), AnatomyBank(self.out)
        if self.lesions:
            patient = patient_of(self.seed, i, list(CENTERS)[i % len(CENTERS)], self.prevalence)
            bank.add(name, *paint(knee, patient.lesions))
        else:
            bank.add(name, knee)
        return name
