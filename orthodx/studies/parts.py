"""What of one series is one volume, and what are several: echoes, kinds of image, time points.

A tag parts a series only where both parts have their own images at the same places. Parts that share no place and lie
between or beside each other on one even lattice are one volume, whatever their tags say: echo times that jitter,
time points that count slices, words of ImageType that vary.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, combinations, pairwise

import numpy as np

from orthodx.studies.frames import Frame, Kind

ONE_ORIENTATION, ONE_SPACING = 1e-3, 1e-3  # by more than this rounding does not change a cosine, or a share of mm
EVEN_MM, EVEN_SHARE = 0.05, 0.02  # a gap may differ from its neighbours by this much
SAME_ECHO = 0.02  # echo times that differ by a smaller share are one echo time
ABUT = 3  # gaps between two parts that follow each other; a slice or two may be missing there
Tag = Callable[[Kind], object]


@dataclass(frozen=True)
class Volume:
    """Frames of one volume, unsorted.

    kind: that of most of them, as their headers have it. kinds: those of all. timed: whether its time point tells it
    apart. plane: which of the series' planes, counted.
    """

    kind: Kind
    kinds: frozenset[Kind]
    frames: tuple[Frame, ...]
    plane: int
    timed: bool
    warnings: tuple[str, ...]


@lru_cache(maxsize=1024)
def normal_of(orientation: tuple[float, ...]) -> np.ndarray:
    """Slice normal, LPS, (3,)."""
    return np.cross(orientation[:3], orientation[3:])


def volumes_of(frames: Mapping[Kind, Sequence[Frame]]) -> list[Volume]:
    """The volumes of one series, in the order of their kinds."""
    found = []
    for plane, kinds in enumerate(_planes(frames)):
        for alike in _grouped(kinds, _contrast).values():
            found += [_volume({kind: kinds[kind] for kind in group}, plane) for group in _coarsest(alike)]
    return sorted(found, key=lambda volume: (repr(volume.kind), volume.plane))


def _planes(frames: Mapping[Kind, Sequence[Frame]]) -> list[dict[Kind, list[Frame]]]:
    """Split where orientation or pixel spacing differ by more than rounding."""
    planes: list[tuple[Frame, dict[Kind, list[Frame]]]] = []
    for kind in sorted(frames, key=repr):
        for frame in frames[kind]:
            kinds = next((kinds for first, kinds in planes if _parallel(frame, first)), None)
            if kinds is None:
                kinds = {}
                planes.append((frame, kinds))
            kinds.setdefault(kind, []).append(frame)
    return [kinds for _, kinds in planes]


def _parallel(one: Frame, other: Frame) -> bool:
    if one.orientation == other.orientation and one.spacing == other.spacing:
        return True
    turned = max(abs(a - b) for a, b in zip(one.orientation, other.orientation, strict=True))
    scaled = max(abs(a / b - 1) for a, b in zip(one.spacing, other.spacing, strict=True))
    return turned <= ONE_ORIENTATION and scaled <= ONE_SPACING


def _contrast(kind: Kind) -> object:
    """What no volume mixes, whatever its places: matrix, magnitude or phase, b-value."""
    return kind.matrix, kind.part, kind.time_point.partition("/")[2]


def _tags(kinds: Iterable[Kind]) -> list[Tag]:
    """What else may tell parts apart, if it varies: echo number, echo (but for jitter), its time, image type, time."""
    known = sorted({te for kind in kinds if (te := kind.echo_time_ms) is not None})
    steps = (later > earlier * (1 + SAME_ECHO) for earlier, later in pairwise(known))
    echoes: dict[float | None, int] = dict(zip(known, accumulate(steps, initial=0), strict=False))
    tags: tuple[Tag, ...] = (
        lambda kind: kind.echo.partition("/")[0],
        lambda kind: echoes.get(kind.echo_time_ms),
        lambda kind: kind.echo_time_ms,
        lambda kind: kind.image_type,
        lambda kind: kind.time_point,
    )
    return [tag for tag in tags if len({tag(kind) for kind in kinds}) > 1]


def _coarsest(parts: Mapping[Kind, Sequence[Frame]]) -> list[list[Kind]]:
    """The fewest groups of kinds, told apart by some of the tags, of which each can be one volume."""
    best = [[kind] for kind in parts]
    varying = _tags(parts)
    for tags in (tags for size in range(len(varying)) for tags in combinations(varying, size)):
        groups = list(_grouped(parts, lambda kind, tags=tags: tuple(tag(kind) for tag in tags)).values())  # type: ignore[misc]
        if len(groups) < len(best) and all(len(g) == 1 or _on_one_lattice(list(g.values())) for g in groups):
            best = [list(group) for group in groups]
    return best


def _grouped(
    kinds: Mapping[Kind, Sequence[Frame]], by: Callable[[Kind], object]
) -> dict[object, dict[Kind, Sequence[Frame]]]:
    groups: dict[object, dict[Kind, Sequence[Frame]]] = defaultdict(dict)
    for kind, frames in kinds.items():
        groups[by(kind)][kind] = frames
    return groups


def _on_one_lattice(parts: Sequence[Sequence[Frame]]) -> bool:
    """Whether no place is taken twice, and all lie one behind the other at whole numbers of the smallest gap."""
    positions = np.array([frame.position for frames in parts for frame in frames])
    normal = normal_of(parts[0][0].orientation)
    along = positions @ normal
    aside = positions - positions[0] - np.outer(along - along[0], normal)
    gaps = np.diff(np.sort(along))
    gap = float(gaps.min())
    if gap < EVEN_MM or np.linalg.norm(aside, axis=1).max() > 0.1:
        return False
    steps = np.rint(gaps / gap)
    uneven = np.abs(gaps - steps * gap) > max(EVEN_MM, EVEN_SHARE * gap) * steps
    return bool(steps.max() <= ABUT and not uneven.any())


def _volume(parts: Mapping[Kind, Sequence[Frame]], plane: int) -> Volume:
    frames = tuple(frame for found in parts.values() for frame in found)
    kind = max(sorted(parts, key=repr), key=lambda kind: len(parts[kind]))
    timed = len({kind.time_point for kind in parts}) == 1
    return Volume(kind, frozenset(parts), frames, plane, timed, tuple(_mixed(parts)))


def _mixed(kinds: Iterable[Kind]) -> Iterator[str]:
    """What a reader should know of slices whose tags differ."""
    times = sorted({te for kind in kinds if (te := kind.echo_time_ms) is not None})
    if times and times[-1] - times[0] > SAME_ECHO * times[-1]:
        yield f"its slices have echo times from {times[0]:g} to {times[-1]:g} ms"
