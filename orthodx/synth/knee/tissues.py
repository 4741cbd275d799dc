"""The tissue table of synthetic joints: a voxel of an `Anatomy` holds one of these values.

Values 1-11 equal the knee structures' mask values; further tissues have values of their own.
`STRUCTURE_OF` maps any tissue to the structure it belongs to (0 = none), so that one array carries
both what is seen (cortex and marrow differ) and what is true (both are femur).
"""

from __future__ import annotations

import numpy as np

TISSUES: dict[str, int] = {
    "air": 0,
    "femur": 1,  # marrow
    "tibia": 2,
    "fibula": 3,
    "patella": 4,
    "femoral_cartilage": 5,
    "tibial_cartilage": 6,
    "patellar_cartilage": 7,
    "medial_meniscus": 8,
    "lateral_meniscus": 9,
    "acl": 10,
    "pcl": 11,
    "mcl": 20,
    "lcl": 21,
    "patellar_tendon": 22,
    "quadriceps_tendon": 23,
    "fat_pad": 24,
    "muscle": 25,
    "fat": 26,
    "skin": 27,
    "fluid": 28,
    "vessel": 29,
    "capsule": 30,  # capsule, retinacula, other ligaments, fascia
    "femur_cortex": 41,
    "tibia_cortex": 42,
    "fibula_cortex": 43,
    "patella_cortex": 44,
    "femur_physis": 45,  # physeal scar
    "tibia_physis": 46,
    "oedema": 50,  # fluid between the fibres of soft tissue
    "femur_bruise": 51,  # marrow with oedema and bleeding
    "tibia_bruise": 52,
    "fibula_bruise": 53,
    "patella_bruise": 54,
    "medial_meniscus_torn": 58,
    "lateral_meniscus_torn": 59,
    "acl_torn": 60,  # swollen or disrupted fibres: still that ligament
    "pcl_torn": 61,
    "mcl_torn": 62,
    "lcl_torn": 63,
}

STRUCTURE_OF: np.ndarray = np.zeros(256, np.uint8)
STRUCTURE_OF[1:12] = np.arange(1, 12)
STRUCTURE_OF[[41, 42, 43, 44, 45, 46]] = [1, 2, 3, 4, 1, 2]
STRUCTURE_OF[51:55] = [1, 2, 3, 4]
STRUCTURE_OF[58:62] = [8, 9, 10, 11]
