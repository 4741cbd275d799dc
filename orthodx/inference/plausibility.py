"""Cleaning a mask, and what about it a reader should be warned of."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from orthodx.joints import Joint

LOW_AGREEMENT = 0.7


def keep_largest(labels: np.ndarray, joint: Joint, share: float = 0.12) -> np.ndarray:
    """Drop islands: of each structure keep the largest piece and those of at least `share` of its size.

    labels: (I, J, K) uint8. Cartilage may rightly lie in several pieces, hence the share.
    """
    out = labels.copy()
    for value in joint.names:
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


def volumes_ml(labels: np.ndarray, voxel_mm3: float, joint: Joint) -> dict[int, tuple[int, float]]:
    """Structure value -> (voxels, mL)."""
    counts = np.bincount(labels.ravel(), minlength=256)
    return {value: (int(counts[value]), float(counts[value]) * voxel_mm3 / 1000) for value in joint.names}


def warnings_for(volumes: dict[int, tuple[int, float]], agreement: dict[int, float], joint: Joint) -> list[str]:
    """What a reader should look at: nothing found, structures always seen, impossible volumes, unsure structures."""
    if not any(voxels for voxels, _ in volumes.values()):
        return [f"the mask is empty: is this {'an' if joint.name[0] in 'aeiou' else 'a'} {joint.name}?"]
    notes = []
    for s in joint.structures:
        voxels, ml = volumes[s.value]
        low, high = s.plausible_ml or (0.0, np.inf)
        sure = agreement.get(s.value, 0.0)
        if voxels == 0:
            if s.always_seen:
                notes.append(f"no {s.name} found")
        elif not low <= ml <= high:
            notes.append(f"{s.name} of {ml:.1f} mL is implausible ({low:g}-{high:g})")
        elif sure < LOW_AGREEMENT:
            notes.append(f"{s.name} is unsure (agreement {sure:.2f})")
    return notes
