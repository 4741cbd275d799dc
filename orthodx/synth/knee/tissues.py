"""The tissues of a synthetic knee. Values 1-11 equal the structures' mask values; further ones have their own."""

from __future__ import annotations

import numpy as np

from orthodx.joints import KNEE
from orthodx.synth.relaxation import (
    BRUISE,
    CARTILAGE,
    CORTEX,
    FIBROCARTILAGE,
    LIGAMENT,
    MARROW,
    PHYSIS,
    TENDON,
    TORN_FIBROCARTILAGE,
    TORN_LIGAMENT,
    Relaxation,
)
from orthodx.synth.tissues import COMMON, Tissue, TissueTable

ACL = Relaxation(0.66, 800, 960, 15, 8)

_OWN = {
    "femur": Tissue(1, MARROW, "marrow", "femur", roughness=0.08),
    "tibia": Tissue(2, MARROW, "marrow", "tibia", roughness=0.08),
    "fibula": Tissue(3, MARROW, "marrow", "fibula", roughness=0.08),
    "patella": Tissue(4, MARROW, "marrow", "patella", roughness=0.08),
    "femoral_cartilage": Tissue(5, CARTILAGE, "cartilage", "femoral_cartilage"),
    "tibial_cartilage": Tissue(6, CARTILAGE, "cartilage", "tibial_cartilage"),
    "patellar_cartilage": Tissue(7, CARTILAGE, "cartilage", "patellar_cartilage"),
    "medial_meniscus": Tissue(8, FIBROCARTILAGE, "fibrocartilage", "medial_meniscus"),
    "lateral_meniscus": Tissue(9, FIBROCARTILAGE, "fibrocartilage", "lateral_meniscus"),
    "acl": Tissue(10, ACL, "inner_ligament", "acl", roughness=0.18),
    "pcl": Tissue(11, LIGAMENT, "inner_ligament", "pcl"),
    "mcl": Tissue(20, LIGAMENT, "ligament"),
    "lcl": Tissue(21, LIGAMENT, "ligament"),
    "patellar_tendon": Tissue(22, TENDON, "tendon"),
    "quadriceps_tendon": Tissue(23, TENDON, "tendon"),
    "femur_cortex": Tissue(41, CORTEX, "cortex", "femur"),
    "tibia_cortex": Tissue(42, CORTEX, "cortex", "tibia"),
    "fibula_cortex": Tissue(43, CORTEX, "cortex", "fibula"),
    "patella_cortex": Tissue(44, CORTEX, "cortex", "patella"),
    "femur_physis": Tissue(45, PHYSIS, "physis", "femur"),  # physeal scar
    "tibia_physis": Tissue(46, PHYSIS, "physis", "tibia"),
    # marrow with oedema and bleeding
    "femur_bruise": Tissue(51, BRUISE, structure="femur", healthy="femur", wet=0.55),
    "tibia_bruise": Tissue(52, BRUISE, structure="tibia", healthy="tibia", wet=0.55),
    "fibula_bruise": Tissue(53, BRUISE, structure="fibula", healthy="fibula", wet=0.55),
    "patella_bruise": Tissue(54, BRUISE, structure="patella", healthy="patella", wet=0.55),
    # swollen or disrupted fibres: still that meniscus or ligament
    "medial_meniscus_torn": Tissue(
        58, TORN_FIBROCARTILAGE, structure="medial_meniscus", healthy="medial_meniscus", wet=0.7
    ),
    "lateral_meniscus_torn": Tissue(
        59, TORN_FIBROCARTILAGE, structure="lateral_meniscus", healthy="lateral_meniscus", wet=0.7
    ),
    "acl_torn": Tissue(60, TORN_LIGAMENT, structure="acl", healthy="acl", wet=0.55),
    "pcl_torn": Tissue(61, TORN_LIGAMENT, structure="pcl", healthy="pcl", wet=0.55),
    "mcl_torn": Tissue(62, TORN_LIGAMENT, healthy="mcl", wet=0.55),
    "lcl_torn": Tissue(63, TORN_LIGAMENT, healthy="lcl", wet=0.55),
}
TISSUES = TissueTable(KNEE, {**_OWN, **COMMON})


def side_of(tissues: np.ndarray) -> str:
    """ "right" or "left" of a knee (X, Y, Z) that says nothing of it, like those in a bank: the fibula is lateral."""
    fibula, tibia = (np.flatnonzero((tissues == TISSUES[bone]).any((1, 2))).mean() for bone in ("fibula", "tibia"))
    return "right" if fibula > tibia else "left"
