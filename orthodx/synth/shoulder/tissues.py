"""The tissues of a synthetic shoulder. Values 1-9 equal the structures' mask values; further ones have their own."""

from __future__ import annotations

import numpy as np

from orthodx.joints import SHOULDER
from orthodx.synth.relaxation import (
    BRUISE,
    CAPSULE,
    CARTILAGE,
    CORTEX,
    FAT_PAD,
    FIBROCARTILAGE,
    MARROW,
    PHYSIS,
    TENDON,
    TORN_FIBROCARTILAGE,
    TORN_LIGAMENT,
    Relaxation,
)
from orthodx.synth.tissues import COMMON, Tissue, TissueTable

TENDINOSIS = Relaxation(0.7, 900, 1080, 26, 11)  # grey on short echoes, never as bright as fluid
MAGIC_ANGLE = Relaxation(0.6, 650, 750, 13, 6)  # seen on short echoes, gone on long ones
TENDONS = ("supraspinatus_tendon", "infraspinatus_tendon", "subscapularis_tendon", "biceps_long_head")
BONES = ("humerus", "scapula", "clavicle")


def _tendon(value: int, name: str) -> dict[str, Tissue]:
    """A tendon, its tendinosis and what is left of it where it is torn."""
    return {
        name: Tissue(value, TENDON, "tendon", name),
        f"{name}_tendinosis": Tissue(value + 60, TENDINOSIS, structure=name, healthy=name, wet=0.3),
        f"{name}_torn": Tissue(value + 70, TORN_LIGAMENT, structure=name, healthy=name, wet=0.6),
    }


def _bone(value: int, name: str) -> dict[str, Tissue]:
    """Marrow, cortex, and marrow with oedema."""
    return {
        name: Tissue(value, MARROW, "marrow", name, roughness=0.08),
        f"{name}_cortex": Tissue(value + 40, CORTEX, "cortex", name),
        f"{name}_bruise": Tissue(value + 50, BRUISE, structure=name, healthy=name, wet=0.55),
    }


_OWN = {
    **_bone(1, "humerus"),
    **_bone(2, "scapula"),
    **_bone(3, "clavicle"),
    **_tendon(4, "supraspinatus_tendon"),
    **_tendon(5, "infraspinatus_tendon"),
    **_tendon(6, "subscapularis_tendon"),
    **_tendon(7, "biceps_long_head"),
    "glenohumeral_cartilage": Tissue(8, CARTILAGE, "cartilage", "glenohumeral_cartilage"),
    "labrum": Tissue(9, FIBROCARTILAGE, "fibrocartilage", "labrum"),
    "labrum_torn": Tissue(79, TORN_FIBROCARTILAGE, structure="labrum", healthy="labrum", wet=0.7),
    "teres_minor_tendon": Tissue(20, TENDON, "tendon"),
    "bursa": Tissue(21, FAT_PAD, "fat"),  # the stripe of fat along the subacromial-subdeltoid bursa
    "supraspinatus_tendon_magic": Tissue(
        80, MAGIC_ANGLE, structure="supraspinatus_tendon", healthy="supraspinatus_tendon", wet=0.15
    ),
    "ac_disc": Tissue(22, FIBROCARTILAGE, "fibrocartilage"),
    "ac_capsule": Tissue(23, CAPSULE, "ligament"),
    "ac_capsule_swollen": Tissue(81, TORN_LIGAMENT, healthy="ac_capsule", wet=0.45),
    "rib": Tissue(31, MARROW, "marrow", roughness=0.08),
    "rib_cortex": Tissue(32, CORTEX, "cortex"),
    "humerus_physis": Tissue(44, PHYSIS, "physis", "humerus"),  # physeal scar
}
TISSUES = TissueTable(SHOULDER, {**_OWN, **COMMON})


def side_of(tissues: np.ndarray) -> str:
    """ "right" or "left" of a shoulder (X, Y, Z) that says nothing of it: the humerus is lateral of the scapula."""
    few = tissues[::3, ::3, ::3]
    humerus, scapula = (np.flatnonzero((few == TISSUES[bone]).any((1, 2))).mean() for bone in ("humerus", "scapula"))
    return "right" if humerus > scapula else "left"
