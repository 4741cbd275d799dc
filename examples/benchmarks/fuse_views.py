"""What do the series of a study gain from each other, and what when the patient has moved between them?

    orthodx synth cohort --studies 8 --seed 9102 --anatomy MAPS
    python examples/benchmarks/fuse_views.py cohort [--moved 0,2,8] [--model knee-small]

COHORT is a folder written by `orthodx synth` (manifest.csv, truth/). The other series of each study are shifted by so
many mm, in a direction at random, before they help as in `segment --fuse-views`. Prints mean Dice per structure, and
the gain of the first of these with a patient-bootstrap interval.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from orthodx.bundles.bundle import open_bundle
from orthodx.evaluation.overlap import dice_by_structure, on_grid_of
from orthodx.evaluation.resampling import patient_mean
from orthodx.inference.decision import mask_of
from orthodx.inference.fuse_views import fused
from orthodx.inference.predict import Segmenter
from orthodx.inference.sights import see
from orthodx.studies.discover import find_series
from orthodx.studies.nifti import read_volume
from orthodx.studies.study import Study

SEED, LEAST_MM3 = 0, 100  # a structure of which the field of view holds less is not scored


def one_study(study: Study, truth: Path, segmenter: Segmenter, moved: list[float]) -> list[dict]:
    """Rows (patient, structure, way, dice)."""
    rng, joint, rows = np.random.default_rng(SEED), segmenter.bundle.info.joint, []
    volumes = {one.series_id: one.load() for one in study.series}
    sights = {one.series_id: see(segmenter, one, volumes[one.series_id]) for one in study.series}
    for name, own in sights.items():
        known = read_volume(truth / f"{name}.nii.gz")
        sizes = np.bincount(known.data.ravel().astype(np.uint8), minlength=256) * abs(
            np.linalg.det(known.affine[:3, :3])
        )
        found = {"alone": own.prediction.probabilities}
        for mm in moved:
            others = []
            for other in (sight for key, sight in sights.items() if key != name):
                affine = other.grid.affine.copy()
                way = rng.normal(size=3)
                affine[:3, 3] += mm * way / np.linalg.norm(way)
                others.append(replace(other, grid=replace(other.grid, affine=affine)))
            found[f"moved {mm:g} mm"] = fused(own, others).probabilities
        for way, probabilities in found.items():
            mask = replace(volumes[name], data=mask_of(probabilities, own.grid, volumes[name], joint))
            scores = dice_by_structure(on_grid_of(mask, known, name).data, known.data, joint.names)
            about = {"patient": study.patient_id or study.study_id, "way": way}
            rows += [
                {**about, "structure": joint.names[value], "dice": dice}
                for value, dice in scores.items()
                if sizes[value] >= LEAST_MM3
            ]
    return rows


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cohort", type=Path)
    parser.add_argument("--model", default="knee-small")
    parser.add_argument("--moved", default="0,2,8", help="mm")
    given = parser.parse_args()
    segmenter, rows = Segmenter(open_bundle(given.model), torch.device("cpu")), []
    for study in find_series([given.cohort / "manifest.csv"]).studies:
        rows += one_study(study, given.cohort / "truth", segmenter, [float(mm) for mm in given.moved.split(",")])
    table = pd.DataFrame(rows)
    ways = list(dict.fromkeys(table.way))
    print(f"| structure | {' | '.join(ways)} | {ways[1]} minus alone |\n|---|{'---|' * (len(ways) + 1)}")
    for name, part in table.groupby("structure", sort=False):
        means = part.groupby("way").dice.mean()
        alone, first = (part[part.way == way] for way in ways[:2])
        gain = patient_mean((first.dice.to_numpy() - alone.dice.to_numpy()).tolist(), first.patient.tolist())
        cells = " | ".join(f"{means[way]:.3f}" for way in ways)
        print(f"| {name} | {cells} | {gain.value:+.3f} ({gain.low:.3f} to {gain.high:.3f}) |")


if __name__ == "__main__":
    main()
