"""How knees get hurt: a table of mechanisms, who they happen to, and how often each center sees them."""

from __future__ import annotations

from orthodx.synth.patients import UNHURT, Mechanism, case_mix

MECHANISMS: dict[str, Mechanism] = {
    UNHURT: Mechanism(
        age=(40, 15), events={"none": 6, "overuse": 2, "fall": 1, "sport_other": 1, "stairs": 0.5},
    ),
    "pivot_shift": Mechanism(
        first={"ACL": 0.88}, with_it={"MM": 0.35, "LM": 0.32, "MCL": 0.3, "LCL": 0.06, "PCL": 0.03},
        bruises=("lateral_condyle", "posterolateral_tibia"), age=(27, 8), male=0.64, inpatient=0.3,
        events={"football": 4, "basketball": 3, "skiing": 2, "handball": 1.5, "sport_other": 1, "twist": 1},
    ),
    "clip": Mechanism(
        first={"MCL": 0.85}, with_it={"ACL": 0.35, "MM": 0.3, "LM": 0.15, "PD": 0.03},
        bruises=("lateral_condyle", "lateral_tibia"), age=(31, 11), male=0.66, inpatient=0.2,
        events={"football": 3, "contact": 3, "skiing": 2, "fall": 1, "martial_arts": 1},
    ),
    "varus": Mechanism(
        first={"LCL": 0.85}, with_it={"ACL": 0.3, "PCL": 0.3, "LM": 0.2, "MM": 0.1},
        bruises=("medial_condyle", "medial_tibia", "fibular_head"), age=(33, 11), male=0.75, inpatient=0.35,
        events={"contact": 3, "traffic": 2, "martial_arts": 2, "fall": 1, "football": 1},
    ),
    "dashboard": Mechanism(
        first={"PCL": 0.85}, with_it={"LCL": 0.25, "MCL": 0.15, "ACL": 0.15, "MM": 0.12},
        bruises=("anterior_tibia",), age=(37, 13), male=0.7, inpatient=0.4,
        events={"traffic": 6, "fall": 2, "contact": 1},
    ),
    "patella": Mechanism(
        first={"PD": 0.88}, with_it={"MCL": 0.12, "MM": 0.06}, age=(20, 6), male=0.42, inpatient=0.2,
        events={"dance": 2, "sport_other": 2, "twist": 2, "basketball": 1, "fall": 1},
    ),
    "twist": Mechanism(
        first={"MM": 0.6, "LM": 0.22}, with_it={"MCL": 0.1}, bruises=("medial_tibia",), age=(38, 12), male=0.6,
        events={"twist": 4, "squat": 3, "lifting": 1, "sport_other": 1, "stairs": 1},
    ),
    "wear": Mechanism(
        first={"wear": 1.0}, with_it={"MM": 0.55, "LM": 0.2}, bruises=("medial_tibia",), age=(61, 9), male=0.42,
        heavier=3.5, inpatient=0.12, events={"none": 5, "overuse": 2, "stairs": 1.5, "squat": 1, "fall": 0.5},
    ),
}  # fmt: skip

# share of each mechanism at each center: a sports clinic, a trauma hospital, district hospitals, a rural scanner
CASE_MIX = case_mix(
    MECHANISMS,
    {
        "Northgate": (0.20, 0.26, 0.14, 0.05, 0.06, 0.10, 0.13, 0.06),
        "Harbour": (0.28, 0.14, 0.12, 0.09, 0.13, 0.09, 0.08, 0.07),
        "Meadow": (0.30, 0.15, 0.10, 0.05, 0.06, 0.10, 0.12, 0.12),
        "Outpost": (0.42, 0.08, 0.07, 0.04, 0.05, 0.06, 0.10, 0.18),
        "Riverside": (0.34, 0.12, 0.09, 0.05, 0.06, 0.08, 0.12, 0.14),
        "Uplands": (0.24, 0.20, 0.16, 0.06, 0.06, 0.08, 0.12, 0.08),
    },
)
