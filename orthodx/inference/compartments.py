"""Which meniscus is which: one thin window cannot tell medial from lateral, the whole knee can."""

from __future__ import annotations

import numpy as np

MIDLINE_MM = 5.0  # the roots near the midline stay as they were read
WHOLE_PLATEAU_MM = 55.0  # narrower, and one compartment may be out of view
FIRM = 0.2  # share of net votes below which nothing is changed


def settle_menisci(labels: np.ndarray, affine: np.ndarray, structures: dict[int, str]) -> np.ndarray:
    """Labels (I, J, K) uint8 with each meniscus on one side of the tibia's midline, by majority in the world.

    The voxels read as medial and lateral vote for the side (world x, RAS) that is medial; the fibula, which is
    lateral, counts half as much as all of them together. Without a whole plateau or a clear vote the labels
    come back as they are.
    """
    value = {name: v for v, name in structures.items()}
    if not {"tibia", "fibula", "medial_meniscus", "lateral_meniscus"} <= set(value):
        return labels
    medial, lateral = value["medial_meniscus"], value["lateral_meniscus"]
    tibia = _world(labels == value["tibia"], affine)
    menisci = np.argwhere((labels == medial) | (labels == lateral))
    if len(tibia) < 100 or not len(menisci):
        return labels
    plateau = tibia[tibia[:, 2] > np.percentile(tibia[:, 2], 99) - 15, 0]
    low, high = np.percentile(plateau, [1, 99])
    if high - low < WHOLE_PLATEAU_MM:
        return labels
    x = menisci @ affine[0, :3] + affine[0, 3] - (low + high) / 2
    is_medial = labels[tuple(menisci.T)] == medial
    votes = float(np.sum(np.where(is_medial, np.sign(x), -np.sign(x))))
    fibula = _world(labels == value["fibula"], affine)
    if len(fibula):
        votes -= 0.5 * len(menisci) * float(np.sign(fibula[:, 0].mean() - (low + high) / 2))
    if abs(votes) < FIRM * len(menisci):
        return labels
    out = labels.copy()
    off = np.abs(x) > MIDLINE_MM
    out[tuple(menisci[off].T)] = np.where(np.sign(x[off]) == np.sign(votes), medial, lateral)
    return out


def _world(mask: np.ndarray, affine: np.ndarray) -> np.ndarray:
    return np.argwhere(mask) @ affine[:3, :3].T + affine[:3, 3]
