"""Crops taken on purpose: on a lesion, or on the same structure of a joint that does not have it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from orthodx.errors import UsageError
from orthodx.synth.anatomy_bank import AnatomyBank
from orthodx.synth.grammar import SyntheticJoint

ASIDE_MM = 6.0  # standard deviation, so that a crop's middle gives nothing away
SPARSE = 3  # of a structure every so many voxels along each axis are looked at


@dataclass(frozen=True)
class Focus:
    """Places for a share of the samples, one of `labels` at a time, every other one without the lesion.

    labels: none for all that the bank's joint has a site of, where healthy crops lie too. As nnU-Net oversamples the
    foreground (Isensee et al. 2021): of crops taken anywhere few show a lesion. Raises `UsageError` for an unknown
    label, and where all anatomies of the bank have a label's lesion, or none.
    """

    bank: AnatomyBank
    share: float
    labels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        sites = self._made.injuries.sites
        unknown = sorted(set(self._asked) - set(sites))
        if unknown or not self._asked:
            raise UsageError(f"no lesion is called '{''.join(unknown[:1])}'", hint=f"give some of {', '.join(sites)}")
        if not 0 < self.share <= 1:
            raise UsageError(f"a share of {self.share:g} of the crops", hint="give more than 0 and at most 1")
        for label in self._asked:
            hurt, of_all = int(self._hurt(label).sum()), f"{len(self.bank)} {self._made.name}s"
            if hurt in (0, len(self.bank)):
                raise UsageError(
                    f"{self.bank.folder}: {hurt} of {of_all} have {label}, so crops cannot be balanced",
                    hint="give a larger bank, or leave the label out of --focus-label",
                )

    @cached_property
    def _made(self) -> SyntheticJoint:
        return self.bank.synthetic

    @property
    def _asked(self) -> tuple[str, ...]:
        return self.labels or tuple(self._made.injuries.sites)

    def _hurt(self, label: str) -> np.ndarray:
        return self.bank.marked[:, self._made.injuries.values[label]] > 0

    def __call__(self, rng: np.random.Generator) -> tuple[int, np.ndarray] | None:
        """Number of an anatomy and a point (3,) in it, mm; None for the crops that may lie anywhere."""
        if rng.random() >= self.share:
            return None
        label, hurt = self._asked[int(rng.integers(len(self._asked)))], rng.random() < 0.5
        which = int(rng.choice(np.flatnonzero(self._hurt(label) == hurt)))
        (tissues, affine), injuries = self.bank[which], self._made.injuries
        if hurt:
            place = _one_of(self.bank.lesions(which), injuries.values[label], 1, rng)
        else:
            place = _one_of(tissues, self._made.tissues[injuries.sites[label]], SPARSE, rng)
        if place is None:
            return None  # the structure lies outside this anatomy
        return which, affine[:3, :3] @ place + affine[:3, 3] + rng.normal(0, ASIDE_MM, 3)


def _one_of(volume: np.ndarray, value: int, step: int, rng: np.random.Generator) -> np.ndarray | None:
    """Index (3,) of a voxel that holds the value."""
    seen = np.ascontiguousarray(volume[::step, ::step, ::step])
    found = np.flatnonzero(seen == value)
    if not len(found):
        return None
    return np.array(np.unravel_index(int(rng.choice(found)), seen.shape), float) * step
