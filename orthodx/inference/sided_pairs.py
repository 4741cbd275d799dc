"""Which of two like structures is medial: one thin window cannot tell, the whole joint can."""

from __future__ import annotations

import numpy as np

from orthodx.joints import Joint, SidedPair

FIRM = 0.2  # share of net votes below which nothing is changed


def settle_pairs(labels: np.ndarray, affine: np.ndarray, joint: Joint) -> np.ndarray:
    """Labels (I, J, K) uint8 with each pair of the joint parted at its bone's midline, by majority in the world.

    The voxels read as medial and lateral vote for the side (world x, RAS) that is medial; the bone that is always
    lateral counts half as much as all of them together. Without a whole joint surface or a clear vote the labels come
    back as they are.
    """
    for pair in joint.pairs:
        labels = _settle(labels, affine, pair, {name: value for value, name in joint.names.items()})
    return labels


def _settle(labels: np.ndarray, affine: np.ndarray, pair: SidedPair, value: dict[str, int]) -> np.ndarray:
    if not {pair.bone, pair.lateral_bone, pair.medial, pair.lateral} <= set(value):
        return labels
    medial, lateral = value[pair.medial], value[pair.lateral]
    bone = _world(labels == value[pair.bone], affine)
    both = np.argwhere((labels == medial) | (labels == lateral))
    if len(bone) < 100 or not len(both):
        return labels
    surface = bone[bone[:, 2] > np.percentile(bone[:, 2], 99) - 15, 0]
    low, high = np.percentile(surface, [1, 99])
    if high - low < pair.whole_mm:
        return labels
    x = both @ affine[0, :3] + affine[0, 3] - (low + high) / 2
    is_medial = labels[tuple(both.T)] == medial
    votes = float(np.sum(np.where(is_medial, np.sign(x), -np.sign(x))))
    outside = _world(labels == value[pair.lateral_bone], affine)
    if len(outside):
        votes -= 0.5 * len(both) * float(np.sign(outside[:, 0].mean() - (low + high) / 2))
    if abs(votes) < FIRM * len(both):
        return labels
    out = labels.copy()
    off = np.abs(x) > pair.midline_mm  # the roots near the midline stay as they were read
    out[tuple(both[off].T)] = np.where(np.sign(x[off]) == np.sign(votes), medial, lateral)
    return out


def _world(mask: np.ndarray, affine: np.ndarray) -> np.ndarray:
    return np.argwhere(mask) @ affine[:3, :3].T + affine[:3, 3]
