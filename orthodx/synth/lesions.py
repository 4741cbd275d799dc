"""Lesions as plain data: what was drawn for a patient, enough to paint it again; kept in `study.json`.

Each kind is a frozen dataclass of its joint's package.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any, ClassVar, Protocol


class Lesion(Protocol):
    """code: the abnormality that it is, or the name of a sign without a label."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def code(self) -> str: ...


def as_records(lesions: Sequence[Lesion]) -> list[dict[str, Any]]:
    """For JSON: the fields of each lesion and its `kind`."""
    return [{"kind": type(lesion).__name__, **asdict(lesion)} for lesion in lesions]


def from_records(records: Sequence[dict[str, Any]], kinds: Iterable[type]) -> tuple[Any, ...]:
    """The lesions of `as_records`, which are of these kinds."""
    named = {kind.__name__: kind for kind in kinds}
    return tuple(named[r["kind"]](**{k: v for k, v in r.items() if k != "kind"}) for r in records)
