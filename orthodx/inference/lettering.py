"""How names stand in pictures: as they are written."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from matplotlib import rc_context


@contextmanager
def plain_lettering() -> Iterator[None]:
    """Drawing in which a dollar in a name begins no formula, and a sign that the font lacks is an empty box."""
    with rc_context({"text.parse_math": False}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")
        yield
