"""Frames sorted into stacks, one volume each; what is left out is named with the reason."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from orthodx.studies.completeness import signs_of_loss
from orthodx.studies.copies import without_copies
from orthodx.studies.dicom_files import DicomFile
from orthodx.studies.frames import DAMAGED, Frame, Header, Kind, Uids, read_headers
from orthodx.studies.parts import alike, join_parts
from orthodx.studies.processes import spread

_BATCH = 50
_POOL_PAYS = 400  # files; below, starting processes takes longer than reading
COPIES = "the same as another file of the series, byte for byte: read once"


@dataclass(frozen=True)
class Stack:
    """Frames of one volume, sorted along the slice normal. facts: plain tag values of one of its files."""

    kind: Kind
    frames: tuple[Frame, ...]
    modality: str
    facts: dict[str, Any]
    fault: str = ""  # why it must be refused, known from the headers alone
    faulty_file: str = ""
    warnings: tuple[str, ...] = ()

    @property
    def files(self) -> tuple[DicomFile, ...]:
        """Its files, each once."""
        return tuple(dict.fromkeys(frame.file for frame in self.frames))

    @property
    def normal(self) -> np.ndarray:
        """Slice normal, LPS, (3,)."""
        return _normal(self.frames[0].orientation)


@dataclass(frozen=True)
class LeftOut:
    """Files of one series that are no stack. fault: they should have been one."""

    uids: Uids
    files: tuple[DicomFile, ...]
    reason: str
    fault: bool


@dataclass
class Sorted:
    """The outcome of one pass over the headers."""

    stacks: list[Stack] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    foreign: int = 0  # files that are no DICOM


def sort_files(files: Sequence[DicomFile], workers: int = 0, tick: Callable[[int], None] = lambda done: None) -> Sorted:
    """Read every header once and sort the frames. tick: told how many more headers were read."""
    frames: dict[Kind, list[Frame]] = defaultdict(list)
    facts: dict[Kind, tuple[str, dict[str, Any]]] = {}
    left: dict[tuple[Uids, str, bool], list[DicomFile]] = defaultdict(list)
    result, strangers = Sorted(), []
    for file, header in zip(files, _read_all(files, workers, tick), strict=True):
        if header is None:
            strangers.append(file)
        elif header.reason:
            left[(header.uids, header.reason, header.fault)].append(header.file)
        else:
            for kind, frame in header.frames:
                frames[kind].append(frame)
                if header.facts:
                    facts.setdefault(kind, (header.modality, header.facts))
    lost = _lost_slices(strangers, {_place(frame.file) for found in frames.values() for frame in found})
    left[(Uids("", "", ""), DAMAGED, True)] += lost
    result.foreign = len(strangers) - len(lost)
    for kind, found in frames.items():
        frames[kind], copies = without_copies(found)
        left[(kind.uids, COPIES, False)] += copies
    joined, notes = join_parts(frames)
    by_series: dict[str, list[Frame]] = defaultdict(list)
    for kind, found in joined.items():
        by_series[kind.uids.series] += found
    faults = _faults(joined, left)
    holed = {file.folder for (uids, _, fault), bad in left.items() if fault and not uids.series for file in bad}
    for kind in sorted(joined, key=repr):
        split = _by_geometry(joined[kind])
        for part in map(_in_order, split):
            warnings = [notes[kind]] if kind in notes else []
            if len(split) > 1:
                warnings.append(f"its images have {len(split)} orientations or pixel sizes; this is one of them")
            else:
                warnings += signs_of_loss(part, facts[kind][1], by_series[kind.uids.series])
            if holed & {frame.file.folder for frame in part}:
                warnings.append("a damaged file lies beside it; a slice may be missing at an end")
            result.stacks.append(Stack(kind, part, *facts[kind], *faults[kind], tuple(warnings)))
    result.left_out = [LeftOut(uids, tuple(bad), reason, fault) for (uids, reason, fault), bad in left.items() if bad]
    _merge_time_points(result)
    return result


def _faults(
    frames: Mapping[Kind, Sequence[Frame]], left: Mapping[tuple[Uids, str, bool], list[DicomFile]]
) -> dict[Kind, tuple[str, str]]:
    """Why each kind must be refused, and the file that is to blame; blanks where nothing is wrong."""
    damaged = {uids.series: (why, bad[0].name) for (uids, why, fault), bad in left.items() if fault and bad}
    owners: dict[str, set[Uids]] = defaultdict(set)
    people: dict[str, set[str]] = defaultdict(set)
    moments: dict[Kind, set[str]] = defaultdict(set)
    for kind in frames:
        owners[kind.uids.series].add(kind.uids)
        people[kind.uids.study].add(kind.uids.patient)
        moments[_timeless(kind)].add(kind.time_point)
    faults = {}
    for kind in frames:
        fault, culprit = damaged.get(kind.uids.series, ("", "")) if kind.uids.series else ("", "")
        if len(owners[kind.uids.series]) > 1 and kind.uids.series:
            fault = "two patients or studies under one series UID: export them again, one by one"
        elif len(people[kind.uids.study] - {""}) > 1 and kind.uids.study:
            fault = "two patients under one study UID: export them again, one by one"
        elif len(moments[_timeless(kind)]) > 1:
            fault = f"4D: {len(moments[_timeless(kind)])} time points or b-values; give a single 3D image"
        faults[kind] = (fault, culprit)
    return faults


def _place(file: DicomFile) -> tuple[Path, str]:
    """Where a file lies, and what its name is but for the numbers in it."""
    return file.folder, re.sub(r"\d+", "#", file.name.removesuffix(".gz"))


def _lost_slices(strangers: Iterable[DicomFile], places: set[tuple[Path, str]]) -> list[DicomFile]:
    """Files that are no DICOM and yet lie among the slices of a series, named as they are."""
    return [file for file in strangers if _place(file) in places]


def _timeless(kind: Kind) -> Kind:
    return replace(kind, time_point="")


def _merge_time_points(result: Sorted) -> None:
    """The volumes of one 4D series are refused once, not one by one."""
    kept: dict[tuple[Any, ...], Stack] = {}
    for i, stack in enumerate(result.stacks):
        four_d = stack.fault.startswith("4D")
        key = (_timeless(stack.kind), tuple(np.round(stack.normal, 2))) if four_d else (i,)
        if key in kept:
            stack = replace(kept[key], frames=kept[key].frames + stack.frames)
        kept[key] = stack
    result.stacks = list(kept.values())


def _read_all(files: Sequence[DicomFile], workers: int, tick: Callable[[int], None]) -> Iterator[Header | None]:
    batches = [files[i : i + _BATCH] for i in range(0, len(files), _BATCH)]
    for found in spread(read_headers, batches, workers if len(files) >= _POOL_PAYS else 0):
        yield from found
        tick(len(found))


@lru_cache(maxsize=1024)
def _normal(orientation: tuple[float, ...]) -> np.ndarray:
    return np.cross(orientation[:3], orientation[3:])


def _in_order(frames: Iterable[Frame]) -> tuple[Frame, ...]:
    frames = list(frames)
    normal = _normal(frames[0].orientation)
    return tuple(sorted(frames, key=lambda f: (float(normal @ f.position), f.file, f.index)))


def _by_geometry(frames: list[Frame]) -> list[list[Frame]]:
    """Split where orientation or pixel spacing differ by more than rounding."""
    parts: list[list[Frame]] = []
    for frame in frames:
        part = next((part for part in parts if alike(frame, part[0])), None)
        if part is None:
            parts.append(part := [])
        part.append(frame)
    return parts
