"""Every file below a folder, once; and a word for each thing that is passed over."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from orthodx.studies.mask_files import VOLUMES, stem_of
from orthodx.studies.nifti import is_nifti
from orthodx.studies.readable import counted
from orthodx.studies.receipts import DONE

RESULT_FOLDERS = {"truth", "masks", "previews", "labelstr", "labelsts"}  # the last two are nnU-Net's
_SPECIAL = {stat.S_IFIFO: "a named pipe", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device"}
_MOST_NAMED = 3  # unreadable files of one folder; more are counted


class Passed(NamedTuple):
    """Something no one read: where, and why."""

    where: str
    why: str


class Walk:
    """Files under the roots of one run, in a fixed order, each folder once, links to folders last.

    refused: what may hold images and cannot be read. passed: pipes, sockets, devices, and links to what is read anyway.
    Hidden files and folders of results are no one's images and are not told.
    """

    def __init__(self) -> None:
        self.refused: list[Passed] = []
        self.passed: list[Passed] = []
        self._seen: set[tuple[int, int]] = set()

    def files(self, root: Path) -> Iterator[Path]:
        """Readable files at any depth; a file is itself, even where it is hidden."""
        try:
            mode = root.stat().st_mode
        except OSError as error:
            self._refuse(root, error)
            return
        if not stat.S_ISDIR(mode):
            yield from self._file(root, mode, given=True)
            return
        links: list[Path] = []
        yield from self._tree(root, links)
        while links:
            yield from self._tree(links.pop(0), links)

    def _tree(self, top: Path, links: list[Path]) -> Iterator[Path]:
        waiting = [top]
        while waiting:
            folder = waiting.pop()
            if not self._first_time(folder):
                continue
            folders: list[Path] = []
            unreadable: list[Passed] = []
            for path, mode in self._entries(folder):
                if stat.S_ISDIR(mode):
                    if path.name.lower() not in RESULT_FOLDERS:
                        (links if path.is_symlink() else folders).append(path)
                elif stat.S_ISREG(mode) and not os.access(path, os.R_OK):
                    unreadable.append(Passed(str(path), "cannot be read; check its permissions"))
                elif not _is_mask_of_ours(path):
                    yield from self._file(path, mode)
            if len(unreadable) > _MOST_NAMED:
                name = Path(unreadable[0].where).name
                why = f"{counted(len(unreadable), 'files')} cannot be read, such as {name}; check their permissions"
                unreadable = [Passed(str(folder), why)]
            self.refused += unreadable
            waiting += reversed(folders)

    def _entries(self, folder: Path) -> Iterator[tuple[Path, int]]:
        """What lies in a folder, by name, without hidden things, with the mode of what a link leads to."""
        try:
            with os.scandir(folder) as found:
                entries = sorted(found, key=lambda entry: entry.name)
        except OSError as error:
            self._refuse(folder, error)
            return
        for entry in entries:
            if not entry.name.startswith("."):
                try:
                    yield folder / entry.name, _mode(entry)
                except OSError as error:
                    self._refuse(folder / entry.name, error)

    def _first_time(self, folder: Path) -> bool:
        try:
            there = folder.stat()
        except OSError as error:
            self._refuse(folder, error)
            return False
        place = (there.st_dev, there.st_ino)
        if place in self._seen:
            loop = folder.is_symlink() and folder.resolve() in folder.absolute().parents
            what = "a link back to a folder above it" if loop else "a folder that is read already"
            self.passed.append(Passed(str(folder), f"{what}, not read again"))
            return False
        self._seen.add(place)
        return True

    def _file(self, path: Path, mode: int, given: bool = False) -> Iterator[Path]:
        if stat.S_ISREG(mode):
            if os.access(path, os.R_OK):
                yield path
            else:
                self.refused.append(Passed(str(path), "cannot be read; check its permissions"))
            return
        what = _SPECIAL.get(stat.S_IFMT(mode), "no file")
        (self.refused if given else self.passed).append(Passed(str(path), f"{what}, not read"))

    def _refuse(self, path: Path, error: OSError) -> None:
        if path.is_symlink() and error.errno in (errno.ENOENT, errno.ELOOP, errno.ENOTDIR):
            why = "a link that leads nowhere; fetch or restore what it stands for"
        else:
            why = f"cannot be read ({error.strerror}); check the path and its permissions"
        self.refused.append(Passed(str(path), why))


def _mode(entry: os.DirEntry[str]) -> int:
    """The kind of an entry, without asking the disk again where the folder tells it."""
    if entry.is_dir(follow_symlinks=False):
        return stat.S_IFDIR
    return stat.S_IFREG if entry.is_file(follow_symlinks=False) else entry.stat().st_mode


def _is_mask_of_ours(path: Path) -> bool:
    """Whether `segment` wrote this file: its receipt lies beside it."""
    folder = path.parent
    return is_nifti(path) and (folder / VOLUMES).is_file() and (folder / DONE / f"{stem_of(path)}.json").is_file()
