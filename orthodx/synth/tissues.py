"""The tissue table of a synthetic joint: a voxel of an `Anatomy` holds one of its values.

A table says what is seen of each tissue (cortex and marrow differ) and what is true of it (both are that bone), so
that one array carries both.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from orthodx.errors import UsageError
from orthodx.joints import Joint
from orthodx.synth.relaxation import CAPSULE, FAT, FAT_PAD, FLUID, MUSCLE, OEDEMA, SKIN, VESSEL, Relaxation

AIR = "air"  # value 0 of every table
# tissues of a kind keep about one signal under a random contrast; levels are drawn in this order
KINDS = (
    "marrow",
    "cortex",
    "physis",
    "cartilage",
    "fibrocartilage",
    "inner_ligament",  # inside the joint: fat and fluid lie between its fibres
    "ligament",
    "tendon",
    "fat",
    "muscle",
    "skin",
    "fluid",
    "vessel",
)


@dataclass(frozen=True)
class Tissue:
    """One tissue: its value in anatomies (1..255) and what is known of it.

    kind: one of `KINDS`; None for injured tissue, which under a random contrast lies between `healthy` and fluid, by
    the share `wet` of fluid. structure: the joint's structure that it is a part of. roughness: amplitude of its
    texture.
    """

    value: int
    relaxation: Relaxation
    kind: str | None = None
    structure: str | None = None
    roughness: float = 0.03
    healthy: str | None = None
    wet: float = 0.0


@dataclass(frozen=True, eq=False)
class TissueTable(Mapping[str, int]):
    """Tissue name -> value in anatomies, air (0) included; `rows` holds the rest. Kinds keep the order of the rows.

    Raises `UsageError` for values that stand twice or are impossible, and for names of nothing.
    """

    joint: Joint
    rows: Mapping[str, Tissue]

    def __post_init__(self) -> None:
        structures, taken = set(self.joint.names.values()), {0}
        for name, row in self.rows.items():
            checks = (
                ("value", row.value in taken or not 0 < row.value < 256, "give each its own from 1 to 255"),
                ("kind", (row.kind is None) == (row.healthy is None), "give a kind or, to injured tissue, `healthy`"),
                ("kind", row.kind not in (None, *KINDS), f"kinds are {', '.join(KINDS)}"),
                ("structure", row.structure not in (None, *structures), f"it has {', '.join(sorted(structures))}"),
                ("healthy self", row.healthy not in (None, *self.rows), "name a tissue of the table"),
                ("share of fluid", row.healthy is not None and "fluid" not in self.rows, "add 'fluid' to the table"),
            )
            for what, wrong, hint in checks:
                if wrong:
                    raise UsageError(f"{self.joint.name}: the {what} of the tissue '{name}' cannot be", hint=hint)
            taken.add(row.value)

    def __getitem__(self, name: str) -> int:
        return 0 if name == AIR else self.rows[name].value

    def __iter__(self) -> Iterator[str]:
        return iter((AIR, *self.rows))

    def __len__(self) -> int:
        return len(self.rows) + 1

    def of(self, *names: str) -> list[int]:
        """Values of names."""
        return [self[name] for name in names]

    @property
    def groups(self) -> list[list[int]]:
        """Values of the tissues of each of `KINDS`."""
        return [[row.value for row in self.rows.values() if row.kind == kind] for kind in KINDS]

    @cached_property
    def structure_of(self) -> np.ndarray:
        """(256,) uint8: the structure that each value belongs to, 0 where there is none."""
        values = {name: value for value, name in self.joint.names.items()}
        out = np.zeros(256, np.uint8)
        for row in self.rows.values():
            out[row.value] = values[row.structure] if row.structure else 0
        return out

    @cached_property
    def fat_fraction(self) -> np.ndarray:
        """(256,) float32."""
        out = np.zeros(256, np.float32)
        for row in self.rows.values():
            out[row.value] = row.relaxation.fat
        return out

    @cached_property
    def roughness(self) -> np.ndarray:
        """(256,) float32."""
        out = np.full(256, Tissue.roughness, np.float32)
        for row in self.rows.values():
            out[row.value] = row.roughness
        return out


# what every limb has, for the tables of joints
COMMON: dict[str, Tissue] = {
    "fat": Tissue(26, FAT, "fat", roughness=0.10),
    "fat_pad": Tissue(24, FAT_PAD, "fat", roughness=0.12),
    "muscle": Tissue(25, MUSCLE, "muscle", roughness=0.13),
    "skin": Tissue(27, SKIN, "skin"),
    "fluid": Tissue(28, FLUID, "fluid"),
    "vessel": Tissue(29, VESSEL, "vessel", roughness=0.15),
    "capsule": Tissue(30, CAPSULE, "ligament"),  # capsule, retinacula, other ligaments, fascia
    "oedema": Tissue(50, OEDEMA, healthy="muscle", wet=0.7),  # fluid between the fibres of soft tissue
}
