"""Parts of one series that a tag tells apart and geometry does not: one volume.

Each part of a real split (echoes, time points, b-values, image types) has the positions of the volume for its own;
parts of one volume share none and lie between or behind each other.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from orthodx.studies.frames import Frame, Kind

SAME_ECHO = 0.02  # echo times that differ by a smaller share are one echo time
ONE_ORIENTATION, ONE_SPACING = 1e-3, 1e-3  # by more than this rounding does not change a cosine, or a share of mm
ABUT = 3.0  # typical gaps between two parts that follow each other; a slice or two may be missing there
SAME_LINE_MM = 0.1


def join_parts(frames: Mapping[Kind, list[Frame]]) -> tuple[dict[Kind, list[Frame]], dict[Kind, str]]:
    """The frames with kinds made one that are parts of one volume, and what a person should know of such a kind.

    What differs least is joined first: image types, echo times within 2 %, time points, then all of them. The largest
    part's kind stands for all.
    """
    notes: dict[Kind, str] = {}
    joined = {kind: list(found) for kind, found in frames.items()}
    for same in (_but_image_type, _but_jitter(frames), _but_time_point, _series):
        buckets: dict[Hashable, list[Kind]] = defaultdict(list)
        for kind in joined:
            buckets[same(kind)].append(kind)
        for kinds in buckets.values():
            if len(kinds) > 1 and _one_volume([joined[kind] for kind in kinds]):
                largest = max(kinds, key=lambda kind: (len(joined[kind]), repr(kind)))
                joined[largest] = [frame for kind in kinds for frame in joined[kind]]
                for kind in kinds:
                    if kind != largest:
                        del joined[kind]
                times = sorted({te for kind in kinds if (te := kind.echo_time_ms) is not None})
                if times and times[-1] - times[0] > SAME_ECHO * times[-1]:
                    notes[largest] = f"its slices have echo times from {times[0]:g} to {times[-1]:g} ms"
    return joined, notes


def _but_image_type(kind: Kind) -> Hashable:
    return replace(kind, image_type=())


def _but_time_point(kind: Kind) -> Hashable:
    return replace(kind, image_type=(), time_point="")


def _series(kind: Kind) -> Hashable:
    return replace(kind, image_type=(), time_point="", echo="")


def _but_jitter(kinds: Mapping[Kind, object]) -> Callable[[Kind], Hashable]:
    """Echo times in a chain of small steps are one."""
    known = sorted({te for kind in kinds if (te := kind.echo_time_ms) is not None})
    steps = [b - a > SAME_ECHO * b for a, b in itertools.pairwise(known)]
    place = dict(zip(known, np.cumsum([0, *steps]).tolist(), strict=False))

    def same(kind: Kind) -> Hashable:
        te = kind.echo_time_ms
        echo = kind.echo if te is None else f"{kind.echo.partition('/')[0]}/#{place[te]}"
        return replace(kind, image_type=(), echo=echo)

    return same


def alike(one: Frame, other: Frame) -> bool:
    """Whether two images have one orientation and one pixel size, but for rounding."""
    if one.orientation == other.orientation and one.spacing == other.spacing:
        return True
    turned = max(abs(a - b) for a, b in zip(one.orientation, other.orientation, strict=True))
    scaled = max(abs(a / b - 1) for a, b in zip(one.spacing, other.spacing, strict=True))
    return turned <= ONE_ORIENTATION and scaled <= ONE_SPACING


def _one_volume(parts: Sequence[list[Frame]]) -> bool:
    """Whether parts share an orientation and pixel size, no position, and one line on which they meet."""
    frames = [frame for part in parts for frame in part]
    if not all(alike(frame, frames[0]) for frame in frames):
        return False
    across = np.array(frames[0].orientation)
    normal = np.cross(across[:3], across[3:])
    positions = np.array([frame.position for frame in frames])
    along = positions @ normal
    order = np.argsort(along)
    gaps = np.diff(along[order])
    if gaps.min() < 0.01:
        return False
    aside = positions[order] - np.outer(along[order], normal)
    straight = (along[order] - along.min()) / np.ptp(along)
    if np.abs(aside - aside[0] - np.outer(straight, aside[-1] - aside[0])).max() > SAME_LINE_MM:
        return False
    owner = np.repeat(np.arange(len(parts)), [len(part) for part in parts])[order]
    between = gaps[owner[1:] != owner[:-1]]
    return bool(between.max() <= ABUT * np.median(gaps))
