"""Series segmented as `orthodx segment` does, as they are and spoiled, beside their truth: what fits the quality."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from orthodx.errors import StudyError
from orthodx.evaluation.overlap import dice_by_structure, on_grid_of
from orthodx.grid.canonical import to_grid
from orthodx.inference.decision import mask_of
from orthodx.inference.predict import Segmenter
from orthodx.inference.quality import Firmness
from orthodx.inference.sights import Sight, can_be_cut, in_all_planes
from orthodx.studies.mask_files import read_labels_file
from orthodx.studies.series import Series
from orthodx.studies.study import Study
from orthodx.studies.truths import Apart
from orthodx.studies.volume import Volume
from orthodx.trials.spoiling import spoiled

USUAL = "as it is"
LEAST_ML = 0.1  # of a structure in the field of view, below which its mask is not rated
Say = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class Look:
    """One image of a series segmented. image: as it is, or spoiled. dice: structure value -> true Dice, if known."""

    study: Study
    series: Series
    image: str
    features: Tensor
    firm: Mapping[int, Firmness]
    dice: Mapping[int, float]

    def row(self, value: int, structure: str) -> dict[str, Any]:
        """What `calibration.csv` says of one structure, but for what was fitted."""
        firm = self.firm[value]
        return {
            "study_id": self.series.study_id,
            "series_id": self.series.series_id,
            "view": str(self.series.view),
            "image": self.image,
            "structure": structure,
            "agreement": round(firm.agreement, 4),
            "promised": round(firm.promised, 4),
            "dice": round(self.dice[value], 4),
        }


def looks_at(
    segmenter: Segmenter,
    volumes: Iterable[tuple[Study, Series, Volume]],
    truths: Mapping[str, Apart],
    block: str,
    seed: int,
    say: Say,
) -> list[Look]:
    """Each series as it is, and spoiled where its truth is known. block: of the encoder, whose features are kept."""
    looks: list[Look] = []
    for number, (study, series, volume) in enumerate(volumes):
        truth = _truth(truths[series.series_id].mask, series, volume, say)
        images = {USUAL: volume}
        if truth is not None:
            bad = spoiled(np.asarray(volume.data), np.random.default_rng([seed, number]))
            images["spoiled"] = Volume(bad, volume.affine, volume.source)
        for name, image in images.items():
            grid = to_grid(image, segmenter.grid, series.view)
            prediction = segmenter(grid, (block,))
            dice = {} if truth is None else rated(segmenter, Sight(series.series_id, grid, prediction), image, truth)
            looks.append(Look(study, series, name, prediction.features[block], prediction.firm, dice))
        say(f"{series.series_id}: read{' and rated' if truth is not None else ''}")
    return looks


def _truth(path: Path | None, series: Series, volume: Volume, say: Say) -> Volume | None:
    if path is None:
        return None
    try:
        return on_grid_of(read_labels_file(path), volume, series.series_id)
    except StudyError as error:
        say(f"{series.series_id}: its truth is left out: {error.line}")
        return None


def rated(segmenter: Segmenter, own: Sight, volume: Volume, truth: Volume) -> dict[int, float]:
    """Structure value -> Dice of the mask as `segment` writes it, of those that the truth shows or the mask has."""
    joint = segmenter.bundle.info.joint
    sight = in_all_planes(segmenter, own, volume) if can_be_cut(volume, own.grid) else own
    labels = mask_of(sight.prediction.probabilities, own.grid, volume, joint, several=sight.planes > 1)
    ml = volume.voxel_mm3 / 1000
    sizes = np.bincount(np.asarray(truth.data, np.uint8).ravel(), minlength=256) * ml
    found = dice_by_structure(labels, truth.data, joint.names)
    return {v: d for v, d in found.items() if not np.isnan(d) and (sizes[v] >= LEAST_ML or sizes[v] == 0)}
