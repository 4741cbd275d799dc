"""`Series`: one image of a study, known by its metadata and loaded when needed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from orthodx.joints import View
from orthodx.studies.grouping import Stack
from orthodx.studies.identity import passing_key_note
from orthodx.studies.keys import file_name
from orthodx.studies.run_record import sha256, sha256_of
from orthodx.studies.volume import Volume


@dataclass(frozen=True)
class Series:
    """One image series.

    Ids are as they were written; patient_id is blank where it is unknown, series_id is unique within a run, for which
    it may have had to differ from own_id. row: further manifest columns. stack: the DICOM frames it is made of, None
    for NIfTI.
    """

    patient_id: str
    study_id: str
    series_id: str
    path: Path
    view: View
    oblique: bool
    load: Callable[[], Volume] = field(compare=False, repr=False)
    row: dict[str, Any] = field(default_factory=dict, compare=False)
    stack: Stack | None = field(default=None, compare=False, repr=False)
    own_id: str = field(default="", compare=False)

    @cached_property
    def content(self) -> str:
        """SHA-256 of the files it is made of, hexadecimal."""
        if self.stack is None:
            return sha256(self.path)
        digests = []
        for file in self.stack.files:
            with file.open() as stream:
                digests.append(sha256_of(stream))
        return hashlib.sha256("".join(sorted(digests)).encode()).hexdigest()

    @property
    def doubts(self) -> list[str]:
        """What its headers, or the manifest of its conversion, warn of, such as signs of missing slices."""
        told = str(self.row.get("warnings") or "")
        return [told] if told else []

    @property
    def file_name(self) -> str:
        """What files about this series are called."""
        return file_name(self.series_id)

    @property
    def paths(self) -> tuple[Path, ...]:
        """What may be named in a message about it: its folder and its files."""
        files = self.stack.files if self.stack is not None else ()
        return (self.path, *(path for file in files for path in (file.path, Path(file.member), Path(file.name))))


def ids_note(series: Iterable[Series]) -> str:
    """A line to say where ids of DICOM cannot be the same in the next run; else nothing."""
    return passing_key_note() if any(one.stack is not None for one in series) else ""
