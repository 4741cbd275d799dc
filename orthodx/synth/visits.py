"""Visits of a synthetic patient: the same joint seen again, in another posture, by another scanner, its lesions older.

Drawn with a generator of its own, so that the first visit's joint and lesions are those of a study without visits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from orthodx.synth.lesions import Lesion
from orthodx.synth.solids import rotation

VISIT_STREAM = 6151  # beside (seed, study) in the generator's key
COURSES = ("heals", "grows", "stays")
FIRST_SEEN = 0.3  # of its final size, a lesion that grows
APART_DAYS = (90, 400)  # from one visit to the next
TURN_DEG, SHIFT_MM = 3.0, 8.0  # standard deviations of how else a limb lies in the scanner
# what makes a lesion large beside its lengths and volumes; lengths that say where it is
SIZES = frozenset({"share", "size", "depth", "fluid", "arc_deg", "droop_deg", "tilt_deg", "shift_deg"})
PLACES = frozenset({"from_foot_mm", "where_mm"})


@dataclass(frozen=True, kw_only=True)
class Visit:
    """One visit. number: from 1. days: since the first one. part: of the way to the last one, 0 to 1.

    lies: (4, 4), where the scanner's world has what the patient's world has, mm; the first visit's is the identity.
    """

    number: int
    days: int
    part: float
    lies: np.ndarray
    rng: np.random.Generator


def visits_of(seed: int, study: int, count: int) -> list[Visit]:
    """The visits of patient `study` of a seed: always the same ones."""
    made: list[Visit] = []
    for i in range(count):
        rng = np.random.default_rng([seed, study, VISIT_STREAM, i])
        days = made[-1].days + int(rng.integers(*APART_DAYS)) if i else 0
        lies = np.eye(4)
        turns, shift = rng.normal(0, TURN_DEG, 3), rng.normal(0, SHIFT_MM, 3)
        if i:
            lies[:3, :3] = rotation(0, turns[0]) @ rotation(1, turns[1]) @ rotation(2, turns[2])
            lies[:3, 3] = shift
        made.append(Visit(number=i + 1, days=days, part=i / max(count - 1, 1), lies=lies, rng=rng))
    return made


def courses_of(seed: int, study: int, lesions: Sequence[Lesion]) -> list[str]:
    """What becomes of each lesion; of three or more at least one heals, one grows and one stays."""
    rng = np.random.default_rng([seed, study, VISIT_STREAM])
    dealt = [str(course) for _ in range(0, len(lesions), len(COURSES)) for course in rng.permutation(COURSES)]
    return dealt[: len(lesions)]


def lesions_at(lesions: Sequence[Lesion], courses: Sequence[str], part: float) -> tuple[Any, ...]:
    """The lesions at a visit, so far on the way; those that have healed are gone."""
    sizes = {"heals": 1 - part, "grows": FIRST_SEEN + (1 - FIRST_SEEN) * part, "stays": 1.0}
    scaled = [_scaled(one, sizes[course]) for one, course in zip(lesions, courses, strict=True) if sizes[course] > 0]
    return tuple(scaled)


def _scaled(lesion: Any, size: float) -> Any:
    names = [f.name for f in fields(lesion)]
    large = [n for n in names if n in SIZES or (n.endswith(("_mm", "_ml")) and n not in PLACES)]
    return replace(lesion, **{name: getattr(lesion, name) * size for name in large})
