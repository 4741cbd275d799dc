"""Synthetic patients: what happened to them, what it did to the joint, and what their record says.

A mechanism of injury decides which structures suffer together, who it happens to and what is written down. Drawn with
a generator of its own, so that the same seed without lesions gives the same healthy joints.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from orthodx.studies.records import RECORD_COLUMNS
from orthodx.synth.lesions import Lesion

LESION_STREAM = 7919  # beside (seed, study) in the generator's key
UNHURT = "none"  # the mechanism of those to whom nothing happened
MISSING = {"age": 0.01, "height": 0.12, "weight": 0.1, "sex": 0.01, "patient_type": 0.08, "event": 0.2}  # usually


@dataclass(frozen=True, kw_only=True)
class Mechanism:
    """first: chance of the leading injuries; with_it: chance of others once one of these is there.

    bruises: sites it bruises. age: mean and sd, years. male: share of men. heavier: shift of the body mass index.
    inpatient: share, before severity counts. events: what the record says, by weight.
    """

    first: Mapping[str, float] = field(default_factory=dict)
    with_it: Mapping[str, float] = field(default_factory=dict)
    bruises: tuple[str, ...] = ()
    age: tuple[float, float]
    male: float = 0.5
    heavier: float = 0.0
    inpatient: float = 0.1
    events: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Clinic:
    """Who comes with what.

    mechanisms: by name, `UNHURT` among them. case_mix: center -> share of each mechanism. gaps: center -> how often
    fields of the record are blank, relative to `MISSING`. lesions_of: draws what a mechanism does at an age, years.
    severe: whether a lesion keeps patients in hospital.
    """

    mechanisms: Mapping[str, Mechanism]
    case_mix: Mapping[str, Mapping[str, float]]
    gaps: Mapping[str, float]
    lesions_of: Callable[[np.random.Generator, Mechanism, int], Sequence[Lesion]]
    severe: Callable[[Lesion], bool]


@dataclass(frozen=True, kw_only=True)
class Patient:
    """One patient: lesions, and a record in which None is missing. age in years, height in cm, weight in kg."""

    mechanism: str
    lesions: tuple[Lesion, ...]
    age: int | None
    height: int | None
    weight: int | None
    sex: str | None
    patient_type: str | None
    event: str | None

    @property
    def record(self) -> dict[str, object]:
        """The row of `ehr.csv` without its study_id; missing values are blank."""
        return {name: "" if getattr(self, name) is None else getattr(self, name) for name in RECORD_COLUMNS}


def case_mix(mechanisms: Mapping[str, Mechanism], shares: Mapping[str, Sequence[float]]) -> dict[str, dict[str, float]]:
    """Center -> share of each mechanism, from the shares in the order of the mechanisms."""
    return {center: dict(zip(mechanisms, row, strict=True)) for center, row in shares.items()}


def injuries_of(
    rng: np.random.Generator, mechanism: Mechanism, draw: Callable[[np.random.Generator, str, float], Sequence[Lesion]]
) -> tuple[list[Lesion], set[str]]:
    """What the mechanism does, first its leading injuries, then what comes with them; and the codes of it.

    draw: gives the lesions of a code at a severity, from mild (0) to the worst (1).
    """
    out: list[Lesion] = []
    hurt: set[str] = set()
    for code in (*mechanism.first, *mechanism.with_it):
        chance = mechanism.first[code] if code in mechanism.first else mechanism.with_it[code]
        if code not in mechanism.first and mechanism.first and not hurt:
            chance *= 0.4  # the joint got away lightly
        if rng.random() < chance:
            hurt.add(code)
            out += draw(rng, code, float(rng.beta(1.4, 1.3)))
    return out, hurt


def seed_of(rng: np.random.Generator) -> int:
    """The seed of one lesion's looks."""
    return int(rng.integers(2**31))


def patient_of(clinic: Clinic, seed: int, study: int, center: str, injured: float | None = None) -> Patient:
    """The patient behind study `study` of a seed: always the same one."""
    return sample_patient(np.random.default_rng([seed, study, LESION_STREAM]), clinic, center, injured)


def sample_patient(rng: np.random.Generator, clinic: Clinic, center: str, injured: float | None = None) -> Patient:
    """Draw a patient of a center's case mix; `injured` replaces the center's own share of injured joints."""
    mix = dict(clinic.case_mix[center])
    if injured is not None:
        hurt = sum(share for name, share in mix.items() if name != UNHURT)
        mix = {name: share / hurt * injured for name, share in mix.items() if name != UNHURT}
        mix[UNHURT] = 1 - injured
    name = _pick(rng, mix)
    mechanism = clinic.mechanisms[name]
    age = int(np.clip(rng.normal(*mechanism.age), 12, 88))
    lesions = tuple(clinic.lesions_of(rng, mechanism, age))
    severe = sum(map(clinic.severe, lesions))
    full = _record(rng, mechanism, age, severe)
    gaps = clinic.gaps[center]
    known = {name: None if rng.random() < gaps * MISSING[name] else value for name, value in full.items()}
    return Patient(mechanism=name, lesions=lesions, **known)


def _record(rng: np.random.Generator, mechanism: Mechanism, age: int, severe: int) -> dict[str, Any]:
    """All fields of a record; `severe` lesions lengthen the stay."""
    sex = "M" if rng.random() < mechanism.male else "F"
    height = rng.normal(178 if sex == "M" else 165, 6.5) - max(age - 60, 0) * 0.12
    bmi = np.clip(rng.normal(23.0 + 0.07 * (min(age, 60) - 20) + mechanism.heavier, 3.0), 17, 42)
    inpatient = rng.random() < min(mechanism.inpatient + 0.22 * severe, 0.9)
    return {
        "age": age,
        "height": round(height),
        "weight": round(bmi * (height / 100) ** 2),
        "sex": sex,
        "patient_type": "inpatient" if inpatient else "outpatient",
        "event": _pick(rng, mechanism.events),
    }


def _pick(rng: np.random.Generator, shares: Mapping[str, float]) -> str:
    """A name, drawn by weight."""
    weights = np.array(list(shares.values()))
    return str(rng.choice(list(shares), p=weights / weights.sum()))
