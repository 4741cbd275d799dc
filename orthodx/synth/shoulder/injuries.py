"""What can be wrong with a synthetic shoulder."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from orthodx.joints import SHOULDER
from orthodx.synth.injuries import Injuries
from orthodx.synth.lesion_canvas import Canvas
from orthodx.synth.shoulder.lesion_bone import bruise_bone, make_cyst, wear_ac
from orthodx.synth.shoulder.lesion_fluid import fill_bursa, fill_joint, fill_sheath
from orthodx.synth.shoulder.lesion_joint import lose_cartilage, tear_labrum
from orthodx.synth.shoulder.lesion_tendon import injure_biceps, shine, tear_cuff, waste_muscle
from orthodx.synth.shoulder.lesions import (
    LEAST_ML,
    VALUES,
    AcArthrosis,
    BicepsInjury,
    BoneBruise,
    BursalFluid,
    CartilageLoss,
    CuffTear,
    FattyMuscle,
    JointEffusion,
    LabralTear,
    MagicAngle,
    SheathFluid,
    TuberosityCyst,
)
from orthodx.synth.shoulder.patients import CLINIC

# label -> the tissue it harms; a healthy crop lies there too
SITE: dict[str, str] = {a.code: a.harms for a in SHOULDER.abnormalities if a.harms} | {
    "AC": "ac_disc",
    "GHJ": "glenohumeral_cartilage",
    "LHBT_effusion": "biceps_long_head",
    "SASD": "bursa",
}
PAINTERS: dict[type, Callable[[Canvas, Any], None]] = {
    FattyMuscle: waste_muscle,
    BoneBruise: bruise_bone,
    TuberosityCyst: make_cyst,
    CartilageLoss: lose_cartilage,
    AcArthrosis: wear_ac,
    BicepsInjury: injure_biceps,
    LabralTear: tear_labrum,
    JointEffusion: fill_joint,
    BursalFluid: fill_bursa,
    SheathFluid: fill_sheath,
    MagicAngle: shine,
    CuffTear: tear_cuff,
}
INJURIES = Injuries(values=VALUES, least_ml=LEAST_ML, sites=SITE, painters=PAINTERS, clinic=CLINIC)
