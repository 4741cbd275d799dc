"""What a mechanism of injury does to a shoulder, from mild to severe.

A full tear of the cuff opens the joint to the bursa, so fluid fills both (Teefey et al., J Bone Joint Surg
2000;82:498). Shares are plausible for a clinic, not epidemiology.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from orthodx.synth.lesions import Lesion
from orthodx.synth.patients import Clinic, Mechanism, injuries_of, seed_of
from orthodx.synth.protocols import CENTERS
from orthodx.synth.shoulder.lesions import (
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
from orthodx.synth.shoulder.mechanisms import CASE_MIX, MECHANISMS

WIDEST_MM = 34.0  # of a retracted tear along the tendon


def is_full_tear(lesion: Lesion) -> bool:
    """Whether it is a tendon torn through."""
    return (isinstance(lesion, CuffTear) and lesion.depth >= 1) or (
        isinstance(lesion, BicepsInjury) and lesion.gap_mm > 0
    )


def lesions_of(rng: np.random.Generator, mechanism: Mechanism, age: int) -> list[Lesion]:
    """What the mechanism does: first its leading injuries, then what comes with it."""
    out, hurt = injuries_of(rng, mechanism, partial(_draw, mechanism))
    out += _with_full_tears(rng, out, hurt, age)
    bruised = 0.75 if hurt else 0.1
    out += [_bruise(rng, site) for site in mechanism.bruises if rng.random() < bruised]
    return [*out, *_by_the_way(rng, hurt, age)]


def _with_full_tears(rng: np.random.Generator, drawn: list[Lesion], hurt: set[str], age: int) -> list[Lesion]:
    """A cuff that is open lets fluid from the joint into the bursa; muscles waste behind a gap that is long there."""
    torn = [one for one in drawn if isinstance(one, CuffTear) and one.depth >= 1]
    if not torn:
        return []
    out: list[Lesion] = []
    for tear in torn:
        if tear.code != "SSC" and age > 45 and rng.random() < tear.length_mm / 30:
            share = float(np.clip(tear.length_mm / 60 + rng.normal(0, 0.08), 0.1, 0.6))
            out.append(FattyMuscle(of=tear.code, share=share, seed=seed_of(rng)))
    if "SASD" not in hurt and rng.random() < 0.85:
        hurt.add("SASD")
        out += _bursa(rng, float(rng.uniform(0.3, 1.0)))
    if "GHJ" not in hurt and rng.random() < 0.6:
        hurt.add("GHJ")
        out.append(JointEffusion(volume_ml=float(rng.uniform(2, 9)), seed=seed_of(rng)))
    if "LHBT_effusion" not in hurt and rng.random() < 0.35:
        hurt.add("LHBT_effusion")
        out += _sheath(rng, float(rng.random()))
    return out


def _by_the_way(rng: np.random.Generator, hurt: set[str], age: int) -> list[Lesion]:
    """What is found in anybody of this age, and traces of fluid that are nothing."""
    out: list[Lesion] = []
    old = float(np.clip((age - 30) / 45, 0, 1))
    if rng.random() < 0.25 * old:
        out.append(FattyMuscle(of="ISP", share=float(rng.uniform(0.05, 0.25)), seed=seed_of(rng)))
    if "AC" not in hurt and rng.random() < 0.6 * old:
        out.append(_ac(rng, "ac_wear", 0.0))
    for _ in range(int(rng.integers(1, 4)) if rng.random() < 0.35 * old else 0):
        out.append(
            TuberosityCyst(radius_mm=float(rng.uniform(1.2, 2.8)), where_mm=float(rng.normal(-7, 5)), seed=seed_of(rng))
        )
    if "SSP" not in hurt and rng.random() < 0.3:
        out.append(MagicAngle(length_mm=float(rng.uniform(4, 8)), seed=seed_of(rng)))
    if "GHJ" not in hurt and rng.random() < 0.3:
        out.append(JointEffusion(volume_ml=float(rng.uniform(0.02, 0.1)), seed=seed_of(rng)))
    if "LHBT_effusion" not in hurt and rng.random() < 0.3:
        out.append(SheathFluid(volume_ml=float(rng.uniform(0.03, 0.16)), seed=seed_of(rng)))
    if "SASD" not in hurt and rng.random() < 0.3:
        out.append(BursalFluid(volume_ml=float(rng.uniform(0.05, 0.35)), wall_mm=0.0, seed=seed_of(rng)))
    return out


def _draw(mechanism: Mechanism, rng: np.random.Generator, code: str, severity: float) -> list[Lesion]:
    """Lesions of this code, from mild (severity 0) to the worst (1)."""
    if code in ("SSP", "ISP", "SSC"):
        return [_cuff(rng, code, severity)]
    if code == "LHBT_injury":
        return [_biceps(rng, severity)]
    if code == "LHBT_effusion":
        return _sheath(rng, severity)
    if code == "SASD":
        return _bursa(rng, severity)
    if code == "AC":
        return [_ac(rng, "AC", severity)]
    if code == "GHJ":
        return _joint(rng, "wear" in mechanism.first, "posterolateral_head" in mechanism.bruises, severity)
    return []


def _cuff(rng: np.random.Generator, code: str, severity: float) -> CuffTear:
    """Below 0.35 tendinosis, then a partial tear, above 0.6 torn through, at the worst drawn back far."""
    full = severity > 0.6
    partial = 0.35 < severity <= 0.6
    worst = np.clip((severity - 0.6) / 0.4, 0, 1)
    front = {"SSP": 0.25, "ISP": 0.4, "SSC": 0.5}[code]  # tears begin next to the long biceps tendon
    return CuffTear(
        code=code,
        zone_mm=11 + 14 * severity,
        swelling_mm=0.4 + 1.6 * min(severity, 0.6),
        depth=1.0 if full else float(rng.uniform(0.3, 0.7)) if partial else 0.0,
        surface=str(rng.choice(("joint", "joint", "bursa", "inside"))),
        where=float(np.clip(rng.normal(front, 0.3), -0.8, 0.8)) * (1 - 0.7 * float(worst)),
        width=float(0.3 + 0.5 * severity + 0.6 * worst),
        from_foot_mm=float(rng.choice((0.0, 0.0, 2.0, 4.0))) * (1 - float(worst)),
        length_mm=float(5 + 5 * severity + (WIDEST_MM - 10) * worst**1.5),
        seed=seed_of(rng),
    )


def _biceps(rng: np.random.Generator, severity: float) -> BicepsInjury:
    """Signal, then thickening, then out of its groove or torn through."""
    torn = severity > 0.75 and rng.random() < 0.6
    out_of_groove = severity > 0.5 and not torn and rng.random() < 0.7
    return BicepsInjury(
        swelling_mm=0.5 + 1.3 * severity,
        share=0.25 + 0.6 * severity,
        gap_mm=float(rng.uniform(8, 24)) if torn else 0.0,
        shift_deg=float(rng.uniform(22, 50)) if out_of_groove else 0.0,
        seed=seed_of(rng),
    )


def _sheath(rng: np.random.Generator, severity: float) -> list[Lesion]:
    return [SheathFluid(volume_ml=0.5 + 3.0 * severity, seed=seed_of(rng))]


def _bursa(rng: np.random.Generator, severity: float) -> list[Lesion]:
    return [BursalFluid(volume_ml=0.9 + 7.0 * severity**1.5, wall_mm=1.2 * severity, seed=seed_of(rng))]


def _ac(rng: np.random.Generator, code: str, severity: float) -> AcArthrosis:
    if code == "ac_wear":
        spur, capsule = float(rng.uniform(0.8, 1.7)), float(rng.uniform(0.6, 1.5))
        return AcArthrosis(spur_mm=spur, capsule_mm=capsule, oedema_mm=0.0, fluid=0.0, seed=seed_of(rng), code=code)
    return AcArthrosis(
        spur_mm=1.2 + 3.0 * severity,
        capsule_mm=1.0 + 2.6 * severity,
        oedema_mm=float(2.5 + 8 * severity) if rng.random() < 0.2 + 0.7 * severity else 0.0,
        fluid=float(np.clip(severity + rng.normal(0, 0.25), 0, 1)),
        seed=seed_of(rng),
    )


def _joint(rng: np.random.Generator, worn: bool, dislocated: bool, severity: float) -> list[Lesion]:
    """Worn: cartilage and fluid. Dislocated: the labrum in front and below. Otherwise: the labrum above, or fluid."""
    out: list[Lesion] = []
    if worn:
        for bone in ("humerus", "scapula"):
            if bone == "humerus" or rng.random() < severity + 0.2:
                out.append(_cartilage(rng, bone, severity))
    elif dislocated or rng.random() < 0.7:
        where = rng.normal(125, 15) if dislocated else rng.normal(0, 20)
        out.append(
            LabralTear(
                where_deg=float(where),
                arc_deg=45 + 75 * severity,
                width_mm=0.9 + 1.5 * severity,
                cyst_mm=float(rng.uniform(3, 8)) if rng.random() < 0.25 and not dislocated else 0.0,
                seed=seed_of(rng),
            )
        )
    if not out or rng.random() < 0.75:
        out.append(JointEffusion(volume_ml=1.6 + 10.4 * severity, seed=seed_of(rng)))
    return out


def _cartilage(rng: np.random.Generator, bone: str, severity: float) -> CartilageLoss:
    return CartilageLoss(
        bone=bone,
        radius_mm=5 + 10 * severity,
        depth=0.5 + 0.5 * severity,
        oedema_mm=float(3 + 7 * severity) if severity > 0.3 else 0.0,
        spur_mm=float(6 * severity) if severity > 0.35 else 0.0,
        seed=seed_of(rng),
    )


def _bruise(rng: np.random.Generator, site: str) -> BoneBruise:
    dent = float(rng.uniform(1.0, 4.5)) if site == "posterolateral_head" and rng.random() < 0.7 else 0.0
    radius = float(rng.uniform(4, 7)) if site in ("anterior_glenoid", "acromion") else float(rng.uniform(5, 12))
    return BoneBruise(site=site, radius_mm=radius, dent_mm=dent, seed=seed_of(rng))


CLINIC = Clinic(
    mechanisms=MECHANISMS,
    case_mix=CASE_MIX,
    gaps={name: center.gaps for name, center in CENTERS.items()},
    lesions_of=lesions_of,
    severe=is_full_tear,
)
