"""What the shared code asks of a joint to make images of it, and where a joint is found by its name.

A joint is a package `orthodx.synth.<name>` with one object `SYNTHETIC`; nothing else here or beside it knows a joint.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from orthodx.errors import UsageError
from orthodx.joints import JOINTS, Joint, View
from orthodx.synth import injuries, patients
from orthodx.synth.anatomy import DEFAULT, Anatomy
from orthodx.synth.injuries import Injuries
from orthodx.synth.lesions import Lesion
from orthodx.synth.patients import Patient
from orthodx.synth.protocols import Protocol
from orthodx.synth.tissues import TissueTable

__all__ = ["DEFAULT", "CropCentres", "SyntheticJoint", "register", "synthetic"]

Draw = Callable[[np.random.Generator], Anatomy]


@dataclass(frozen=True, kw_only=True)
class CropCentres:
    """Where the middles of training crops lie: normal in the plane, even along the slices. World mm, (x, y, z)."""

    mean_mm: tuple[float, float, float]
    sd_mm: tuple[float, float, float]
    reach_mm: float
    """Half of what the slices cover of a whole joint."""
    limb_mm: float = 0.0
    """Along the limb (world z), where axial fields of view go further: half of that."""


@dataclass(frozen=True, kw_only=True)
class SyntheticJoint:
    """One joint that images can be made of; its callables are functions of modules, so that processes can share it."""

    joint: Joint
    """Its structures and abnormalities."""
    tissues: TissueTable
    """What its anatomies are made of."""
    body_part: str
    """What DICOM calls it: Body Part Examined (0018,0015)."""
    protocols: Mapping[str, tuple[Protocol, ...]]
    """Center -> one protocol a view."""
    crops: CropCentres
    random_anatomy: Draw
    """Draws one, right or left."""
    side_of: Callable[[np.ndarray], str]
    """"right" or "left" of tissues (X, Y, Z) that say nothing of it."""
    turns: Mapping[View, float] = field(default_factory=dict)
    """Degrees about world z by which a view's planes are turned on a right joint; the other way on a left one."""
    later: Callable[[Anatomy, np.random.Generator, float], Anatomy] | None = None
    """A procedural anatomy in another posture, its cartilage thinner by a share; None for joints that lie as drawn."""
    known_injuries: Injuries | None = None
    """None while there are healthy ones only."""
    map_reader: Callable[[Path, Sequence[str] | None], Draw] | None = None
    """Folder of label maps, and the names of some of them -> what draws from these; None while there is none."""

    @property
    def name(self) -> str:
        """Of the joint."""
        return self.joint.name

    @property
    def injuries(self) -> Injuries:
        """What can be wrong with it; raises `UsageError` while that is nothing."""
        if self.known_injuries is None:
            raise UsageError(f"no synthetic injuries of the {self.name} yet", hint="leave --lesions out")
        return self.known_injuries

    def open_maps(self, folder: Path, names: Sequence[str] | None = None) -> Draw:
        """Draws whole anatomies from the label maps of a folder, or from the named ones of it.

        Raises `UsageError` where maps of this joint are not read, and for maps that are not there.
        """
        if self.map_reader is None:
            raise UsageError(f"no label maps of the {self.name} are read yet", hint="give --anatomy a bank")
        return self.map_reader(folder, names)

    def patient_of(self, seed: int, study: int, center: str, injured: float | None = None) -> Patient:
        """The patient behind study `study` of a seed: always the same one. injured: instead of the center's share."""
        return patients.patient_of(self.injuries.clinic, seed, study, center, injured)

    def paint(self, anatomy: Anatomy, lesions: Sequence[Lesion]) -> tuple[Anatomy, np.ndarray]:
        """The injured anatomy and its lesion mask (X, Y, Z) uint8, values of `injuries`, on the anatomy's grid.

        The same anatomy and lesions give the same joint. A lesion of a structure that the anatomy lacks leaves no
        mark.
        """
        return injuries.paint(anatomy, lesions, self.injuries, self.tissues)

    def labels_of(self, mask: np.ndarray, spacing_mm: float) -> dict[str, int]:
        """1 or 0 for each abnormality: is enough of it marked in a lesion mask?"""
        return injuries.labels_of(mask, spacing_mm, self.injuries)

    def turn_of(self, view: View, side: str) -> float:
        """Degrees about world z by which a view's planes are turned on a joint of this side."""
        turn = self.turns.get(view, 0.0)
        return turn if side == "right" else -turn

    def own(self, anatomy: Anatomy) -> Anatomy:
        """The anatomy itself; raises `UsageError` where it is of another joint."""
        if anatomy.joint != self.name:
            raise UsageError(f"'{anatomy.source}' is of the {anatomy.joint}", hint=f"use --joint {anatomy.joint}")
        return anatomy


REGISTERED: dict[str, SyntheticJoint] = {}


def register(made: SyntheticJoint) -> None:
    """Let `synthetic` find a joint that has no package here, or another one in the place of a package's."""
    REGISTERED[made.name] = made


def synthetic(joint: str) -> SyntheticJoint:
    """The synthetic joint of this name; raises `UsageError` where there is none yet."""
    if joint in REGISTERED:
        return REGISTERED[joint]
    if not _has_package(joint):
        known = dict.fromkeys((*filter(_has_package, JOINTS), *REGISTERED))
        raise UsageError(f"no synthetic {joint} yet", hint=f"use --joint {' or '.join(known)}")
    made: SyntheticJoint = import_module(f"orthodx.synth.{joint}").SYNTHETIC
    return made


def _has_package(joint: str) -> bool:
    return joint in JOINTS and find_spec(f"orthodx.synth.{joint}") is not None
