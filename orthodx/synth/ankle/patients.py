"""What a mechanism of injury does to an ankle, from mild to severe.

Shares are plausible for a clinic, not epidemiology: the anterior talofibular ligament tears first, the calcaneofibular
with it (Brostrom 1964), and sprains bruise and break the dome.
"""

from __future__ import annotations

import numpy as np

from orthodx.synth.ankle.lesions import AchillesTear, OsteochondralLesion, SoftOedema, Tendinosis
from orthodx.synth.ankle.mechanisms import CASE_MIX, MECHANISMS
from orthodx.synth.lesion_bone import BoneBruise, Osteophyte
from orthodx.synth.lesion_fluid import Effusion
from orthodx.synth.lesion_ligament import LigamentTear
from orthodx.synth.lesions import Lesion
from orthodx.synth.patients import Clinic, Mechanism, injuries_of, seed_of
from orthodx.synth.protocols import CENTERS

RIMS = ("front_of_tibia", "talar_neck", "back_of_tibia", "medial_malleolus")


def keeps_in_hospital(lesion: Lesion) -> bool:
    """Whether it is a tendon torn through or a piece of bone out of place."""
    if isinstance(lesion, AchillesTear):
        return lesion.gap_mm > 0
    return isinstance(lesion, OsteochondralLesion) and lesion.fragment == "displaced"


def lesions_of(rng: np.random.Generator, mechanism: Mechanism, age: int) -> list[Lesion]:
    """What the mechanism does: first its leading injury, then what comes with it."""
    out, hurt = injuries_of(rng, mechanism, _draw)
    bruised = 0.5 if hurt & {"ATFL", "CFL", "OLT"} else 0.15
    out += [
        BoneBruise(site=site, radius_mm=float(rng.uniform(3.5, 9)), seed=seed_of(rng))
        for site in mechanism.bruises
        if rng.random() < bruised
    ]
    wear = np.clip((age - 45) / 60, 0, 0.5)
    if "osteophytes" not in hurt:
        out += [_spur(rng, site) for site in RIMS if rng.random() < wear]
    if not hurt & {"ATR", "tendinosis"} and rng.random() < np.clip((age - 25) / 150, 0.02, 0.3):
        out.append(_tendinosis(rng, 0.4))
    out += [
        SoftOedema(
            site=site, size=float(rng.uniform(0.6, 1.1)), density=float(rng.uniform(0.25, 0.7)), seed=seed_of(rng)
        )
        for site, chance in _oedema(hurt, age).items()
        if rng.random() < chance
    ]
    ml = _fluid_ml(rng, hurt)
    return [*out, Effusion(volume_ml=ml, seed=seed_of(rng), code="effusion")] if ml else out


def _oedema(hurt: set[str], age: int) -> dict[str, float]:
    """Site -> chance of wet fat: round what is hurt, after a blow, in old legs."""
    sprained, tired = bool(hurt & {"ATFL", "CFL", "OLT"}), 0.04 + 0.1 * float(np.clip((age - 40) / 40, 0, 1))
    return {
        "lateral": 0.45 if sprained else 0.08 + tired,
        "medial": 0.2 if sprained else 0.04 + tired,
        "front": 0.15 if sprained else tired,
        "before_achilles": 0.3 if "tendinosis" in hurt else 0.05 + tired,
    }


def _fluid_ml(rng: np.random.Generator, hurt: set[str]) -> float:
    """A sprained or broken joint fills; a healthy one may hold a little more than the next."""
    if rng.random() < (0.7 if hurt & {"ATFL", "CFL", "OLT"} else 0.35 if "osteophytes" in hurt else 0.12):
        return float(rng.uniform(2.0, 9.0))
    return float(rng.uniform(0.3, 1.8)) if rng.random() < 0.4 else 0.0


def _draw(rng: np.random.Generator, code: str, severity: float) -> list[Lesion]:
    """Lesions of this code, from mild (severity 0) to the worst (1)."""
    if code in ("ATFL", "CFL"):
        return [_ligament(rng, code, severity)]
    if code == "ATR":
        return [_rupture(rng, severity)]
    if code == "OLT":
        return [_dome(rng, severity)]
    if code == "tendinosis":
        return [_tendinosis(rng, severity)]
    return [_spur(rng, site) for site in RIMS if rng.random() < 0.35 + 0.5 * severity]


def _ligament(rng: np.random.Generator, code: str, severity: float) -> LigamentTear:
    complete = severity > 0.5
    old = not complete and rng.random() < 0.3  # healed thick: no oedema any more
    return LigamentTear(
        code=code,
        level=float(np.clip(rng.normal(0.4, 0.15), 0.15, 0.8)),
        share=0.4 + 0.5 * severity,
        swelling_mm=0.8 + 1.5 * severity,
        gap_mm=float(rng.uniform(3, 7)) if complete else 0.0,
        droop_deg=0.0,
        oedema_mm=0.3 if old else 2.0 + 4.5 * severity,
        seed=seed_of(rng),
    )


def _rupture(rng: np.random.Generator, severity: float) -> AchillesTear:
    complete = severity > 0.45
    return AchillesTear(
        level_mm=float(np.clip(rng.normal(30, 10), 10, 52)),
        share=1.0 if complete else 0.25 + 0.9 * severity,
        gap_mm=6 + 32 * (severity - 0.45) * float(rng.uniform(0.7, 1.3)) if complete else 0.0,
        thickening=0.4 + 0.7 * severity,
        wave_mm=float(rng.uniform(1.0, 2.6)) if complete else 0.0,
        oedema_mm=3 + 8 * severity,
        seed=seed_of(rng),
    )


def _tendinosis(rng: np.random.Generator, severity: float) -> Tendinosis:
    return Tendinosis(
        level_mm=float(rng.uniform(12, 45)),
        length_mm=float(rng.uniform(25, 50)),
        thickening=0.25 + 0.5 * severity,
        grey=float(rng.uniform(0.0, 0.35)),
        seed=seed_of(rng),
    )


def _dome(rng: np.random.Generator, severity: float) -> OsteochondralLesion:
    medial = rng.random() < 0.64
    fragment = (
        "none" if severity < 0.3 else "attached" if severity < 0.58 else "loose" if severity < 0.85 else "displaced"
    )
    return OsteochondralLesion(
        side="medial" if medial else "lateral",
        forward_mm=float(rng.normal(-1.0 if medial else 3.0, 3.5)),
        radius_mm=3.2 + 3.3 * severity,
        depth_mm=2.8 + 3.5 * severity,
        softened=0.35 + 0.6 * severity,
        oedema_mm=float(rng.uniform(0.5, 2.0)) + 3.0 * severity,
        cyst_mm=float(rng.uniform(1.6, 4.0)) if severity > 0.2 and rng.random() < 0.45 else 0.0,
        fragment=fragment,
        seed=seed_of(rng),
    )


def _spur(rng: np.random.Generator, site: str) -> Osteophyte:
    return Osteophyte(site=site, size_mm=float(rng.uniform(2.5, 5.5)))


CLINIC = Clinic(
    mechanisms=MECHANISMS,
    case_mix=CASE_MIX,
    gaps={name: center.gaps for name, center in CENTERS.items()},
    lesions_of=lesions_of,
    severe=keeps_in_hospital,
)
