"""Torn ligaments: raised signal, swelling, a gap, a drooping stump, oedema round it.

Signs after Stoller, Magnetic Resonance Imaging in Orthopaedics (2007), and Schweitzer et al., Radiology
1995;194:825 (grades of the medial collateral: oedema outside it; thickening and signal; discontinuity).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from orthodx.synth.lesion_canvas import SOFT, Canvas, Window
from orthodx.synth.solids import Field, rotation

MARGIN_MM = 12.0


@dataclass(frozen=True, kw_only=True)
class LigamentTear:
    """A sprain or tear of a ligament.

    code: the abnormality. level: where, 0 at the upper end .. 1 at the lower one. share: of the fibres' length whose
    signal is raised. swelling_mm: thickening at the tear. gap_mm: 0 unless the tear is complete. droop_deg: turn of
    the lower stump towards the horizontal. oedema_mm: width of the oedema round it.
    """

    code: str
    level: float
    share: float
    swelling_mm: float
    gap_mm: float
    droop_deg: float
    oedema_mm: float
    seed: int


def tear_ligament(canvas: Canvas, tear: LigamentTear, name: str, value: int) -> None:
    """Paint the tear of the ligament tissue `name`, marked with `value`; torn fibres become `<name>_torn`."""
    window = canvas.around(name, MARGIN_MM)
    if window is None:
        return
    rng = np.random.default_rng(tear.seed)
    fine, coarse = window.noise(rng, 5.0), window.noise(rng, 11.0)
    fibres = window.of(name)
    along, length = along_fibres(window, fibres)
    near = np.exp(-(((along - tear.level) / 0.3) ** 2))
    distance = window.distance(fibres)
    between = (along > -0.05) & (along < 1.05)

    reach = np.maximum(tear.oedema_mm * (0.25 + 0.75 * near) * (1 + 0.4 * coarse), 0.1)
    wet = window.flakes(rng, 1.05 - distance / reach)  # the further out, the fewer wet strands
    window.paint(wet & between & window.of(*SOFT) & ~window.of("fluid"), "oedema", value)
    swollen = window.of(*SOFT) & between & (distance < tear.swelling_mm * (0.3 + 0.7 * near) * (1 + 0.25 * coarse))
    window.paint(swollen, f"{name}_torn", value)
    window.paint(fibres & (near + 0.22 * fine > 1 - tear.share), f"{name}_torn", value)
    if tear.gap_mm > 0:
        body = fibres | swollen
        if tear.droop_deg > 0:
            body = _droop(window, body, along, tear, name, value, rng)
        frayed = np.abs(along - tear.level) * length < (tear.gap_mm + 1.2 * fine) / 2
        window.paint(body & frayed, "fluid", value)


def along_fibres(window: Window, fibres: np.ndarray) -> tuple[Field, float]:
    """Where each voxel lies along a ligament, 0 at its upper end .. 1 at its lower end; its length, mm."""
    points = window.points[:, fibres].T
    middle = points.mean(0)
    axis = np.linalg.svd(points[:: max(1, len(points) // 2000)] - middle, full_matrices=False)[2][0]
    axis = -axis if axis[2] > 0 else axis
    along = np.tensordot(axis.astype(np.float32), window.points - middle.reshape(3, 1, 1, 1), axes=1)
    low, high = np.percentile(along[fibres], (1, 99))
    return (along - low) / (high - low), float(high - low)


def _droop(
    window: Window, body: np.ndarray, along: Field, tear: LigamentTear, name: str, value: int, rng: np.random.Generator
) -> np.ndarray:
    """Turn the lower stump about its foot towards the horizontal; wet fat takes its old place."""
    stump = body & (along > tear.level)
    foot = window.points[:, body & (along > 0.9)].mean(1)
    back = np.tensordot(
        rotation(0, tear.droop_deg).T.astype(np.float32), window.points - foot.reshape(3, 1, 1, 1), axes=1
    ) + foot.reshape(3, 1, 1, 1)
    index = np.rint((back - window.points[:, 0, 0, 0].reshape(3, 1, 1, 1)) / window.mm).astype(int)
    inside = np.all([(index[a] >= 0) & (index[a] < stump.shape[a]) for a in range(3)], axis=0)
    index = [np.clip(index[a], 0, stump.shape[a] - 1) for a in range(3)]
    turned = stump[tuple(index)] & inside & (stump | window.of(*SOFT))
    window.paint(stump & ~turned, "oedema", value)
    dry = stump & ~turned & window.flakes(rng, np.full(stump.shape, 0.45, np.float32))
    window.tissues[dry] = window.table["fat"]
    window.paint(turned, f"{name}_torn", value)
    return (body & ~stump) | turned
