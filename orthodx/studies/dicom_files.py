"""The files that may be DICOM: any folder depth, no extension needed, or members of a zip read in place.

Nothing is unpacked: a member is read from its archive, so no path in it can lead anywhere.
"""

from __future__ import annotations

import io
import os
import shutil
import tempfile
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import BinaryIO, cast

MAX_MEMBER_BYTES = 2 << 30
MAX_RATIO = 1000  # deflate reaches 1032 on zeros; real images stay far below
MAX_WHOLE_RATIO, WHOLE_BYTES = 100, 1 << 30  # an archive that unpacks to more than both is refused
_HEADER_BYTES = 256 << 20  # of a member; the largest enhanced objects have some 50 MiB
_IN_MEMORY, _AT_ONCE = 64 << 20, 1 << 20  # a larger member is unpacked to a nameless file; a larger header streamed


@dataclass(frozen=True, slots=True, order=True)
class DicomFile:
    """One file on disk, or one member of a zip."""

    path: Path
    member: str = ""

    @property
    def name(self) -> str:
        """The file's own name, for messages on the terminal only: it may hold a date or an id."""
        return PurePosixPath(self.member).name if self.member else self.path.name

    @property
    def folder(self) -> Path:
        """The folder or archive it lies in."""
        return self.path if self.member else self.path.parent

    def open(self) -> BinaryIO:
        """The bytes, seekable; of a zip the whole member, its checksum compared, in bounded memory."""
        if not self.member:
            return self.path.open("rb")
        archive = _archive(self.path)
        if archive.getinfo(self.member).file_size <= _IN_MEMORY:
            return io.BytesIO(archive.read(self.member))
        whole = tempfile.TemporaryFile()  # noqa: SIM115  the caller closes it
        with archive.open(self.member) as packed:
            shutil.copyfileobj(packed, whole, _AT_ONCE)
        whole.seek(0)
        return cast(BinaryIO, whole)

    def peek(self) -> BinaryIO:
        """The bytes, to read the beginning of: a large member of a zip is streamed, its checksum not compared."""
        if not self.member or _archive(self.path).getinfo(self.member).file_size <= _AT_ONCE:
            return self.open()
        return cast(BinaryIO, _Beginning(_archive(self.path).open(self.member), 1 << 16))  # type: ignore[arg-type]

    def stamp(self) -> tuple[str, int, int]:
        """Name, size and time of change: enough to see that a file is still the same."""
        if self.member:
            info = _archive(self.path).getinfo(self.member)
            return f"{self.path.name}/{self.member}", info.file_size, info.CRC
        stat = self.path.stat()
        return self.path.name, stat.st_size, stat.st_mtime_ns


class _Beginning(io.BufferedReader):
    """A stream whose beginning is read: raises `OSError` once that is more than any header."""

    left = _HEADER_BYTES

    def read(self, size: int | None = -1, /) -> bytes:
        """As of any stream."""
        data = super().read(size)
        self.left -= len(data)
        if self.left < 0:
            raise OSError("a header of impossible size")
        return data


def _archive(path: Path) -> zipfile.ZipFile:
    return _opened(path, path.stat().st_mtime_ns, os.getpid())


@lru_cache(maxsize=4)
def _opened(path: Path, changed: int, process: int) -> zipfile.ZipFile:
    """One a process: a file that was open before a fork has one reading place, which all processes would move."""
    return zipfile.ZipFile(path)


def is_zip(path: Path) -> bool:
    """Whether the file is a zip archive, whatever its name."""
    try:
        with path.open("rb") as file:
            return file.read(4) == b"PK\x03\x04"
    except OSError:
        return False


def candidates(paths: Iterable[Path]) -> tuple[list[DicomFile], list[tuple[str, str]]]:
    """Each file once, zips opened; also the archives and members that cannot be trusted, with the reason."""
    files: list[DicomFile] = []
    refused: list[tuple[str, str]] = []
    seen: set[str] = set()
    for path in paths:
        real = os.path.realpath(path)
        if real in seen:
            continue
        seen.add(real)
        if path.suffix.lower() == ".zip" or (not path.suffix and is_zip(path)):
            try:
                for member, reason in _members(path):
                    if reason:
                        refused.append((f"{path}/{member}" if member else str(path), reason))
                    else:
                        files.append(DicomFile(path, member))
            except (zipfile.BadZipFile, OSError, NotImplementedError):
                refused.append((str(path), "not a whole zip archive; copy it again"))
        else:
            files.append(DicomFile(path))
    return files, refused


def _members(path: Path) -> Iterator[tuple[str, str]]:
    infos = _archive(path).infolist()
    size, unpacked = path.stat().st_size, sum(info.file_size for info in infos)
    overlapping = sum(info.compress_size for info in infos) > size
    if overlapping or unpacked > max(WHOLE_BYTES, MAX_WHOLE_RATIO * size):
        yield "", f"unpacks to an impossible size as a whole, {unpacked / (1 << 30):.3g} GiB; unpack it yourself"
        return
    times = Counter(info.filename for info in infos)
    for info in infos:
        place = PurePosixPath(info.filename.replace("\\", "/"))
        if info.is_dir() or place.name.startswith(".") or "__MACOSX" in place.parts:
            continue
        if place.is_absolute() or ".." in place.parts or ":" in place.parts[0]:
            yield info.filename, "its path leads out of the archive; pack the folder again"
        elif times[info.filename] > 1:
            yield info.filename, "stands twice in the archive; pack the folder again"
        elif info.flag_bits & 1:
            yield info.filename, "encrypted; unpack it first"
        elif info.file_size > MAX_MEMBER_BYTES or info.file_size > MAX_RATIO * max(info.compress_size, 1):
            yield info.filename, "unpacks to an impossible size"
        else:
            yield info.filename, ""
