"""Names that do not betray a patient: keyed hashes of DICOM UIDs (HMAC-SHA256, RFC 2104)."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import secrets
import tempfile
from functools import lru_cache
from pathlib import Path

from orthodx.errors import UsageError

_KEY_BYTES = 32


def key_path() -> Path:
    """Where this user's key lives: $ORTHODX_KEY, else the configuration folder; `UsageError` where there is none."""
    if own := os.environ.get("ORTHODX_KEY"):
        return Path(own)
    try:
        return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "orthodx" / "key"
    except RuntimeError as error:
        raise UsageError("no home folder to keep the key of the ids in", hint="set ORTHODX_KEY to a file") from error


def passing_key_note() -> str:
    """A line to say where this user's key cannot be kept, so that ids are others in every run; else nothing."""
    path = key_path()
    load_key(path)
    if path.is_file() and os.access(path, os.R_OK):
        return ""
    return f"{path}: the key can be neither read nor made: ids differ in every run; set ORTHODX_KEY to a file"


def whereabouts(path: Path) -> str:
    """A keyed hash of where an input lies, to tell two inputs of one name apart; blank where no key can be kept."""
    try:
        return "" if passing_key_note() else pseudonym(os.path.realpath(path))
    except UsageError:
        return ""


@lru_cache(maxsize=4)
def load_key(path: Path) -> bytes:
    """Read the key, making one of 32 random bytes at the first use; a read-only home gets a passing key.

    Raises `UsageError` for a key too short to protect anyone.
    """
    with contextlib.suppress(OSError):
        if not path.exists():
            _make_key(path)
    try:
        key = path.read_bytes()
    except OSError:
        return secrets.token_bytes(_KEY_BYTES)
    if len(key) < 16:
        raise UsageError(f"{path}: a key of {len(key)} bytes is too short", hint="delete it, or give another --key")
    return key


def _make_key(path: Path) -> None:
    """Two processes may both try: the key appears whole, and the first one stays."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=".part-", dir=path.parent)  # readable by its owner only
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(secrets.token_bytes(_KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(name, path)
        except FileExistsError:
            pass
        except OSError:  # a file system without links
            if not path.exists():
                os.rename(name, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)


def pseudonym(value: str, length: int = 12, key: Path | None = None) -> str:
    """Hexadecimal keyed hash of an identifying value. key: the key file, this user's own unless given."""
    return hmac.new(load_key(key or key_path()), value.encode("utf-8", "surrogateescape"), hashlib.sha256).hexdigest()[
        :length
    ]
