"""Text of unknown origin, fit to be shown: file names of old CDs, names that would drive a terminal."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_STRAY = re.compile(r"[\ud800-\udfff]")  # bytes of a file name that are not UTF-8, as Python keeps them
# what moves a cursor, rings a bell, or turns the direction of writing
_UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def readable(text: object, keep: str = "") -> str:
    """Text that any file and any terminal takes: stray bytes read as Windows-1252, control signs as escapes.

    keep: control signs that may stay, such as the line feeds of a page.

    >>> readable("M\\udcfcller"), readable("a\\x1b[31m")
    ('Müller', 'a\\\\x1b[31m')
    """
    seen = _STRAY.sub(lambda sign: _as_windows(ord(sign[0])), str(text))
    return _UNSEEN.sub(lambda sign: sign[0] if sign[0] in keep else _escaped(sign[0]), seen)


_ONE = {"series": "series", "have": "has", "are": "is", "name": "names", "match": "matches", "train": "trains"}
_ONE |= {"test": "tests", "calibrate": "calibrates"}


def counted(number: int, things: str) -> str:
    """A number of things, and the verb behind them where one is given: one of them is no plural.

    >>> counted(1, "studies"), counted(2, "studies have"), counted(1, "rows match"), counted(1, "series have")
    ('1 study', '2 studies have', '1 row matches', '1 series has')
    """
    if number == 1:
        noun, *verb = things.split()
        noun = _ONE.get(noun) or (f"{noun[:-3]}y" if noun.endswith("ies") else noun.removesuffix("s"))
        things = " ".join([noun, *(_ONE.get(word, word) for word in verb)])
    return f"{number} {things}"


def readable_values(value: Any) -> Any:
    """The same lists and dictionaries, every text of them `readable`."""
    if isinstance(value, Mapping):
        return {readable(name): readable_values(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [readable_values(one) for one in value]
    return value if value is None or isinstance(value, (bool, int, float)) else readable(value)


def _as_windows(code: int) -> str:
    """A byte that `surrogateescape` kept, as the sign it had on most machines of its time."""
    if not 0xDC80 <= code <= 0xDCFF:
        return "\ufffd"
    return bytes([code - 0xDC00]).decode("cp1252", "replace")


def _escaped(sign: str) -> str:
    return sign.encode("unicode_escape").decode("ascii")


def in_words(seconds: float) -> str:
    """`40 s`, `7 min`, `2.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
