"""Which side a joint is of, as tables and headers say it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

LEFT, RIGHT = "left", "right"
_WORDS = {"l": LEFT, "lt": LEFT, LEFT: LEFT, "r": RIGHT, "rt": RIGHT, RIGHT: RIGHT}
_UNSAID = {"", "unknown", "nan", "none", "u"}


def side_of(told: object) -> str:
    """ "left", "right", or blank for anything else, such as "unknown"; `L` and `Left` are left."""
    return _WORDS.get(str(told or "").strip().lower(), "")


def side_or_word(row: Mapping[str, Any]) -> str:
    """The side that a manifest's row says; what it says in words unknown here as it stands, lest two sides be one."""
    told = str(row.get("laterality") or "").strip().lower()
    return side_of(told) or ("" if told in _UNSAID else told)


def side_of_row(row: Mapping[str, Any]) -> str:
    """The side that a manifest's row says."""
    return side_of(row.get("laterality"))
