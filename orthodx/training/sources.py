"""Where training samples come from: banks of anatomies, studies on disk, or both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from torch import Tensor

from orthodx.errors import NoInputError, UsageError
from orthodx.grid.spec import GridSpec
from orthodx.joints import View
from orthodx.studies.discover import find_series
from orthodx.synth.anatomy_bank import AnatomyBank
from orthodx.synth.focus import Focus
from orthodx.synth.source import SyntheticSource
from orthodx.training.study_source import StudySource

STREAM = 7_919  # which source a sample is of is drawn apart from what it shows


@dataclass
class Mixture:
    """Samples of several sources; `source[i, view]` is sample i of one of them, drawn by their `shares`.

    As those of its sources, a sample depends on seed, i and view only.
    """

    sources: Sequence[SyntheticSource | StudySource]
    shares: Sequence[float]
    seed: int

    def __post_init__(self) -> None:
        self._reach = np.cumsum(self.shares) / np.sum(self.shares)

    def __getitem__(self, key: tuple[int, View]) -> tuple[Tensor, Tensor]:
        i, view = key
        drawn = np.random.default_rng([self.seed, i, list(View).index(view), STREAM]).random()
        return self.sources[int(np.searchsorted(self._reach, drawn, side="right"))][key]


def open_source(
    studies: Sequence[Path],
    spec: GridSpec,
    crop: tuple[int, int, int],
    seed: int,
    *,
    truth: bool,
    views: Sequence[View] = (),
    what: Literal["structures", "lesions", "both"] = "structures",
    cache: Path | None = None,
    focus: tuple[float, tuple[str, ...]] | None = None,
    bank_share: float | None = None,
) -> SyntheticSource | StudySource | Mixture:
    """Anatomy banks give endless synthetic images; anything else is read as studies.

    truth: masks are needed, in the folder `truth/` beside the manifest or the images. views: those that studies must
    have. what: of a bank of injured knees, what the truth holds. focus: the share of crops taken on purpose, and for
    which labels (`Focus`). cache: a folder for series on the model's grid, needed where they do not fit in memory.
    bank_share: of the samples, where there are banks and studies (half without it); several banks count by their
    anatomies. Raises `UsageError` for what does not fit together, `NoInputError` where there is nothing.
    """
    banks = [bank for path in studies if len(bank := AnatomyBank(path)) > 0]
    known = {bank.folder for bank in banks}
    scans = [path for path in studies if path not in known]
    if bank_share is not None and not (banks and scans):
        raise UsageError("--bank-share parts the samples of banks and studies", hint="give both, or leave it out")
    if (what != "structures" or focus) and (scans or len(banks) > 1):
        raise UsageError("lesion masks are read from one bank alone", hint="give one made by 'orthodx synth --lesions'")
    aim = Focus(banks[0], *focus) if focus else None
    sources: list[SyntheticSource | StudySource] = [
        SyntheticSource(bank, spec, crop, seed, truth=what, focus=aim) for bank in banks
    ]
    shares = [float(len(bank)) for bank in banks]
    if scans:
        of_banks = 0.5 if bank_share is None else bank_share
        shares = [of_banks * share / sum(shares) for share in shares] + [1 - of_banks if banks else 1.0]
        read = _studies(scans, spec, crop, seed, truth, cache)
        read.refuse_without(views)
        sources.append(read)
    return sources[0] if len(sources) == 1 else Mixture(sources, shares, seed)


def _studies(
    studies: Sequence[Path], spec: GridSpec, crop: tuple[int, int, int], seed: int, truth: bool, cache: Path | None
) -> StudySource:
    found = find_series(studies)
    if not found.series:
        raise NoInputError(
            f"nothing to train on in {', '.join(map(str, studies))}",
            hint="give studies, or a bank made by 'orthodx synth --bank'",
        )
    if not truth:
        return StudySource(found.series, spec, crop, seed, None, cache)
    for root in (studies[0], studies[0].parent):
        if (root / "truth").is_dir():
            have = [s for s in found.series if (root / "truth" / f"{s.series_id}.nii.gz").is_file()]
            if have:
                return StudySource(have, spec, crop, seed, root / "truth", cache)
    raise UsageError(f"no masks for the series of {studies[0]}", hint="put them into truth/<series_id>.nii.gz")
