"""Relaxation of what limbs are made of.

T1 and T2 (ms) at 1.5 and 3 T: Gold et al., AJR 2004;183:343 (muscle, cartilage, fluid, fat, marrow) and
Stanisz et al., MRM 2005;54:507; short-T2 tissues (fibrocartilage, ligament, tendon, cortex) after
Robson & Bydder, NMR Biomed 2006;19:765.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Relaxation:
    """Proton density (water = 1), T1 and T2 at 1.5 T and 3 T in ms, T2* in ms, fat fraction."""

    pd: float
    t1_15: float
    t1_30: float
    t2: float
    t2_star: float
    fat: float = 0.0


MARROW = Relaxation(0.85, 288, 365, 133, 25, 0.88)
CORTEX = Relaxation(0.12, 250, 300, 1.0, 0.6)
PHYSIS = Relaxation(0.4, 400, 480, 25, 6, 0.3)
CARTILAGE = Relaxation(0.72, 1060, 1240, 40, 22)
FIBROCARTILAGE = Relaxation(0.62, 800, 960, 11, 6)
LIGAMENT = Relaxation(0.62, 750, 900, 9, 5)
TENDON = Relaxation(0.58, 650, 750, 5, 2.5)
CAPSULE = Relaxation(0.6, 750, 900, 10, 5)
FAT = Relaxation(0.95, 288, 371, 150, 30, 0.95)
FAT_PAD = Relaxation(0.85, 310, 390, 110, 24, 0.8)
MUSCLE = Relaxation(0.75, 1130, 1420, 34, 24)
SKIN = Relaxation(0.6, 750, 900, 28, 12)
FLUID = Relaxation(1.0, 2850, 3620, 900, 200)
VESSEL = Relaxation(0.8, 1440, 1930, 120, 40)
# injured tissue is wetter than its healthy self: longer T1 and T2 (bright on fat-suppressed PD, dark on T1)
OEDEMA = Relaxation(0.9, 1400, 1700, 90, 40, 0.1)
BRUISE = Relaxation(0.88, 950, 1150, 80, 25, 0.28)
TORN_LIGAMENT = Relaxation(0.8, 1150, 1350, 48, 22)
TORN_FIBROCARTILAGE = Relaxation(0.85, 1400, 1700, 75, 35)
