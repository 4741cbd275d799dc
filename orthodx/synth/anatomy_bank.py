"""Anatomies on disk, healthy or injured."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import numpy as np

from orthodx.errors import UsageError
from orthodx.synth.anatomy import Anatomy, side_of
from orthodx.synth.knee.lesions import VALUES


class AnatomyBank:
    """Anatomies kept as `<name>.npy` (tissues) + `<name>.affine.npy`, memory-mapped when read.

    Injured ones have `<name>.lesions.npy` too, values of `orthodx.synth.knee.lesions.VALUES`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self.names = sorted(p.name.removesuffix(".affine.npy") for p in self.folder.glob("*.affine.npy"))

    def add(self, name: str, anatomy: Anatomy, lesions: np.ndarray | None = None) -> None:
        """Write one anatomy; the affine goes last, so that a half-written one is never listed."""
        self.folder.mkdir(parents=True, exist_ok=True)
        np.save(self.folder / f"{name}.npy", anatomy.tissues)
        if lesions is not None:
            np.save(self.folder / f"{name}.lesions.npy", lesions)
        np.save(self.folder / f"{name}.affine.npy", anatomy.affine)
        if name not in self.names:
            self.names.append(name)

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, i: int) -> tuple[np.ndarray, np.ndarray]:
        """Tissues (X, Y, Z) uint8, memory-mapped, and their affine (4, 4)."""
        name = self.names[i]
        return np.load(self.folder / f"{name}.npy", mmap_mode="r"), np.load(self.folder / f"{name}.affine.npy")

    @property
    def injured(self) -> bool:
        """Whether its knees carry lesions."""
        return any(self.folder.glob("*.lesions.npy"))

    def lesions(self, i: int) -> np.ndarray:
        """Lesion mask (X, Y, Z) uint8 of anatomy i, memory-mapped; raises `UsageError` where it has none."""
        path = self.folder / f"{self.names[i]}.lesions.npy"
        if not path.is_file():
            raise UsageError(f"{path}: missing", hint="make the bank with 'orthodx synth --bank --lesions'")
        return np.load(path, mmap_mode="r")

    @cached_property
    def marked(self) -> np.ndarray:
        """(N, V) voxels that hold each lesion value, 0 included; read once."""
        volumes = (self.lesions(i).ravel() for i in range(len(self)))
        return np.stack([np.bincount(v[v > 0], minlength=max(VALUES.values()) + 1) for v in volumes])

    def __call__(self, rng: np.random.Generator) -> Anatomy:
        """One of the healthy anatomies, for further cohorts; raises `UsageError` where they carry lesions."""
        if self.injured:
            raise UsageError(f"{self.folder}: its knees carry lesions already", hint="give a bank of healthy anatomies")
        i = int(rng.integers(len(self)))
        tissues, affine = self[i]
        return Anatomy(np.array(tissues), affine, side_of(tissues), self.names[i])
