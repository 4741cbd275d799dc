"""The same file twice, as backups leave it: read once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from orthodx.studies.dicom_files import DicomFile
from orthodx.studies.frames import Frame
from orthodx.studies.run_record import sha256_of


def without_copies(frames: Sequence[Frame]) -> tuple[list[Frame], list[DicomFile]]:
    """Frames of one kind, each image once, and the files that are byte for byte another one of them.

    Only files whose images share a position are read for it. Of two, the one deeper down or with the longer name is
    the copy.
    """
    at: dict[tuple[float, ...], set[DicomFile]] = defaultdict(set)
    for frame in frames:
        at[frame.position].add(frame.file)
    twice = set().union(*(files for files in at.values() if len(files) > 1))
    known: dict[str, DicomFile] = {}
    copies = [file for file in sorted(twice, key=_rank) if known.setdefault(_content(file), file) != file]
    gone = set(copies)
    return [frame for frame in frames if frame.file not in gone], copies


def _rank(file: DicomFile) -> tuple[int, int, DicomFile]:
    return len(file.path.parts) + file.member.count("/"), len(file.name), file


def _content(file: DicomFile) -> str:
    with file.open() as stream:
        return sha256_of(stream)
