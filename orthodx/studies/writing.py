"""Safe writing: a reader sees the old file or the whole new one, never half of it."""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

_FULL = ("No space left", "os error 28", " requested and ")  # Python, safetensors, NumPy
PART = ".part-"  # how the name of a file begins that is not whole yet


@contextlib.contextmanager
def atomic(path: Path, private: bool = False) -> Iterator[Path]:
    """Yield a temporary name beside `path`; on success it is fsynced and renamed, on failure removed.

    The temporary name keeps `path`'s suffixes, because writers like nibabel choose the format by them. private: only
    its owner may read it (mode 600), at any time.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with blaming(path):
        handle, name = tempfile.mkstemp(prefix=PART, suffix="".join(path.suffixes[-2:]), dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            if not private:
                umask = os.umask(0)
                os.umask(umask)
                temporary.chmod(0o666 & ~umask)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def blaming(path: Path) -> Iterator[None]:
    """Where the system refuses to write in here, as on a full disk, the error names this file."""
    try:
        yield
    except Exception as error:
        full = any(sign in str(error) for sign in _FULL) or getattr(error, "errno", None) == errno.ENOSPC
        if full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from error
        if isinstance(error, OSError) and (error.filename is None or Path(str(error.filename)).name.startswith(PART)):
            error.filename = str(path)
        raise
