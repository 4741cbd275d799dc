"""Inputs that nothing was learned from: each is named to the person, and in the record without its path."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from orthodx.studies.nameless import nameless
from orthodx.studies.series import Series


class LeftOut(NamedTuple):
    """name: the id of a series, or where an input lies. paths: further ones that the reason may name."""

    name: str
    reason: str
    series_id: str = ""
    paths: tuple[Path, ...] = ()

    @classmethod
    def of(cls, series: Series, reason: str) -> LeftOut:
        """A series, by its id."""
        return cls(series.series_id, reason, series.series_id, series.paths)

    @property
    def line(self) -> str:
        """For the terminal."""
        return f"{self.name}: {self.reason.removeprefix(f'{self.name}: ')}"

    def row(self, given: Iterable[Path], *, keep_paths: bool) -> dict[str, Any]:
        """For the record. given: paths that the reason may name too."""
        paths: list[str | Path] = [self.name, *self.paths, *given]
        reason = self.reason if keep_paths else nameless(self.reason, paths, {self.series_id})
        return {"series_id": self.series_id, "reason": reason, **({"path": self.name} if keep_paths else {})}


Leave = Callable[[LeftOut], None]
