"""What became of one series in `orthodx segment`, and what its tables say of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from orthodx.bundles.model_json import BundleInfo
from orthodx.inference.plausibility import unsure
from orthodx.measuring.of_study import FACTS, how_seen
from orthodx.studies.nameless import nameless
from orthodx.studies.series import Series
from orthodx.studies.volume import Volume

VOLUME_COLUMNS = ("study_id", "series_id", "view", "structure", "voxels", "ml", "quality", "cut", "voxel_mm", *FACTS)
STATUS_COLUMNS = ("study_id", "series_id", "status", "reason", "strangeness", "planes", "fused", "seconds")


@dataclass
class Case:
    """What became of one series (or of an input that never became one). source and reason may name folders."""

    study_id: str
    series_id: str
    source: str
    status: str  # ok, warned or failed
    reason: str
    seconds: float
    volumes: list[dict[str, Any]] = field(default_factory=list)
    strangeness: float | None = None  # above 1: unlike what the model has learned from
    planes: int | None = None  # in which it was read
    fused: int | None = None  # how many other series of the study helped, where that was asked for

    def row(self, keep_paths: bool, paths: Iterable[Path] = ()) -> dict[str, Any]:
        """What files say of it. paths: further ones that the reason may name."""
        row = dict(self.__dict__)
        if not keep_paths:
            row["reason"] = nameless(self.reason, (row.pop("source"), *paths), (self.study_id, self.series_id))
        return row


def volume_rows(
    series: Series, mask: Volume, info: BundleInfo, sizes: Mapping[int, tuple[int, float]], quality: Mapping[int, float]
) -> list[dict[str, Any]]:
    """A row a structure. sizes: value -> voxels and mL in the mask. quality: value -> expected Dice, where known."""
    shown = how_seen(np.asarray(mask.data), mask.affine, mask.spacing_mm)
    return [
        {
            **told_of(series),
            "view": str(series.view),
            "structure": name,
            "voxels": sizes[value][0],
            "ml": round(sizes[value][1], 3),
            "quality": round(quality[value], 3) if value in quality else "",
            "unsure": value in quality and unsure(quality[value], info.quality.get(name)),
            **shown.get(value, {}),
        }
        for value, name in info.joint.names.items()
    ]


def told_of(series: Series) -> dict[str, Any]:
    """What its manifest says of it, as each of its rows does."""
    facts = {name: "" if (value := series.row.get(name, "")) == "unknown" else value for name in FACTS}
    return {"study_id": series.study_id, "series_id": series.series_id, **facts}
