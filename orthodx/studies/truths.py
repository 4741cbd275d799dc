"""The true masks of series in several folders, each looked for in its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from orthodx.studies.discover import find_series
from orthodx.studies.mask_files import truth_of
from orthodx.studies.series import Series


class Apart(NamedTuple):
    """A series as it is found in its folder alone: its id there, and its true mask, None without."""

    series_id: str
    mask: Path | None


def truths_of(paths: Sequence[Path], series: Sequence[Series]) -> dict[str, Apart]:
    """Series, of a search through all paths -> what it is in its own.

    Where several folders have a series of one name, its id differs from the one here, and its mask is called by it.
    """
    alone = {(one.path, one.own_id): Apart(one.series_id, truth_of(path, one))
             for path in paths for one in find_series([path]).series}  # fmt: skip
    return {one.series_id: alone.get((one.path, one.own_id), Apart(one.series_id, None)) for one in series}
