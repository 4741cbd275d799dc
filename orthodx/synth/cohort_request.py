"""Which synthetic studies to make."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from orthodx.errors import UsageError
from orthodx.joints import View
from orthodx.synth.anatomy import Anatomy
from orthodx.synth.anatomy_bank import drawn_from
from orthodx.synth.grammar import DEFAULT, synthetic

FORMATS = {"nifti", "dicom"}


@dataclass(frozen=True, kw_only=True)
class CohortRequest:
    """Which studies to make; raises `UsageError` for what is unknown here or does not fit together."""

    joint: str = DEFAULT
    """Of every patient."""
    studies: int = 3
    """Patients, each with three series of one anatomy."""
    seed: int = 0
    """Study i of a seed is always the same."""
    centers: tuple[str, ...] = ()
    """Where they may be scanned; none for every center with protocols of the joint."""
    anatomy: Callable[[np.random.Generator], Anatomy] | None = None
    """Draws one, instead of the joint's own procedure."""
    formats: tuple[str, ...] = ("nifti",)
    """"nifti" and/or "dicom" (`dicom/<study>/<series>/IM0001.dcm`...; manifest and truth come as without it)."""
    lesions: bool = False
    """Joints as injured as the center sees them; those beneath are the ones without it."""
    prevalence: float | None = None
    """With lesions: the share of injured or worn joints, instead of the center's own."""
    views: tuple[View, ...] = ()
    """Write only these; the images are the same as with all."""
    visits: int = 1
    """Studies of each patient, in order of time."""
    cartilage_loss: float = 0.0
    """Share by which the cartilage is thinner at the last visit than at the first."""
    resume: bool = False
    """Keeps patients whose files are whole, of the same settings."""
    workers: int = 1
    """Processes, each with one patient at a time; the files are the same."""

    @property
    def settings(self) -> dict[str, Any]:
        """What decides how every study looks; a cohort keeps it from beginning to end."""
        names = ("joint", "seed", "centers", "formats", "lesions", "prevalence")
        told = {name: getattr(self, name) for name in names} | {"anatomy": drawn_from(self.anatomy)}
        further = {
            "views": [str(view) for view in self.views],
            "visits": self.visits,
            "cartilage_loss": self.cartilage_loss,
        }
        told |= {
            name: value for name, value in further.items() if value not in ([], 1, 0.0)
        }  # cohorts of old have none
        return {name: list(value) if isinstance(value, tuple) else value for name, value in told.items()}

    @property
    def named(self) -> bool:
        """Whether the names of anatomies are ours, which those of a user's label maps are not."""
        return not self.settings["anatomy"].startswith("maps ")

    def __post_init__(self) -> None:
        made = synthetic(self.joint)
        unknown = [c for c in self.centers if c not in made.protocols]
        if unknown:
            raise UsageError(f"no center is called '{unknown[0]}'", hint=f"known: {', '.join(made.protocols)}")
        if not self.formats or set(self.formats) - FORMATS:
            wrong, known = ",".join(self.formats), ", ".join(sorted(FORMATS))
            raise UsageError(f"unknown format in '{wrong}'", hint=f"known: {known}")
        if self.studies < 1:
            raise UsageError(f"{self.studies} studies cannot be made", hint="use --studies 1 or more")
        if self.prevalence is not None and not (self.lesions and 0 <= self.prevalence <= 1):
            raise UsageError(
                f"a prevalence of {self.prevalence:g} cannot be used", hint="give 0 to 1, and lesions with it"
            )
        if self.visits < 1:
            raise UsageError(f"{self.visits} visits cannot be made", hint="use --visits 2 or more")
        if self.cartilage_loss and not (self.visits > 1 and 0 <= self.cartilage_loss < 1):
            raise UsageError(
                f"a cartilage loss of {self.cartilage_loss:g} cannot be planted", hint="give 0 to 1, and --visits 2"
            )
        if self.cartilage_loss and (made.later is None or self.anatomy is not None):
            raise UsageError("cartilage is thinned in procedural knees only", hint="leave --cartilage-loss out")
        if self.lesions:
            _ = made.injuries  # raises where there are none
