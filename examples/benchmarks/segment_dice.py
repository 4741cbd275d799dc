"""Segment a synthetic cohort and print Dice per structure and view with patient-bootstrap intervals.

    orthodx synth cohort --studies 24 --seed 9001
    python examples/benchmarks/segment_dice.py cohort --model knee-small

COHORT is a folder written by `orthodx synth` (manifest.csv, truth/). The table is Markdown, as in model cards.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

import orthodx
from orthodx.evaluation.overlap import dice_by_structure, on_grid_of
from orthodx.evaluation.resampling import patient_mean
from orthodx.joints import KNEE, View
from orthodx.studies.nifti import read_volume


def main() -> None:
    """Parse, segment what is missing, score, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cohort", type=Path)
    parser.add_argument("--model", default="knee-small")
    parser.add_argument("--out", type=Path, help="where masks go (default: COHORT/masks)")
    options = parser.parse_args()
    out = options.out or options.cohort / "masks"
    orthodx.segment([options.cohort / "manifest.csv"], out, model=options.model, preview=False, resume=True)
    rows = []
    for series in pd.read_csv(options.cohort / "manifest.csv").itertuples():
        found, truth = (read_volume(d / f"{series.series_id}.nii.gz") for d in (out, options.cohort / "truth"))
        found = on_grid_of(found, truth, series.series_id)
        mm3 = abs(np.linalg.det(truth.affine[:3, :3]))
        sizes = np.bincount(np.asarray(truth.data, np.uint8).ravel(), minlength=256) * mm3
        for value, dice in dice_by_structure(found.data, truth.data, KNEE.names).items():
            if sizes[value] >= 100:  # a structure of which the field of view holds less than 0.1 mL is not scored
                rows.append((series.patient_id, series.view, KNEE.names[value], dice))
    table = pd.DataFrame(rows, columns=["patient", "view", "structure", "dice"])
    print(f"| structure | {' | '.join(View)} | all views |\n|---|{'---|' * 4}")
    for name in KNEE.names.values():
        cells = []
        for view in (*View, None):
            part = table[(table.structure == name) & ((table.view == view) | (view is None))]
            e = patient_mean(part.dice.tolist(), part.patient.tolist())
            cells.append(f"{e.value:.3f} ({e.low:.3f}-{e.high:.3f})")
        print(f"| {name} | {' | '.join(cells)} |")
    print(f"\n{table.patient.nunique()} patients, {len(table)} structures scored; 95 % patient-bootstrap intervals.")


if __name__ == "__main__":
    main()
