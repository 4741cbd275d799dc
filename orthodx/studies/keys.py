"""Ids: how tables and files are joined by them, and what a file is called after one."""

from __future__ import annotations

import hashlib
import re
import unicodedata

from orthodx.studies.readable import readable

_ODD = re.compile(r"[^\w.-]+")  # \w: letters and digits of any script
_LEADING = re.compile(r"^[.-]+")  # hidden files, and names that look like options
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)  # on Windows
_LONGEST, _MOST_BYTES = 120, 200  # a file name has 255 bytes, and something follows


def study_key(text: object) -> str:
    """What a patient, study or series id is joined by in every table: itself, without outer blanks, composed (NFC),
    and `readable`.

    Case counts, and so do leading zeros.

    >>> study_key(" Mu\\u0308ller ") == study_key("M\\u00fcller")
    True
    """
    return unicodedata.normalize("NFC", readable(str(text).strip()))


def file_name(key: str) -> str:
    """The name of a file about `key`: the id itself wherever every system takes it.

    Else what does not fit is replaced and a short hash of the id stands behind it, so that no two ids share a file.
    A file name gives itself.

    >>> file_name("knee-7.2"), file_name("Knee 001/A")
    ('knee-7.2', 'Knee_001_A-65e09b')
    """
    key = study_key(key)
    name = _LEADING.sub("_", _ODD.sub("_", key)).rstrip(".")
    if (
        name == key
        and 0 < len(name) <= _LONGEST
        and len(name.encode()) <= _MOST_BYTES
        and not _RESERVED.fullmatch(name)
    ):
        return name
    short = name[: _LONGEST - 7].encode()[: _MOST_BYTES - 7].decode(errors="ignore")
    return f"{short or 'unnamed'}-{hashlib.sha256(key.encode()).hexdigest()[:6]}"
