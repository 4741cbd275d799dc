"""Anatomies made once and kept, so that training renders from them without end."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from orthodx.errors import UsageError
from orthodx.studies.claim import Owner, Place, claimed
from orthodx.studies.manifest import MANIFEST
from orthodx.studies.processes import spread
from orthodx.studies.run_record import write_json
from orthodx.synth.anatomy import Anatomy
from orthodx.synth.anatomy_bank import AnatomyBank, drawn_from
from orthodx.synth.grammar import DEFAULT, SyntheticJoint, synthetic

SETTINGS = ".drawn.json"  # seed -> how its anatomies were drawn


@dataclass(frozen=True, kw_only=True)
class BankRequest:
    """Which anatomies a bank gets; raises `UsageError` for a joint, or injuries of it, unknown here."""

    joint: str = DEFAULT
    """Whose anatomies."""
    anatomies: int = 48
    """How many, numbered from 0 on."""
    seed: int = 0
    """A bank may hold anatomies of several sources, told apart by their seeds."""
    anatomy: Callable[[np.random.Generator], Anatomy] | None = None
    """Draws one, instead of the joint's own procedure."""
    lesions: bool = False
    """Injured anatomies with their lesion masks, from the case mixes of all centers in turn."""
    prevalence: float | None = None
    """With lesions: the share of injured ones, instead of the centers' own."""
    workers: int = 1
    """Processes, each with one anatomy at a time."""

    def __post_init__(self) -> None:
        made = synthetic(self.joint)
        if self.lesions:
            _ = made.injuries  # raises where there are none


def write_bank(
    out: Path,
    request: BankRequest | None = None,
    *,
    tell: Callable[[str, int, int], None] = lambda name, done, total: None,
    **options: Any,
) -> Path:
    """Add anatomies `seed`-0..n-1 to the bank in `out`; those already there are kept. About 12 MB each.

    options: the fields of a `BankRequest`, in its place. Raises `UsageError` where healthy and injured anatomies, or
    two joints, would mix.
    """
    wanted = request or BankRequest(**options)
    with claimed(Place(out), Owner(by="orthodx synth --bank", outputs=[out / MANIFEST])):
        bank = AnatomyBank(out)
        bank.refuse_other(wanted.joint)
        if len(bank) and bank.injured != wanted.lesions:
            kind = "healthy" if wanted.lesions else "injured"
            raise UsageError(f"{out} holds {kind} {bank.joint}s", hint="choose another folder")
        _keep_settings(bank, wanted)
        write = _AnatomyWriter(out, wanted, synthetic(wanted.joint), frozenset(bank.names))
        with closing(spread(write, range(wanted.anatomies), wanted.workers)) as names:
            for done, name in enumerate(names, 1):
                tell(name, done, wanted.anatomies)
    return out


def _keep_settings(bank: AnatomyBank, wanted: BankRequest) -> None:
    """Raises `UsageError` where anatomies of this seed, which would be kept, were drawn otherwise."""
    path, seed = bank.folder / SETTINGS, f"{wanted.seed:04d}"
    settings = {"prevalence": wanted.prevalence, "anatomy": drawn_from(wanted.anatomy)}
    kept: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    there = any(name.startswith(f"{bank.joint}-{seed}-") for name in bank.names)
    differ = [name for name, value in settings.items() if kept.get(seed, settings).get(name) != value]
    if there and differ:
        raise UsageError(
            f"{bank.folder} holds anatomies of seed {wanted.seed} made with other options ({', '.join(differ)})",
            hint="use them again, or give another --seed or folder",
        )
    write_json(path, {**kept, seed: settings})


@dataclass(frozen=True)
class _AnatomyWriter:
    """Number of an anatomy -> its name, once it is in the bank."""

    out: Path
    request: BankRequest
    made: SyntheticJoint
    there: frozenset[str]

    def __call__(self, i: int) -> str:
        request, made = self.request, self.made
        if request.workers > 1:
            torch.set_num_threads(1)
        name = f"{made.name}-{request.seed:04d}-{i:04d}"
        if name in self.there:
            return name
        draw = request.anatomy or made.random_anatomy
        anatomy, bank = made.own(draw(np.random.default_rng([request.seed, i]))), AnatomyBank(self.out)
        if request.lesions:
            center = list(made.protocols)[i % len(made.protocols)]
            patient = made.patient_of(request.seed, i, center, request.prevalence)
            bank.add(name, *made.paint(anatomy, patient.lesions))
        else:
            bank.add(name, anatomy)
        return name
