"""What can be wrong with a synthetic ankle."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from orthodx.joints import ANKLE
from orthodx.synth.ankle.lesion_achilles import rupture, thicken
from orthodx.synth.ankle.lesion_bone import bruise_bone, grow_osteophyte
from orthodx.synth.ankle.lesion_fluid import fill_joint, soak_fat
from orthodx.synth.ankle.lesion_talus import break_dome
from orthodx.synth.ankle.lesions import LEAST_ML, VALUES, AchillesTear, OsteochondralLesion, SoftOedema, Tendinosis
from orthodx.synth.ankle.patients import CLINIC
from orthodx.synth.injuries import Injuries
from orthodx.synth.lesion_bone import BoneBruise, Osteophyte
from orthodx.synth.lesion_canvas import Canvas
from orthodx.synth.lesion_fluid import Effusion
from orthodx.synth.lesion_ligament import LigamentTear, tear_ligament


def _tear(canvas: Canvas, tear: LigamentTear) -> None:
    tear_ligament(canvas, tear, tear.code.lower(), VALUES[tear.code])


PAINTERS: dict[type, Callable[[Canvas, Any], None]] = {
    Tendinosis: thicken,
    Osteophyte: grow_osteophyte,
    BoneBruise: bruise_bone,
    SoftOedema: soak_fat,
    Effusion: fill_joint,
    OsteochondralLesion: break_dome,
    AchillesTear: rupture,
    LigamentTear: _tear,
}
INJURIES = Injuries(
    values=VALUES,
    least_ml=LEAST_ML,
    sites={a.code: a.harms for a in ANKLE.abnormalities if a.harms},
    painters=PAINTERS,
    clinic=CLINIC,
)
