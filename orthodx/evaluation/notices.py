"""What a person is told on the way: cases that were refused, and facts worth knowing. The rest goes on."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from orthodx.studies.readable import readable


@dataclass
class Notices:
    """Collects one line a finding and passes it on: `refuse` for what could not be scored, `note` for the rest.

    tell: called with (line, refused). called: what names of files are put down as; the person told sees them unchanged.
    left_out: studies and masks without a partner.
    """

    tell: Callable[[str, bool], None] = lambda line, refused: None
    refused: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    called: Mapping[str, str] = field(default_factory=dict)
    left_out: int = 0

    def refuse(self, message: str, hint: str | None) -> None:
        """A case or value that is left out because it cannot be trusted."""
        line = readable(f"{message} -> {hint}" if hint else message)
        self.refused.append(self._put_down(line))
        self.tell(line, True)

    def note(self, message: str) -> None:
        """A fact that changes how the numbers are read."""
        line = readable(message)
        self.notes.append(self._put_down(line))
        self.tell(line, False)

    def _put_down(self, line: str) -> str:
        for name in sorted(self.called, key=len, reverse=True):
            line = re.sub(rf"(?<!\w){re.escape(name)}(?!(?<=\w)\w)", self.called[name], line)
        return line


def some(names: Sequence[str], most: int = 4) -> str:
    """The first few names, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
