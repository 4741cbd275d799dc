"""Signs that slices of a volume are missing where its geometry cannot show it: at an end, or every second."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from orthodx.studies.frames import Frame
from orthodx.studies.parts import Volume, normal_of
from orthodx.studies.readable import counted


@dataclass(frozen=True)
class Arrived:
    """What is here of the series that a volume belongs to. numbers: its InstanceNumbers."""

    volumes: Sequence[Volume]
    images: int
    files: int
    numbers: frozenset[int]

    @classmethod
    def of(cls, volumes: Sequence[Volume]) -> Arrived:
        """Everything of these volumes."""
        frames = [frame for volume in volumes for frame in volume.frames]
        numbers = frozenset(frame.instance for frame in frames if frame.instance is not None)
        return cls(volumes, len(frames), len({frame.file for frame in frames}), numbers)


def signs(volume: Volume, facts: Mapping[str, Any], arrived: Arrived) -> Iterator[str]:
    """A line for each sign. facts: the tags of the volume."""
    planes = {other.plane for other in arrived.volumes if other.kinds & volume.kinds}
    if len(planes) > 1:
        yield f"its images have {len(planes)} orientations or pixel sizes; this is one of them"
    gap, thickness, announced = gap_of(volume.frames), _number(facts, "SliceThickness"), announced_gap(facts)
    confirmed = gap > 0 and abs(gap - announced) <= 0.1 * gap
    step = _step(volume.frames)
    thin = thickness > 0 and gap < 1.9 * thickness  # no room for a slice between two
    interleaved = step > 1 and (confirmed or thin)  # with images of the scanner that are no part of this volume
    if len(planes) == 1:
        yield from _by_numbers(volume.frames, arrived, step if interleaved else min(step, 1))
    if step > 1 and not interleaved and not _between(volume.frames, arrived):
        yield f"InstanceNumber counts in steps of {step}: slices between these may be missing"
    elif announced and gap and not confirmed:
        yield f"its slices lie {gap:.2f} mm apart, the header says {announced:.2f} mm"
    elif not announced and thickness and gap and not thin:
        yield f"slices of {thickness:g} mm lie {gap:.2f} mm apart: every second one may be missing"
    yield from _by_announcement(volume, facts, arrived, len(planes), step if interleaved else 1)
    if any(_reaches_further(other, volume) for other in arrived.volumes if other is not volume):
        yield "another part of its series has slices where this one has none"


def _by_numbers(frames: Sequence[Frame], arrived: Arrived, step: int) -> Iterator[str]:
    """step: of the InstanceNumbers of the volume, 0 where they are no even row."""
    numbers = {frame.instance for frame in frames}
    if None in numbers or len(numbers) < max(len(frames), 2):  # no numbers, or one for several images
        return
    if step == 0 and not _between(frames, arrived):
        yield "InstanceNumber has gaps"
    if (first := min(arrived.numbers)) > max(step, 1):
        yield f"InstanceNumber begins at {first}: the first slices may be missing"


def _step(frames: Sequence[Frame]) -> int:
    """By how much the InstanceNumbers of a volume grow, 0 where unevenly or unknown."""
    numbers = sorted({frame.instance for frame in frames if frame.instance is not None})
    steps = set(np.diff(numbers).tolist())
    return int(steps.pop()) if len(steps) == 1 and len(numbers) == len(frames) else 0


def _between(frames: Sequence[Frame], arrived: Arrived) -> bool:
    """Whether the numbers between those of the volume belong to other images of the series that are here."""
    numbers = [frame.instance for frame in frames if frame.instance is not None]
    first, last = min(numbers), max(numbers)
    return sum(first <= number <= last for number in arrived.numbers) == last - first + 1


def _by_announcement(
    volume: Volume, facts: Mapping[str, Any], arrived: Arrived, planes: int, step: int
) -> Iterator[str]:
    """What the scanner counted. step: of InstanceNumbers that are shared with images outside the series."""
    promised, here = int(_number(facts, "ImagesInAcquisition")), arrived.images
    if promised > here and step * len(volume.frames) < promised:
        yield f"the scanner announced {counted(promised, 'images')} in the acquisition, {here} of the series are here"
    slices = int(_number(facts, "SlicesAnnounced"))
    if slices > len(volume.frames) and planes == 1:
        yield f"the scanner announced {slices} slices, {len(volume.frames)} are here"
    objects = int(_number(facts, "InConcatenationTotalNumber"))
    if objects > arrived.files:
        yield f"the scanner wrote {objects} objects, {arrived.files} are here"


def _reaches_further(other: Volume, volume: Volume) -> bool:
    """Whether another volume of the same grid has a slice between or next to those of this one, where it has none."""
    if other.plane != volume.plane or other.kind.matrix != volume.kind.matrix or len(other.frames) < 2:
        return False
    normal = normal_of(volume.frames[0].orientation)
    own, others = (np.array([f.position for f in v.frames]) for v in (volume, other))
    along, reach = own @ normal, 1.5 * gap_of(volume.frames)
    near = others[(others @ normal > along.min() - reach) & (others @ normal < along.max() + reach)]
    return any(np.linalg.norm(own - place, axis=1).min() > 0.1 for place in near)


def gap_of(frames: Sequence[Frame]) -> float:
    """Distance of neighbouring slices, mm, the median; 0 for one slice."""
    along = sorted(float(normal_of(frames[0].orientation) @ frame.position) for frame in frames)
    return float(np.median(np.diff(along))) if len(along) > 1 else 0.0


def announced_gap(facts: Mapping[str, Any]) -> float:
    """Distance of slice centres by the header, mm; 0 where it says nothing. Some write the space between slices."""
    announced, thickness = _number(facts, "SpacingBetweenSlices"), _number(facts, "SliceThickness")
    return announced if announced >= max(thickness - 0.01, 0.1) else 0.0


def _number(facts: Mapping[str, Any], keyword: str) -> float:
    try:
        value = float(facts.get(keyword, 0))
    except (TypeError, ValueError):
        return 0.0
    return value if 0 < value < 1e6 else 0.0
