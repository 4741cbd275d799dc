"""What a mechanism of injury does to a knee, from mild to severe.

A mechanism decides which structures suffer together (Hayes et al., RadioGraphics 2000;20:S121). Shares are plausible
for a clinic, not epidemiology.
"""

from __future__ import annotations

import numpy as np

from orthodx.synth.knee.lesions import MeniscusTear, PatellarDislocation
from orthodx.synth.knee.mechanisms import CASE_MIX, MECHANISMS
from orthodx.synth.lesion_bone import BoneBruise, Osteophyte
from orthodx.synth.lesion_fluid import Effusion
from orthodx.synth.lesion_ligament import LigamentTear
from orthodx.synth.lesions import Lesion
from orthodx.synth.patients import Clinic, Mechanism, injuries_of, seed_of
from orthodx.synth.protocols import CENTERS


def is_complete_tear(lesion: Lesion) -> bool:
    """Whether it is a ligament torn through."""
    return isinstance(lesion, LigamentTear) and lesion.gap_mm > 0


def lesions_of(rng: np.random.Generator, mechanism: Mechanism, age: int) -> list[Lesion]:
    """What the mechanism does: first its leading injury, then what comes with it."""
    out, hurt = injuries_of(rng, mechanism, _draw)
    bruised = 0.8 if hurt & {"ACL", "PCL", "MCL", "LCL"} else 0.15
    out += [
        BoneBruise(site=site, radius_mm=float(rng.uniform(5, 13)), seed=seed_of(rng))
        for site in mechanism.bruises
        if rng.random() < bruised
    ]
    wear = np.clip((age - 42) / 40, 0, 0.8)
    out += [
        Osteophyte(site=site, size_mm=float(rng.uniform(3.0, 7.0)))
        for site in ("medial_femur", "medial_tibia", "lateral_femur", "lateral_tibia")
        if rng.random() < wear
    ]
    for code in ("MM", "LM"):
        if code not in hurt and rng.random() < np.clip((age - 25) / 70, 0, 0.5):
            out.append(_meniscus(rng, code, "degeneration"))
    ml = _fluid_ml(rng, hurt)
    return [*out, Effusion(volume_ml=ml, seed=seed_of(rng))] if ml else out


def _fluid_ml(rng: np.random.Generator, hurt: set[str]) -> float:
    """Bleeding injuries fill the joint; a healthy knee may hold a few mL more than the next."""
    chance = 0.85 if hurt & {"ACL", "PD"} else 0.6 if hurt & {"PCL", "LCL", "wear"} else 0.35 if hurt else 0.06
    if rng.random() < chance:
        return float(rng.uniform(12, 60) if hurt & {"ACL", "PD"} else rng.uniform(11, 40))
    return float(rng.uniform(1.0, 4.0)) if rng.random() < 0.3 else 0.0


def _draw(rng: np.random.Generator, code: str, severity: float) -> list[Lesion]:
    """A lesion of this code, from mild (severity 0) to the worst (1)."""
    if code in ("MM", "LM"):
        if severity > 0.78 and rng.random() < (0.6 if code == "MM" else 0.3):
            return [_meniscus(rng, code, "bucket_handle", severity)]
        return [_meniscus(rng, code, str(rng.choice(("oblique", "oblique", "vertical", "radial"))), severity)]
    if code == "PD":
        return [_dislocation(rng, severity)]
    if code in ("ACL", "PCL", "MCL", "LCL"):
        return [_ligament(rng, code, severity)]
    return []


def _dislocation(rng: np.random.Generator, severity: float) -> PatellarDislocation:
    return PatellarDislocation(
        shift_mm=3 + 11 * severity,
        tilt_deg=5 + 18 * severity,
        patella_bruise_mm=float(rng.uniform(5, 10)),
        condyle_bruise_mm=float(rng.uniform(7, 14)),
        seed=seed_of(rng),
    )


def _ligament(rng: np.random.Generator, code: str, severity: float) -> LigamentTear:
    width, oedema = {"MCL": (1.6, 6.0), "LCL": (1.0, 3.5)}.get(code, (2.2, 2.5))  # mm more at the worst
    complete = severity > (0.75 if code == "PCL" else 0.5)
    level = rng.normal({"ACL": 0.42, "PCL": 0.5, "MCL": 0.28, "LCL": 0.55}[code], 0.1)
    return LigamentTear(
        code=code,
        level=float(np.clip(level, 0.15, 0.8)),
        share=0.3 + 0.55 * severity,
        swelling_mm=0.6 + width * severity,
        gap_mm=float(rng.uniform(3, 8)) if complete else 0.0,
        droop_deg=float(rng.uniform(8, 28)) if complete and code == "ACL" else 0.0,
        oedema_mm=1.6 + oedema * severity,
        seed=seed_of(rng),
    )


def _meniscus(rng: np.random.Generator, code: str, pattern: str, severity: float = 0.3) -> MeniscusTear:
    bucket = pattern == "bucket_handle"
    where = 0.0 if bucket else rng.normal(-70, 18) if rng.random() < 0.75 else rng.uniform(-45, 60)
    return MeniscusTear(
        code=code,
        pattern=pattern,
        where_deg=float(where),
        arc_deg=float(rng.uniform(170, 230)) if bucket else 35 + 55 * severity,
        width_mm=0.8 + 1.2 * severity,
        seed=seed_of(rng),
    )


CLINIC = Clinic(
    mechanisms=MECHANISMS,
    case_mix=CASE_MIX,
    gaps={name: center.gaps for name, center in CENTERS.items()},
    lesions_of=lesions_of,
    severe=is_complete_tear,
)
