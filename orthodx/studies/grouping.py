"""Frames sorted into stacks, one volume each; what is left out is named with the reason."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from orthodx.studies.completeness import Arrived, signs
from orthodx.studies.copies import without_copies
from orthodx.studies.dicom_files import DicomFile
from orthodx.studies.frames import Frame, Header, Kind, Uids, read_headers
from orthodx.studies.no_image import instead_of_a_slice
from orthodx.studies.parts import Volume, normal_of, volumes_of
from orthodx.studies.processes import spread

_BATCH = 50
_POOL_PAYS = 400  # files; below, starting processes takes longer than reading
NAMED = 40  # files that one line names
COPIES = "the same image as another file of the series: read once"
# numbers, UIDs and hashes in names
_NUMBERS = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|(?<![a-z])(?=[a-f]*\d)[0-9a-f]{8,}|\d+(?:\.\d+)*")


@dataclass(frozen=True)
class Stack:
    """Frames of one volume, sorted along the slice normal. facts: plain tag values of one of its files."""

    kind: Kind
    frames: tuple[Frame, ...]
    modality: str
    facts: dict[str, Any]
    fault: str = ""  # why it must be refused, known from the headers alone
    faulty_files: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def files(self) -> tuple[DicomFile, ...]:
        """Its files, each once."""
        return tuple(dict.fromkeys(frame.file for frame in self.frames))

    @property
    def own_facts(self) -> dict[str, Any]:
        """Its facts with the echo time of its own frames, which in one file of several echoes is not the first's."""
        te = self.kind.echo_time_ms
        return self.facts if te is None else {**self.facts, "EchoTime": te}

    @property
    def normal(self) -> np.ndarray:
        """Slice normal, LPS, (3,)."""
        return normal_of(self.frames[0].orientation)


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
    series: dict[tuple[str, str], Found] = defaultdict(Found)
    left: dict[tuple[Uids, str, bool, str], list[DicomFile]] = defaultdict(list)
    result, strangers = Sorted(), []
    for file, header in zip(files, _read_all(files, workers, tick), strict=True):
        if header is None:
            strangers.append(file)
        elif header.reason:
            home = "" if header.uids.series else str(file.folder)
            left[header.uids, header.reason, header.fault, home].append(file)
        else:
            for kind, frame in header.frames:
                series[kind.uids.series, "" if kind.uids.series else str(file.folder)].add(kind, frame, header)
    lost = _lost_slices(strangers, [frame.file for found in series.values() for frame in found.all()])
    for file in lost:
        left[Uids("", "", ""), instead_of_a_slice(file), True, str(file.folder)].append(file)
    result.foreign = len(strangers) - len(lost)
    for found in series.values():
        for uids, copies in found.drop_copies():
            left[uids, COPIES, False, ""] += copies
    result.left_out = [LeftOut(uids, tuple(bad), reason, fault) for (uids, reason, fault, _), bad in left.items()]
    people: dict[str, set[str]] = defaultdict(set)
    for found in series.values():
        for kind in found.frames:
            people[kind.uids.study].add(kind.uids.patient)
    mixed = {study for study, patients in people.items() if study and len(patients - {""}) > 1}
    told, untold = defaultdict(list), []
    for out in result.left_out:
        if out.uids.series:
            told[out.uids.series].append(out)
        elif out.fault:
            untold.append(out)
    for (uid, _), found in series.items():
        result.stacks += _stacks(found, mixed, told[uid] if uid else [], untold)
    result.stacks.sort(key=lambda stack: repr(stack.kind))
    _merge_time_points(result)
    return result


@dataclass
class Found:
    """What was found of one series; one without a UID is what lies in one folder."""

    frames: dict[Kind, list[Frame]] = field(default_factory=lambda: defaultdict(list))
    facts: dict[Kind, tuple[str, dict[str, Any]]] = field(default_factory=dict)

    def add(self, kind: Kind, frame: Frame, header: Header) -> None:
        """One frame, and the facts of its kind where its header told them."""
        self.frames[kind].append(frame)
        if header.facts:
            self.facts.setdefault(kind, (header.modality, header.facts))

    def all(self) -> Iterator[Frame]:
        """Frames of all kinds."""
        for frames in self.frames.values():
            yield from frames

    def drop_copies(self) -> Iterator[tuple[Uids, list[DicomFile]]]:
        """Keep each image once; the files that are copies, with their series."""
        for kind in self.frames:
            self.frames[kind], copies = without_copies(self.frames[kind])
            if copies:
                yield kind.uids, copies


def _stacks(found: Found, mixed: set[str], own: Sequence[LeftOut], untold: Sequence[LeftOut]) -> Iterator[Stack]:
    """The stacks of one series.

    mixed: studies of several patients. own: files of this series left out. untold: damaged files of unknown series.
    """
    uids = {kind.uids for kind in found.frames}
    bad = [out for out in own if out.fault]
    damaged = "; ".join(out.reason for out in bad), tuple(file.name for out in bad for file in out.files)
    volumes = volumes_of(found.frames)
    arrived = Arrived.of(volumes)
    moments: dict[Kind, set[str]] = defaultdict(set)
    for volume in volumes:
        moments[_timeless(volume.kind)].add(volume.kind.time_point if volume.timed else "")
    for volume in volumes:
        kind, (fault, culprit) = volume.kind, damaged
        if len(uids) > 1:
            fault = "two patients or studies under one series UID: export them again, one by one"
        elif kind.uids.study in mixed:
            fault = "two patients under one study UID: export them again, one by one"
        elif len(moments[_timeless(kind)]) > 1:
            fault = f"4D: {len(moments[_timeless(kind)])} time points or b-values; give a single 3D image"
        modality, facts = found.facts[kind]
        warnings = list(volume.warnings)
        if not fault:
            warnings += signs(volume, facts, arrived)
            warnings += (
                f"{len(out.files)} left out of its series: {out.reason}" for out in own if out.reason != COPIES
            )
        if any(_lies_beside(out, volume) for out in untold):
            warnings.append("a damaged file lies beside it; a slice may be missing at an end")
        yield Stack(kind, _in_order(volume.frames), modality, facts, fault, culprit, tuple(warnings))


def _place(file: DicomFile) -> tuple[str, str]:
    """Where a file lies, and what its name is; but for numbers in both, and for the ending of a broken transfer."""
    name = re.sub(r"\.(gz|part|partial|tmp|crdownload|filepart)$", "", file.name.lower())
    return _NUMBERS.sub("#", str(file.folder)), _NUMBERS.sub("#", name)


def _lost_slices(strangers: Iterable[DicomFile], slices: Iterable[DicomFile]) -> list[DicomFile]:
    """Files that are no DICOM and yet lie among the slices of a series, named as they are."""
    places = set(map(_place, slices))
    return [file for file in strangers if _place(file) in places]


def _lies_beside(left: LeftOut, volume: Volume) -> bool:
    """Whether files that no one can tell the series of lie in its folder, or beside folders of one slice each."""
    folders = {frame.file.folder for frame in volume.frames}
    if {file.folder for file in left.files} & folders:
        return True
    alone = len(folders) == len({frame.file for frame in volume.frames}) > 1
    return alone and bool({_place(file) for file in left.files} & {_place(frame.file) for frame in volume.frames})


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


def _in_order(frames: Iterable[Frame]) -> tuple[Frame, ...]:
    frames = list(frames)
    normal = normal_of(frames[0].orientation)
    return tuple(sorted(frames, key=lambda f: (float(normal @ f.position), f.file, f.index)))
