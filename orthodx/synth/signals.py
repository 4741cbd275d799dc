"""MR signal of each tissue: spin-echo and gradient-echo equations, fat suppression, random contrasts.

Below 1 T, T1 is scaled by (B / 1.5)^(1/3) (Bottomley 1984).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from orthodx.synth.relaxation import Relaxation
from orthodx.synth.tissues import TissueTable

BRIGHT = ("fat", "muscle")  # the brighter of them has the signal 1; without them, the brightest tissue


def _injured(signal: np.ndarray, tissues: TissueTable) -> np.ndarray:
    """Fill in the signals of injured tissue, drawing nothing: what healthy joints look like cannot change by it."""
    for row in tissues.rows.values():
        if row.healthy is not None:
            signal[row.value] = row.wet * signal[tissues["fluid"]] + (1 - row.wet) * signal[tissues[row.healthy]]
    return signal


def _t1(tissue: Relaxation, tesla: float) -> float:
    if tesla < 1.0:
        return tissue.t1_15 * (tesla / 1.5) ** (1 / 3)
    return tissue.t1_15 if tesla < 2.2 else tissue.t1_30


def sequence_signal(
    tissues: TissueTable, sequence: str, tr: float, te: float, tesla: float, fat_suppressed: bool, leak: float = 0.12
) -> np.ndarray:
    """Noise-free signal of every tissue, (256,) float32; tr and te in ms, tesla in T.

    sequence: "PD", "T1", "T2" (spin echo), "T2STAR" (spoiled gradient echo, 25 degrees) or "DESS".
    leak: share of the fat signal that fat suppression leaves.
    """
    out = np.zeros(256, np.float32)
    for row in tissues.rows.values():
        tissue = row.relaxation
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
        out[row.value] = signal * ((1 - tissue.fat) + tissue.fat * leak) if fat_suppressed else signal
    bright = [out[tissues[name]] for name in BRIGHT if name in tissues] or [out.max()]
    return out / max(1e-3, *map(float, bright))


# sequence -> how often, TR and TE in ms, how often fat is suppressed
SEQUENCES = {
    "PD": (0.25, (1500.0, 5000.0), (8.0, 50.0), 0.5),
    "T1": (0.4, (300.0, 900.0), (7.0, 30.0), 0.15),
    "T2": (0.2, (2500.0, 6000.0), (50.0, 110.0), 0.5),
    "T2STAR": (0.15, (20.0, 800.0), (4.0, 22.0), 0.3),
}


def random_sequence_signal(rng: np.random.Generator, tissues: TissueTable) -> np.ndarray:
    """Signals (256,) float32 of a sequence set at random, at 0.2 to 3 T; every tissue jittered by a fifth."""
    name = str(rng.choice(list(SEQUENCES), p=[often for often, *_ in SEQUENCES.values()]))
    _, tr, te, suppressed = SEQUENCES[name]
    signal = sequence_signal(
        tissues,
        name,
        float(np.exp(rng.uniform(*np.log(tr)))),
        float(np.exp(rng.uniform(*np.log(te)))),
        float(np.exp(rng.uniform(np.log(0.2), np.log(3.0)))),
        bool(rng.random() < suppressed),
        float(rng.uniform(0.03, 0.35)),
    )
    return jitter(signal, rng, 0.2)


def random_signal(rng: np.random.Generator, tissues: TissueTable) -> np.ndarray:
    """A contrast no scanner made: each kind of tissue has its own random signal, (256,) float32."""
    out = np.zeros(256, np.float32)
    for group in tissues.groups:
        level = rng.uniform(0.03, 1.0)
        for value in group:
            out[value] = level * rng.uniform(0.92, 1.08)
    return _injured(out, tissues)


def _of_kinds(rng: np.random.Generator, tissues: TissueTable, levels: Sequence[float]) -> np.ndarray:
    """Signals (256,) float32 of `levels` of the `KINDS`, each tissue within a tenth of it."""
    out = np.zeros(256, np.float32)
    for group, level in zip(tissues.groups, levels, strict=True):
        for value in group:
            out[value] = level * rng.uniform(0.9, 1.1)
    return _injured(out, tissues)


def water_excited_signal(rng: np.random.Generator, tissues: TissueTable) -> np.ndarray:
    """Random levels of 3D gradient echoes that excite water, DESS above all, (256,) float32.

    Marrow and fat as dark as cortex, muscle among the brightest, fluid up to four times as bright as cartilage,
    fibrocartilage and cruciates grey: what two echoes of a DESS show (first bright muscle, then fluid only).
    """
    fat = rng.uniform(0.02, 0.2)
    cartilage = rng.uniform(0.25, 1.0)
    return _of_kinds(
        rng,
        tissues,
        (
            fat * rng.uniform(0.5, 1.3),  # marrow
            rng.uniform(0.01, 0.1),  # cortex
            rng.uniform(0.03, 0.4),  # physis
            cartilage,
            cartilage * rng.uniform(0.1, 0.85),  # fibrocartilage
            rng.uniform(0.08, 0.9),  # inner ligament: at short echo times as bright as muscle
            rng.uniform(0.03, 0.35),  # ligament
            rng.uniform(0.02, 0.3),  # tendon
            fat,
            rng.uniform(0.25, 1.0),  # muscle
            rng.uniform(0.1, 0.7),  # skin
            cartilage * np.exp(rng.uniform(np.log(0.9), np.log(4.0))),  # fluid
            rng.uniform(0.05, 1.5),  # vessel
        ),
    )


def mr_like_signal(rng: np.random.Generator, tissues: TissueTable) -> np.ndarray:
    """Random levels in the ranges and order that real MRI of joints shows, (256,) float32."""
    suppressed = rng.random() < 0.45
    fat = rng.uniform(0.05, 0.3) if suppressed else rng.uniform(0.7, 1.2)
    marrow = fat * rng.uniform(0.6, 1.0)
    cartilage, muscle = rng.uniform(0.3, 0.95), rng.uniform(0.15, 0.5)
    dark = rng.uniform(0.02, 0.18)
    levels = (  # of KINDS
        marrow,
        rng.uniform(0.02, 0.15),
        marrow * rng.uniform(0.3, 0.9),
        cartilage,
        dark * rng.uniform(0.6, 1.6),
        dark * rng.uniform(1.0, 3.0),
        dark * rng.uniform(0.7, 2.0),
        dark * rng.uniform(0.3, 1.2),
        fat,
        muscle,
        rng.uniform(0.2, 0.7),
        rng.uniform(0.35, 1.2),
        rng.uniform(0.02, 1.0),
    )
    return _of_kinds(rng, tissues, levels)


def jitter(signal: np.ndarray, rng: np.random.Generator, sd: float = 0.1) -> np.ndarray:
    """Multiply every tissue by its own factor: patients differ."""
    return (signal * np.exp(rng.normal(0, sd, signal.shape))).astype(np.float32)
