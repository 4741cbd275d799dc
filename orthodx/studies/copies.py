"""The same image in two files, as backups make them: read once, the other named."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from orthodx.studies.dicom_files import DicomFile
from orthodx.studies.frames import Frame
from orthodx.studies.pixels import decode
from orthodx.studies.run_record import sha256_of


def without_copies(frames: Sequence[Frame]) -> tuple[list[Frame], list[DicomFile]]:
    """Frames of one kind, each image once, and the files that hold no other image than a file that is kept.

    A copy has the SOPInstanceUID, the place and the very values of the first; what only shares its place is kept. Of
    two, the one deeper down or with the longer name is the copy.
    """
    at: dict[tuple[str, int, tuple[float, ...]], list[Frame]] = defaultdict(list)
    for frame in frames:
        at[frame.sop, frame.index, frame.position].append(frame)
    if len(at) == len(frames):
        return list(frames), []
    alike = _Alike()
    kept: list[Frame] = []
    copies: set[DicomFile] = set()
    for same in at.values():
        first, *others = sorted(same, key=_rank) if len(same) > 1 else same
        kept.append(first)
        for other in others:
            if alike.same(first, other):
                copies.add(other.file)
            else:
                kept.append(other)
    return kept, sorted(copies - {frame.file for frame in kept})


def _rank(frame: Frame) -> tuple[int, int, DicomFile]:
    return len(frame.file.path.parts) + frame.file.member.count("/"), len(frame.file.name), frame.file


class _Alike:
    """Compares files pair by pair; what was told of a pair is remembered, as enhanced files have many frames."""

    def __init__(self) -> None:
        self._told: dict[tuple[DicomFile, DicomFile], bool] = {}

    def same(self, one: Frame, other: Frame) -> bool:
        """Whether two frames are one image: of identical files, or of one UID with identical values."""
        pair = (one.file, other.file)
        if pair not in self._told:
            self._told[pair] = _identical(one, other)
        return self._told[pair]


def _identical(one: Frame, other: Frame) -> bool:
    try:
        if _digest(one.file) == _digest(other.file):
            return True
        if not one.sop or (one.slope, one.intercept, one.orientation, one.spacing) != (
            other.slope, other.intercept, other.orientation, other.spacing,
        ):  # fmt: skip
            return False
        return bool(np.array_equal(decode(one, ""), decode(other, "")))
    except Exception:  # what cannot be read now is refused by name when it is converted
        return False


def _digest(file: DicomFile) -> str:
    with file.open() as stream:
        return sha256_of(stream)
