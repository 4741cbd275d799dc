"""MR signal of each tissue: spin-echo and gradient-echo equations, fat suppression, random contrasts.

T1 and T2 (ms) at 1.5 and 3 T: Gold et al., AJR 2004;183:343 (muscle, cartilage, fluid, fat, marrow) and
Stanisz et al., MRM 2005;54:507; short-T2 tissues (meniscus, ligament, tendon, cortex) after
Robson & Bydder, NMR Biomed 2006;19:765. Below 1 T, T1 is scaled by (B / 1.5)^(1/3) (Bottomley 1984).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from orthodx.synth.knee.tissues import TISSUES


@dataclass(frozen=True)
class Relaxation:
    """Proton density (water = 1), T1 and T2 at 1.5 T and 3 T in ms, T2* in ms, fat fraction."""

    pd: float
    t1_15: float
    t1_30: float
    t2: float
    t2_star: float
    fat: float = 0.0


_MARROW = Relaxation(0.85, 288, 365, 133, 25, 0.88)
_CORTEX = Relaxation(0.12, 250, 300, 1.0, 0.6)
_CARTILAGE = Relaxation(0.72, 1060, 1240, 40, 22)
_MENISCUS = Relaxation(0.62, 800, 960, 11, 6)
_LIGAMENT = Relaxation(0.62, 750, 900, 9, 5)
_TENDON = Relaxation(0.58, 650, 750, 5, 2.5)
# injured tissue is wetter than its healthy self: longer T1 and T2 (bright on fat-suppressed PD, dark on T1)
_BRUISE = Relaxation(0.88, 950, 1150, 80, 25, 0.28)
_TORN_LIGAMENT = Relaxation(0.8, 1150, 1350, 48, 22)
_TORN_MENISCUS = Relaxation(0.85, 1400, 1700, 75, 35)
RELAXATION: dict[str, Relaxation] = {
    **dict.fromkeys(("femur", "tibia", "fibula", "patella"), _MARROW),
    **{f"{name}_cortex": _CORTEX for name in ("femur", "tibia", "fibula", "patella")},
    **dict.fromkeys(("femur_physis", "tibia_physis"), Relaxation(0.4, 400, 480, 25, 6, 0.3)),
    **dict.fromkeys(("femoral_cartilage", "tibial_cartilage", "patellar_cartilage"), _CARTILAGE),
    **dict.fromkeys(("medial_meniscus", "lateral_meniscus"), _MENISCUS),
    "acl": Relaxation(0.66, 800, 960, 15, 8),
    "pcl": _LIGAMENT,
    "mcl": _LIGAMENT,
    "lcl": _LIGAMENT,
    "patellar_tendon": _TENDON,
    "quadriceps_tendon": _TENDON,
    "fat_pad": Relaxation(0.85, 310, 390, 110, 24, 0.8),
    "muscle": Relaxation(0.75, 1130, 1420, 34, 24),
    "fat": Relaxation(0.95, 288, 371, 150, 30, 0.95),
    "skin": Relaxation(0.6, 750, 900, 28, 12),
    "fluid": Relaxation(1.0, 2850, 3620, 900, 200),
    "vessel": Relaxation(0.8, 1440, 1930, 120, 40),
    "capsule": Relaxation(0.6, 750, 900, 10, 5),
    "oedema": Relaxation(0.9, 1400, 1700, 90, 40, 0.1),
    **dict.fromkeys(("femur_bruise", "tibia_bruise", "fibula_bruise", "patella_bruise"), _BRUISE),
    **dict.fromkeys(("acl_torn", "pcl_torn", "mcl_torn", "lcl_torn"), _TORN_LIGAMENT),
    **dict.fromkeys(("medial_meniscus_torn", "lateral_meniscus_torn"), _TORN_MENISCUS),
}
# tissues that belong together under a random contrast: they keep about one signal
GROUPS = (
    ("femur", "tibia", "fibula", "patella"),
    ("femur_cortex", "tibia_cortex", "fibula_cortex", "patella_cortex"),
    ("femur_physis", "tibia_physis"),
    ("femoral_cartilage", "tibial_cartilage", "patellar_cartilage"),
    ("medial_meniscus", "lateral_meniscus"),
    ("acl", "pcl"),
    ("mcl", "lcl", "capsule"),
    ("patellar_tendon", "quadriceps_tendon"),
    ("fat", "fat_pad"),
    ("muscle",),
    ("skin",),
    ("fluid",),
    ("vessel",),
)
# under a random contrast injured tissue lies between fluid and its healthy self: name -> (tissue, share of fluid)
INJURED = {
    "oedema": ("muscle", 0.7),
    **{f"{name}_bruise": (name, 0.55) for name in ("femur", "tibia", "fibula", "patella")},
    **{f"{name}_torn": (name, 0.55) for name in ("acl", "pcl", "mcl", "lcl")},
    **{f"{name}_torn": (name, 0.7) for name in ("medial_meniscus", "lateral_meniscus")},
}


def _injured(signal: np.ndarray) -> np.ndarray:
    """Fill in the signals of injured tissue, drawing nothing: what healthy knees look like cannot change by it."""
    for name, (healthy, share) in INJURED.items():
        signal[TISSUES[name]] = share * signal[TISSUES["fluid"]] + (1 - share) * signal[TISSUES[healthy]]
    return signal


def _t1(tissue: Relaxation, tesla: float) -> float:
    if tesla < 1.0:
        return tissue.t1_15 * (tesla / 1.5) ** (1 / 3)
    return tissue.t1_15 if tesla < 2.2 else tissue.t1_30


def sequence_signal(
    sequence: str, tr: float, te: float, tesla: float, fat_suppressed: bool, leak: float = 0.12
) -> np.ndarray:
    """Noise-free signal of every tissue, (256,) float32; tr and te in ms, tesla in T.

    sequence: "PD", "T1", "T2" (spin echo), "T2STAR" (spoiled gradient echo, 25 degrees) or "DESS".
    leak: share of the fat signal that fat suppression leaves.
    """
    out = np.zeros(256, np.float32)
    for name, tissue in RELAXATION.items():
        t1 = _t1(tissue, tesla)
        if sequence == "T2STAR":
            e1, a = np.exp(-tr / t1), np.deg2rad(25)
            signal = np.sin(a) * (1 - e1) / (1 - np.cos(a) * e1) * np.exp(-te / tissue.t2_star) * 3
        elif sequence == "DESS":  # FISP + PSIF echoes, to first order in TE (Welsch 2009)
            signal = 0.35 * np.exp(-te / tissue.t2) + 0.9 * np.exp(-2 * (tr - te) / tissue.t2) * np.sqrt(tissue.t2 / t1)
        else:
            # the echo train refocuses J-coupling: fat stays bright on fast spin echo
            signal = (1 - np.exp(-tr / t1)) * np.exp(-te / tissue.t2)
        signal *= tissue.pd
        out[TISSUES[name]] = signal * ((1 - tissue.fat) + tissue.fat * leak) if fat_suppressed else signal
    return out / max(float(out[TISSUES["fat"]]), float(out[TISSUES["muscle"]]), 1e-3)


def random_signal(rng: np.random.Generator) -> np.ndarray:
    """A contrast no scanner made: each tissue group has its own random signal, (256,) float32."""
    out = np.zeros(256, np.float32)
    for group in GROUPS:
        level = rng.uniform(0.03, 1.0)
        for name in group:
            out[TISSUES[name]] = level * rng.uniform(0.92, 1.08)
    return _injured(out)


def mr_like_signal(rng: np.random.Generator) -> np.ndarray:
    """Random levels in the ranges and order that real knee MRI shows, (256,) float32."""
    suppressed = rng.random() < 0.45
    fat = rng.uniform(0.05, 0.3) if suppressed else rng.uniform(0.7, 1.2)
    marrow = fat * rng.uniform(0.6, 1.0)
    cartilage, muscle = rng.uniform(0.3, 0.95), rng.uniform(0.15, 0.5)
    dark = rng.uniform(0.02, 0.18)
    levels = [
        marrow, rng.uniform(0.02, 0.15), marrow * rng.uniform(0.3, 0.9), cartilage, dark * rng.uniform(0.6, 1.6),
        dark * rng.uniform(1.0, 3.0), dark * rng.uniform(0.7, 2.0), dark * rng.uniform(0.3, 1.2),
        fat, muscle, rng.uniform(0.2, 0.7), rng.uniform(0.35, 1.2), rng.uniform(0.02, 1.0),
    ]  # fmt: skip
    out = np.zeros(256, np.float32)
    for group, level in zip(GROUPS, levels, strict=True):
        for name in group:
            out[TISSUES[name]] = level * rng.uniform(0.9, 1.1)
    return _injured(out)


def jitter(signal: np.ndarray, rng: np.random.Generator, sd: float = 0.1) -> np.ndarray:
    """Multiply every tissue by its own factor: patients differ."""
    return (signal * np.exp(rng.normal(0, sd, signal.shape))).astype(np.float32)
