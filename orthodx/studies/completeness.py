"""Signs that slices are missing, which even spacing cannot show: numbers, what was announced, thickness."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from orthodx.studies.frames import Frame

SPARSE = 1.95  # slices lie this many thicknesses apart where every second one is gone


def signs_of_loss(frames: Sequence[Frame], facts: dict[str, Any], series: Sequence[Frame]) -> Iterator[str]:
    """What a person should check of one stack, in order along its normal; nothing of it is certain.

    series: all images that came under its series UID, with other echoes and parts. facts: plain tag values.
    """
    numbers = _numbers(frames)
    steps = np.diff(numbers)
    alone = len(series) == len(frames)
    if len(numbers) > 1 and steps.max() > steps.min():
        yield "InstanceNumber has gaps"
    elif len(numbers) > 1 and steps[0] > 1 and alone:
        yield f"InstanceNumber counts in steps of {steps[0]}: slices between these may be missing"
    if (first := min(_numbers(series), default=1)) > 1:
        yield f"InstanceNumber begins at {first}: slices before it may be missing"
    promised = int(_number(facts, "ImagesInAcquisition"))
    if promised > len(series) and promised % len(series):  # a whole multiple counts echoes or series of their own
        yield f"the scanner announced {promised} images in the acquisition, {len(series)} of the series are here"
    thickness = _number(facts, "SliceThickness")
    if len(frames) > 2 and thickness > 0 and not _number(facts, "SpacingBetweenSlices"):
        normal = np.cross(frames[0].orientation[:3], frames[0].orientation[3:])
        gap = float(np.median(np.abs(np.diff([frame.position @ normal for frame in frames]))))
        if gap >= SPARSE * thickness:
            yield f"slices of {thickness:g} mm lie {gap:.3g} mm apart: every second one may be missing"


def _numbers(frames: Sequence[Frame]) -> list[int]:
    return sorted({frame.instance for frame in frames if frame.instance is not None})


def _number(facts: dict[str, Any], keyword: str) -> float:
    """0 where it is not there, or no number."""
    try:
        value = float(facts.get(keyword, 0))
    except (TypeError, ValueError):
        return 0.0
    return value if np.isfinite(value) else 0.0
