"""`Series`: one image of a study, known by its metadata and loaded when needed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orthodx.joints import View
from orthodx.studies.grouping import Stack
from orthodx.studies.volume import Volume


@dataclass(frozen=True)
class Series:
    """One image series.

    series_id is unique within a run and safe as a file name. row: further manifest columns. stack: the DICOM
    frames it is made of, None for NIfTI.
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


@dataclass(frozen=True)
class Found:
    """What a search found: usable series, refused inputs with the reason, and how many files were passed over."""

    series: list[Series]
    refused: list[tuple[str, str]]
    passed_over: int = 0
