"""Which side a joint is of, as tables and headers say it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

LEFT, RIGHT = "left", "right"
_WORDS = {"l": LEFT, LEFT: LEFT, "r": RIGHT, RIGHT: RIGHT}


def side_of(told: object) -> str:
    """ "left", "right", or blank for anything else, such as "unknown"; `L` and `Left` are left."""
    return _WORDS.get(str(told or "").strip().lower(), "")


def side_of_row(row: Mapping[str, Any]) -> str:
    """The side that a manifest's row says."""
    return side_of(row.get("laterality"))
