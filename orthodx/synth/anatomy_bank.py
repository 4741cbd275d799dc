"""Anatomies on disk, healthy or injured."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

import numpy as np

from orthodx.errors import UsageError
from orthodx.studies.run_record import write_json
from orthodx.studies.writing import blaming
from orthodx.synth.anatomy import DEFAULT, Anatomy
from orthodx.synth.grammar import SyntheticJoint, synthetic

JOINT_FILE = "joint.json"


def drawn_from(anatomy: Callable[..., Anatomy] | None) -> str:
    """What anatomies are drawn from, for a record: which bank or label maps by a hash, without their names."""
    if anatomy is None:
        return "procedural"
    if isinstance(anatomy, AnatomyBank):
        return f"bank {_short(*(name.encode() for name in anatomy.names))}"
    maps = getattr(anatomy, "maps", None)
    return (
        "given" if maps is None else f"maps {_short(*(field.tobytes() for m in maps for field in m.fields.values()))}"
    )


def _short(*parts: bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()[:12]


class AnatomyBank:
    """Anatomies of one joint kept as `<name>.npy` (tissues) + `<name>.affine.npy`, memory-mapped when read.

    `joint.json` names the joint. Injured ones have `<name>.lesions.npy` too, values of the joint's `Injuries`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self.names = sorted(p.name.removesuffix(".affine.npy") for p in self.folder.glob("*.affine.npy"))

    def add(self, name: str, anatomy: Anatomy, lesions: np.ndarray | None = None) -> None:
        """Write one anatomy; the affine goes last, so that a half-written one is never listed.

        Raises `UsageError` where those before it are of another joint.
        """
        self.refuse_other(anatomy.joint)
        self.folder.mkdir(parents=True, exist_ok=True)
        if not (self.folder / JOINT_FILE).is_file():
            write_json(self.folder / JOINT_FILE, {"joint": anatomy.joint})
        arrays = {"": anatomy.tissues, ".lesions": lesions, ".affine": anatomy.affine}
        for kind, array in arrays.items():
            if array is not None:
                with blaming(self.folder / f"{name}{kind}.npy"):
                    np.save(self.folder / f"{name}{kind}.npy", array)
        if name not in self.names:
            self.names.append(name)

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, i: int) -> tuple[np.ndarray, np.ndarray]:
        """Tissues (X, Y, Z) uint8, memory-mapped, and their affine (4, 4)."""
        name = self.names[i]
        return np.load(self.folder / f"{name}.npy", mmap_mode="r"), np.load(self.folder / f"{name}.affine.npy")

    @property
    def joint(self) -> str:
        """Name of the joint, `DEFAULT` in banks from before `joint.json`; raises `UsageError` for a broken one."""
        path = self.folder / JOINT_FILE
        if not path.is_file():
            return DEFAULT
        try:
            return str(json.loads(path.read_text(encoding="utf-8"))["joint"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UsageError(f"{path}: names no joint", hint='write {"joint": NAME} into it') from error

    @property
    def synthetic(self) -> SyntheticJoint:
        """All that is known of the joint; raises `UsageError` where that is nothing."""
        return synthetic(self.joint)

    def refuse_other(self, joint: str) -> None:
        """Raises `UsageError` where anatomies of another joint are there."""
        if len(self) and joint != self.joint:
            raise UsageError(f"{self.folder} holds anatomies of the {self.joint}", hint="choose another folder")

    @property
    def injured(self) -> bool:
        """Whether its anatomies carry lesions."""
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
        most = max(self.synthetic.injuries.values.values())
        volumes = (self.lesions(i).ravel() for i in range(len(self)))
        return np.stack([np.bincount(v[v > 0], minlength=most + 1) for v in volumes])

    def __call__(self, rng: np.random.Generator) -> Anatomy:
        """One of the healthy anatomies, for further cohorts; raises `UsageError` where they carry lesions."""
        if self.injured:
            raise UsageError(
                f"{self.folder}: its {self.joint}s carry lesions already", hint="give a bank of healthy anatomies"
            )
        i = int(rng.integers(len(self)))
        (tissues, affine), made = self[i], self.synthetic
        return Anatomy(np.array(tissues), affine, made.side_of(tissues), self.names[i], joint=made.name)
