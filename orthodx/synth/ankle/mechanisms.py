"""How ankles get hurt: a table of mechanisms, who they happen to, and how often each center sees them."""

from __future__ import annotations

from orthodx.synth.patients import UNHURT, Mechanism, case_mix

MECHANISMS: dict[str, Mechanism] = {
    UNHURT: Mechanism(
        age=(39, 15), events={"none": 6, "overuse": 2, "fall": 1, "sport_other": 1, "stairs": 0.5},
    ),
    "inversion": Mechanism(
        first={"ATFL": 0.9}, with_it={"CFL": 0.48, "OLT": 0.2},
        bruises=("medial_talus", "lateral_malleolus", "medial_malleolus", "talar_neck", "cuboid"), age=(28, 10),
        male=0.56, inpatient=0.15,
        events={"basketball": 3, "football": 3, "twist": 3, "handball": 1, "stairs": 1, "sport_other": 1},
    ),
    "instability": Mechanism(
        first={"ATFL": 0.75, "CFL": 0.4}, with_it={"OLT": 0.38, "osteophytes": 0.35}, bruises=("medial_talus",),
        age=(33, 10), male=0.5, inpatient=0.12,
        events={"twist": 4, "sport_other": 2, "basketball": 1, "none": 2, "football": 1},
    ),
    "landing": Mechanism(
        first={"OLT": 0.75}, with_it={"ATFL": 0.25, "CFL": 0.1}, bruises=("plafond", "lateral_talus", "calcaneus"),
        age=(30, 12), male=0.62, inpatient=0.25,
        events={"fall": 3, "traffic": 1.5, "sport_other": 2, "twist": 2, "basketball": 1},
    ),
    "push_off": Mechanism(
        first={"ATR": 0.92}, with_it={"osteophytes": 0.05}, bruises=("heel",), age=(42, 10), male=0.8, heavier=1.0,
        inpatient=0.4, events={"football": 3, "sport_other": 3, "handball": 1.5, "fall": 1, "overuse": 1, "stairs": 1},
    ),
    "overload": Mechanism(
        first={"ATR": 0.35, "tendinosis": 0.75}, with_it={"osteophytes": 0.15}, bruises=("heel",), age=(48, 12),
        male=0.6, heavier=2.0, events={"overuse": 5, "none": 3, "sport_other": 1, "stairs": 0.5},
    ),
    "wear": Mechanism(
        first={"osteophytes": 1.0}, with_it={"OLT": 0.38, "ATFL": 0.2, "tendinosis": 0.25},
        bruises=("plafond", "navicular"), age=(58, 10), male=0.55, heavier=3.0, inpatient=0.1,
        events={"none": 5, "overuse": 2, "stairs": 1, "twist": 1, "fall": 0.5},
    ),
}  # fmt: skip

# share of each mechanism at each center: a sports clinic, a trauma hospital, district hospitals, a rural scanner
CASE_MIX = case_mix(
    MECHANISMS,
    {
        "Northgate": (0.20, 0.26, 0.14, 0.12, 0.12, 0.09, 0.07),
        "Harbour": (0.26, 0.20, 0.08, 0.18, 0.14, 0.06, 0.08),
        "Meadow": (0.30, 0.18, 0.12, 0.10, 0.10, 0.09, 0.11),
        "Outpost": (0.40, 0.16, 0.08, 0.07, 0.07, 0.08, 0.14),
        "Riverside": (0.32, 0.17, 0.10, 0.10, 0.09, 0.09, 0.13),
        "Uplands": (0.24, 0.22, 0.14, 0.13, 0.10, 0.09, 0.08),
    },
)
