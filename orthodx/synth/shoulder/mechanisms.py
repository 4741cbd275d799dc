"""How shoulders get hurt: a table of mechanisms, who they happen to, and how often each center sees them."""

from __future__ import annotations

from orthodx.synth.patients import UNHURT, Mechanism, case_mix

MECHANISMS: dict[str, Mechanism] = {
    UNHURT: Mechanism(
        age=(43, 15), events={"none": 6, "overuse": 2, "fall": 1, "lifting": 1, "sport_other": 0.5},
    ),
    "impingement": Mechanism(
        first={"SSP": 0.82, "SASD": 0.6}, with_it={"ISP": 0.25, "AC": 0.45, "LHBT_injury": 0.2, "LHBT_effusion": 0.2},
        age=(56, 10), male=0.5, heavier=1.0, inpatient=0.05,
        events={"none": 4, "overuse": 4, "lifting": 1.5, "throwing": 0.5, "fall": 1},
    ),
    "cuff_fall": Mechanism(
        first={"SSP": 0.9}, with_it={"ISP": 0.4, "SSC": 0.35, "SASD": 0.6, "LHBT_effusion": 0.35, "LHBT_injury": 0.25},
        bruises=("greater_tuberosity",), age=(60, 9), male=0.55, inpatient=0.3,
        events={"fall": 6, "traffic": 1.5, "lifting": 1.5, "stairs": 0.5},
    ),
    "pulley": Mechanism(
        first={"LHBT_injury": 0.85, "SSC": 0.8}, with_it={"SSP": 0.3, "LHBT_effusion": 0.55, "SASD": 0.2},
        bruises=("lesser_tuberosity",), age=(54, 10), male=0.7, inpatient=0.2,
        events={"lifting": 3, "fall": 2.5, "overuse": 1.5, "contact": 0.7, "throwing": 0.7},
    ),
    "dislocation": Mechanism(
        first={"GHJ": 0.95}, with_it={"SSP": 0.12, "SSC": 0.15, "LHBT_effusion": 0.15},
        bruises=("posterolateral_head", "anterior_glenoid"), age=(27, 9), male=0.75, inpatient=0.35,
        events={"contact": 3, "fall": 2.5, "skiing": 1.5, "football": 1.5, "handball": 1, "traffic": 0.7},
    ),
    "thrower": Mechanism(
        first={"GHJ": 0.6, "ISP": 0.5}, with_it={"LHBT_injury": 0.3, "SSP": 0.3, "LHBT_effusion": 0.2},
        age=(29, 8), male=0.65, inpatient=0.1,
        events={"throwing": 4, "handball": 2, "tennis": 2, "overuse": 1.5, "sport_other": 1},
    ),
    "ac_strain": Mechanism(
        first={"AC": 0.9}, with_it={"SASD": 0.15, "SSP": 0.12}, bruises=("acromion",), age=(42, 12), male=0.8,
        events={"lifting": 3, "overuse": 2.5, "contact": 1, "fall": 1, "cycling": 1},
    ),
    "wear": Mechanism(
        first={"wear": 1.0}, with_it={"GHJ": 0.85, "AC": 0.55, "SSP": 0.35, "LHBT_effusion": 0.4, "LHBT_injury": 0.2},
        age=(67, 8), male=0.45, heavier=2.0, inpatient=0.15,
        events={"none": 5, "overuse": 2.5, "lifting": 0.7, "fall": 0.7},
    ),
    "stiff": Mechanism(
        first={"LHBT_effusion": 0.55, "SASD": 0.45}, with_it={"ISP": 0.15, "GHJ": 0.2}, age=(53, 8), male=0.4,
        heavier=0.5, events={"none": 5, "overuse": 2, "fall": 0.5, "lifting": 0.5},
    ),
}  # fmt: skip

# share of each mechanism at each center: a sports clinic, a trauma hospital, district hospitals, a rural scanner
CASE_MIX = case_mix(
    MECHANISMS,
    {
        "Northgate": (0.20, 0.16, 0.08, 0.09, 0.17, 0.13, 0.08, 0.04, 0.05),
        "Harbour": (0.26, 0.14, 0.16, 0.09, 0.13, 0.04, 0.05, 0.07, 0.06),
        "Meadow": (0.28, 0.20, 0.11, 0.08, 0.07, 0.04, 0.07, 0.09, 0.06),
        "Outpost": (0.38, 0.17, 0.10, 0.06, 0.05, 0.02, 0.06, 0.10, 0.06),
        "Riverside": (0.32, 0.18, 0.11, 0.07, 0.06, 0.03, 0.06, 0.10, 0.07),
        "Uplands": (0.24, 0.18, 0.12, 0.09, 0.10, 0.07, 0.07, 0.07, 0.06),
    },
)
