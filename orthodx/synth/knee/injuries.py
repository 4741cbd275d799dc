"""What can be wrong with a synthetic knee."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from orthodx.joints import KNEE
from orthodx.synth.injuries import Injuries
from orthodx.synth.knee.lesion_bone import bruise_bone, grow_osteophyte
from orthodx.synth.knee.lesion_fluid import fill_joint, mark_effusion
from orthodx.synth.knee.lesion_meniscus import tear_meniscus
from orthodx.synth.knee.lesion_patella import dislocate
from orthodx.synth.knee.lesions import (
    LEAST_ML,
    VALUES,
    MeniscusTear,
    PatellarDislocation,
)
from orthodx.synth.knee.patients import CLINIC
from orthodx.synth.lesion_bone import BoneBruise, Osteophyte
from orthodx.synth.lesion_canvas import Canvas
from orthodx.synth.lesion_fluid import Effusion
from orthodx.synth.lesion_ligament import LigamentTear, tear_ligament

# label -> the tissue it harms; a healthy crop lies there too. Fluid collects under the patella
SITE: dict[str, str] = {a.code: a.harms for a in KNEE.abnormalities if a.harms} | {
    "MCL": "mcl",
    "LCL": "lcl",
    "PD": "patella",
    "EFFU": "patella",
}


def _tear(canvas: Canvas, tear: LigamentTear) -> None:
    tear_ligament(canvas, tear, tear.code.lower(), VALUES[tear.code])


PAINTERS: dict[type, Callable[[Canvas, Any], None]] = {
    PatellarDislocation: dislocate,
    Osteophyte: grow_osteophyte,
    BoneBruise: bruise_bone,
    MeniscusTear: tear_meniscus,
    Effusion: fill_joint,
    LigamentTear: _tear,
}
INJURIES = Injuries(
    values=VALUES,
    least_ml=LEAST_ML,
    sites=SITE,
    painters=PAINTERS,
    clinic=CLINIC,
    finish=mark_effusion,  # the knee's own fluid counts towards an effusion
)
