"""Cleaning a mask, and what about it a reader should be warned of."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

# Plausible whole-structure volumes of adult knees, mL. A field of view may cut the shafts, so only gross
# errors are flagged (cartilage: Eckstein 2006; menisci: Wirth 2010; cruciates: Simon 2010; bones: own range).
PLAUSIBLE_ML: dict[str, tuple[float, float]] = {
    "femur": (40, 600),
    "tibia": (30, 500),
    "fibula": (1, 120),
    "patella": (5, 50),
    "femoral_cartilage": (3, 45),
    "tibial_cartilage": (1.5, 20),
    "patellar_cartilage": (0.7, 10),
    "medial_meniscus": (0.6, 8),
    "lateral_meniscus": (0.6, 8),
    "acl": (0.4, 7),
    "pcl": (0.4, 8),
}
ALWAYS_SEEN = ("femur", "tibia", "patella")
LOW_AGREEMENT = 0.7


def keep_largest(labels: np.ndarray, structures: dict[int, str], share: float = 0.12) -> np.ndarray:
    """Drop islands: of each structure keep the largest piece and those of at least `share` of its size.

    labels: (I, J, K) uint8. Cartilage may rightly lie in several pieces, hence the share.
    """
    out = labels.copy()
    for value in structures:
        box = ndimage.find_objects((labels == value).astype(np.uint8))
        if not box or box[0] is None:
            continue
        inside = labels[box[0]] == value
        pieces, n = ndimage.label(inside, ndimage.generate_binary_structure(3, 2))
        if n > 1:
            sizes = np.bincount(pieces.ravel())[1:]
            small = np.flatnonzero(sizes < share * sizes.max()) + 1
            out[box[0]][np.isin(pieces, small)] = 0
    return out


def volumes_ml(labels: np.ndarray, voxel_mm3: float, structures: dict[int, str]) -> dict[int, tuple[int, float]]:
    """Structure value -> (voxels, mL)."""
    counts = np.bincount(labels.ravel(), minlength=256)
    return {value: (int(counts[value]), float(counts[value]) * voxel_mm3 / 1000) for value in structures}


def warnings_for(
    volumes: dict[int, tuple[int, float]], agreement: dict[int, float], structures: dict[int, str]
) -> list[str]:
    """What a reader should look at: nothing found, missing bones, impossible volumes, unsure structures."""
    if not any(voxels for voxels, _ in volumes.values()):
        return ["the mask is empty: is this a knee?"]
    notes = []
    for value, name in structures.items():
        voxels, ml = volumes[value]
        low, high = PLAUSIBLE_ML.get(name, (0, np.inf))
        if voxels == 0:
            if name in ALWAYS_SEEN:
                notes.append(f"no {name} found")
        elif not low <= ml <= high:
            notes.append(f"{name} of {ml:.1f} mL is implausible ({low:g}-{high:g})")
        elif agreement.get(value, 0.0) < LOW_AGREEMENT:
            notes.append(f"{name} is unsure (agreement {agreement.get(value, 0.0):.2f})")
    return notes
