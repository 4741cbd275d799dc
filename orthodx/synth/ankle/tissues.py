"""The tissues of a synthetic ankle. Values 1-9 equal the structures' mask values; further ones have their own."""

from __future__ import annotations

import numpy as np

from orthodx.joints import ANKLE
from orthodx.synth.relaxation import (
    BRUISE,
    CARTILAGE,
    CORTEX,
    LIGAMENT,
    MARROW,
    PHYSIS,
    TENDON,
    TORN_LIGAMENT,
    Relaxation,
)
from orthodx.synth.tissues import COMMON, Tissue, TissueTable

SCLEROSIS = Relaxation(0.4, 450, 540, 20, 4, 0.3)  # dense bone of a fragment and of a crater's bed
TORN_TENDON = Relaxation(0.78, 1050, 1250, 42, 18)
SOFT_CARTILAGE = Relaxation(0.82, 1300, 1550, 62, 30)

BONES = ("tibia", "fibula", "talus", "calcaneus", "other_foot_bones")
_CORTEX = {f"{bone}_cortex": Tissue(41 + i, CORTEX, "cortex", bone) for i, bone in enumerate(BONES)}
_BRUISE = {
    f"{bone}_bruise": Tissue(51 + i, BRUISE, structure=bone, healthy=bone, wet=0.55) for i, bone in enumerate(BONES)
}
_OWN = {
    **{bone: Tissue(1 + i, MARROW, "marrow", bone, roughness=0.08) for i, bone in enumerate(BONES)},
    "talar_cartilage": Tissue(6, CARTILAGE, "cartilage", "talar_cartilage"),
    "atfl": Tissue(7, LIGAMENT, "ligament", "atfl", roughness=0.1),
    "cfl": Tissue(8, LIGAMENT, "ligament", "cfl", roughness=0.1),
    "achilles_tendon": Tissue(9, TENDON, "tendon", "achilles_tendon"),
    "joint_cartilage": Tissue(20, CARTILAGE, "cartilage"),  # of every bone but the talus
    "tendon": Tissue(22, TENDON, "tendon"),
    "ligament": Tissue(23, LIGAMENT, "ligament", roughness=0.18),
    "tibia_physis": Tissue(31, PHYSIS, "physis", "tibia"),  # physeal scar
    "fibula_physis": Tissue(32, PHYSIS, "physis", "fibula"),
    "talus_sclerosis": Tissue(33, SCLEROSIS, "physis", "talus"),
    **_CORTEX,
    **_BRUISE,
    # swollen or disrupted: still that structure
    "atfl_torn": Tissue(60, TORN_LIGAMENT, structure="atfl", healthy="atfl", wet=0.55),
    "cfl_torn": Tissue(61, TORN_LIGAMENT, structure="cfl", healthy="cfl", wet=0.55),
    "achilles_tendon_torn": Tissue(
        62, TORN_TENDON, structure="achilles_tendon", healthy="achilles_tendon", wet=0.5, roughness=0.12
    ),
    "talar_cartilage_torn": Tissue(63, SOFT_CARTILAGE, structure="talar_cartilage", healthy="talar_cartilage", wet=0.6),
}
TISSUES = TissueTable(ANKLE, {**_OWN, **COMMON})


def side_of(tissues: np.ndarray) -> str:
    """ "right" or "left" of an ankle (X, Y, Z) that says nothing of it: the fibula is lateral."""
    fibula, tibia = (np.flatnonzero((tissues == TISSUES[bone]).any((1, 2))).mean() for bone in ("fibula", "tibia"))
    return "right" if fibula > tibia else "left"
