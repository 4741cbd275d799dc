"""Names that do not betray a patient: keyed hashes of DICOM UIDs (HMAC-SHA256, RFC 2104)."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from functools import lru_cache
from pathlib import Path


def key_path() -> Path:
    """Where this user's key lives: $ORTHODX_KEY, else the configuration folder."""
    default = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "orthodx" / "key"
    return Path(os.environ.get("ORTHODX_KEY") or default)


@lru_cache(maxsize=4)
def load_key(path: Path) -> bytes:
    """Read the key, making one of 32 random bytes at the first use; a read-only home gets a passing key."""
    try:
        return path.read_bytes()
    except OSError:
        key = secrets.token_bytes(32)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(key)
    except OSError:
        return path.read_bytes() if path.exists() else key
    return key


def pseudonym(value: str, length: int = 8) -> str:
    """Hexadecimal keyed hash of an identifying value."""
    return hmac.new(load_key(key_path()), value.encode(), hashlib.sha256).hexdigest()[:length]
