"""How bright the inside of a segmented structure is: a torn ligament is bright all over, a tear in cartilage a line."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

SIGNALS = 4
SMOOTH_MM, CLOSED_MM, LEAST_PIXELS = 0.4, 1.5, 30
BRIGHTEST_MM2 = 2.5  # of one slice's pixels, averaged
NEIGHBOURS = np.ones((1, 3, 3), bool)


def structure_signal(mask: np.ndarray, image: np.ndarray, pixel_mm: float) -> np.ndarray:
    """Four numbers (4,) of one structure: NaN where too little of it is there.

    mask: (D, H, W) bool. image: (D, H, W) float32, on the same pixels of `pixel_mm`. They are the median inside; and,
    above it, the 99th percentile, the brightest 2.5 mm2 of the core, and the 90th percentile of the rind between the
    core and the outermost pixel, which is left out everywhere: it is partly something else. Holes and clefts of up
    to 3 mm are closed first, for a tear is often left out of a mask.
    """
    out = np.full(SIGNALS, np.nan, np.float32)
    box = _box(mask, round(2 / pixel_mm) + 1)
    if box is None:
        return out
    inside = _without_specks(mask[box])
    blurred = ndimage.gaussian_filter(image[box], (0, SMOOTH_MM / pixel_mm, SMOOTH_MM / pixel_mm))
    radius = max(1, round(CLOSED_MM / pixel_mm))
    whole = ndimage.binary_erosion(inside, NEIGHBOURS)
    closed = ndimage.binary_closing(inside, np.ones((1, 2 * radius + 1, 2 * radius + 1), bool))
    closed = ndimage.binary_erosion(closed, NEIGHBOURS)
    core = ndimage.binary_erosion(closed, NEIGHBOURS)
    count = max(1, round(BRIGHTEST_MM2 / pixel_mm**2))
    if whole.sum() < LEAST_PIXELS or core.sum() <= count:
        return out
    median = np.median(blurred[whole])
    brightest = np.partition(blurred[core], -count)[-count:].mean()
    rind = blurred[closed & ~core]
    above = (np.percentile(blurred[closed], 99), brightest, np.percentile(rind, 90))
    return np.array([median, *(value - median for value in above)], np.float32)


def _without_specks(mask: np.ndarray, share: float = 0.2) -> np.ndarray:
    """The connected parts at least `share` of the largest."""
    parts, count = ndimage.label(mask, np.ones((3, 3, 3)))
    if count < 2:
        return mask
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    return (sizes >= share * sizes.max())[parts] & mask


def _box(mask: np.ndarray, margin: int) -> tuple[slice, ...] | None:
    """The box that holds a mask, with a margin of so many pixels in plane and a slice; None for an empty mask."""
    found = ndimage.find_objects(mask.astype(np.uint8))
    if not found or found[0] is None:
        return None
    return tuple(
        slice(max(one.start - by, 0), one.stop + by) for one, by in zip(found[0], (1, margin, margin), strict=True)
    )
