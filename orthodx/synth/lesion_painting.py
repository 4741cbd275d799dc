"""From a healthy anatomy and a patient's lesions to an anatomy with further tissue values, and the lesions' mask."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from orthodx.joints import KNEE
from orthodx.synth.anatomy import Anatomy
from orthodx.synth.knee.lesion_bone import bruise_bone, grow_osteophyte
from orthodx.synth.knee.lesion_fluid import fill_joint, mark_effusion
from orthodx.synth.knee.lesion_ligament import tear_ligament
from orthodx.synth.knee.lesion_meniscus import tear_meniscus
from orthodx.synth.knee.lesion_patella import dislocate
from orthodx.synth.knee.lesions import (
    LEAST_ML,
    VALUES,
    BoneBruise,
    Effusion,
    Lesion,
    LigamentTear,
    MeniscusTear,
    Osteophyte,
    PatellarDislocation,
)
from orthodx.synth.lesion_canvas import Canvas

# in the order of painting: what moves tissue comes first, fluid fills what is left
PAINTERS: dict[type, Callable[[Canvas, Any], None]] = {
    PatellarDislocation: dislocate,
    Osteophyte: grow_osteophyte,
    BoneBruise: bruise_bone,
    MeniscusTear: tear_meniscus,
    Effusion: fill_joint,
    LigamentTear: tear_ligament,
}


def paint(anatomy: Anatomy, lesions: Sequence[Lesion]) -> tuple[Anatomy, np.ndarray]:
    """The injured knee and its lesion mask (X, Y, Z) uint8 with `VALUES`, on the anatomy's grid.

    The same anatomy and lesions give the same knee. Its own fluid counts towards an effusion. A lesion of a
    structure that the anatomy lacks leaves no mark.
    """
    canvas = Canvas(anatomy)
    order = list(PAINTERS)
    for lesion in sorted(lesions, key=lambda one: order.index(type(one))):
        PAINTERS[type(lesion)](canvas, lesion)
    mark_effusion(canvas)
    return replace(anatomy, tissues=canvas.tissues), canvas.lesions


def labels_of(mask: np.ndarray, spacing_mm: float) -> dict[str, int]:
    """1 or 0 for each abnormality of the knee: is enough of it marked (`LEAST_ML`)?"""
    ml = np.bincount(mask.ravel(), minlength=len(VALUES) + 1) * spacing_mm**3 / 1000
    return {code: int(ml[VALUES[code]] >= LEAST_ML[code]) for code in KNEE.codes}
