"""Crops taken on purpose: on a lesion, or on the same structure of a knee that does not have it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from orthodx.errors import UsageError
from orthodx.joints import KNEE
from orthodx.synth.anatomy_bank import AnatomyBank
from orthodx.synth.knee.lesions import VALUES
from orthodx.synth.knee.tissues import TISSUES

# label -> the tissue it harms; a healthy crop lies there too. Fluid collects under the patella
SITE: dict[str, str] = {a.code: a.harms for a in KNEE.abnormalities if a.harms} | {
    "MCL": "mcl", "LCL": "lcl", "PD": "patella", "EFFU": "patella",
}  # fmt: skip
ASIDE_MM = 6.0  # standard deviation, so that a crop's middle gives nothing away
SPARSE = 3  # of a structure every so many voxels along each axis are looked at


@dataclass(frozen=True)
class Focus:
    """Places for a share of the samples, one of `labels` at a time, every other one without the lesion.

    As nnU-Net oversamples the foreground (Isensee et al. 2021): of crops taken anywhere few show a lesion. Raises
    `UsageError` for an unknown label, and where all knees of the bank have a label's lesion, or none.
    """

    bank: AnatomyBank
    share: float
    labels: tuple[str, ...] = tuple(SITE)

    def __post_init__(self) -> None:
        unknown = sorted(set(self.labels) - set(SITE))
        if unknown or not self.labels:
            raise UsageError(f"no lesion is called '{''.join(unknown[:1])}'", hint=f"give some of {', '.join(SITE)}")
        if not 0 < self.share <= 1:
            raise UsageError(f"a share of {self.share:g} of the crops", hint="give more than 0 and at most 1")
        for label in self.labels:
            hurt = int(self._hurt(label).sum())
            if hurt in (0, len(self.bank)):
                raise UsageError(
                    f"{self.bank.folder}: {hurt} of {len(self.bank)} knees have {label}, so crops cannot be balanced",
                    hint="give a larger bank, or leave the label out of --focus-label",
                )

    def _hurt(self, label: str) -> np.ndarray:
        return self.bank.marked[:, VALUES[label]] > 0

    def __call__(self, rng: np.random.Generator) -> tuple[int, np.ndarray] | None:
        """Number of an anatomy and a point (3,) in it, mm; None for the crops that may lie anywhere."""
        if rng.random() >= self.share:
            return None
        label, hurt = self.labels[int(rng.integers(len(self.labels)))], rng.random() < 0.5
        which = int(rng.choice(np.flatnonzero(self._hurt(label) == hurt)))
        tissues, affine = self.bank[which]
        if hurt:
            place = _one_of(self.bank.lesions(which), [VALUES[label]], 1, rng)
        else:
            place = _one_of(tissues, [TISSUES[SITE[label]]], SPARSE, rng)
        if place is None:
            return None  # the structure lies outside this anatomy
        return which, affine[:3, :3] @ place + affine[:3, 3] + rng.normal(0, ASIDE_MM, 3)


def _one_of(volume: np.ndarray, values: Sequence[int], step: int, rng: np.random.Generator) -> np.ndarray | None:
    """Index (3,) of a voxel that holds one of the values."""
    seen = np.ascontiguousarray(volume[::step, ::step, ::step])
    found = np.flatnonzero(np.isin(seen, values))
    if not len(found):
        return None
    return np.array(np.unravel_index(int(rng.choice(found)), seen.shape), float) * step
