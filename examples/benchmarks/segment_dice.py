"""Segment a synthetic cohort and print Dice per structure and view, HD95 of bones and volumes, as in model cards.

    orthodx synth cohort --studies 24 --seed 9001
    python examples/benchmarks/segment_dice.py cohort --model knee-small [--table dice.csv]

COHORT is a folder written by `orthodx synth` (manifest.csv, truth/). Dice with 95 % patient-bootstrap intervals, as
Markdown. `--table` keeps the Dice of every series, as in examples/results/knee_masks.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

import orthodx
from orthodx.bundles.bundle import open_bundle
from orthodx.evaluation.overlap import on_grid_of
from orthodx.evaluation.resampling import patient_mean
from orthodx.evaluation.segment_scores import score_labels
from orthodx.joints import View
from orthodx.joints.joint import Joint
from orthodx.studies.nifti import read_volume

LEAST_ML = 0.1  # a structure of which the field of view holds less is not scored
FACTS = ["patient_id", "series_id", "view", "center", "field_strength", "sequence"]
FAR_MM = 10.0


def scores_of(cohort: Path, masks: Path, joint: Joint) -> pd.DataFrame:
    """A row a series and structure: FACTS, structure, dice, hd95_mm, truth_ml, volume_error_ml."""
    rows = []
    for series in pd.read_csv(cohort / "manifest.csv").to_dict("records"):
        name = f"{series['series_id']}.nii.gz"
        found, truth = (read_volume(folder / name) for folder in (masks, cohort / "truth"))
        mask, true = (np.asarray(volume.data, np.uint8) for volume in (on_grid_of(found, truth, name), truth))
        for one in score_labels(mask, true, truth.spacing_mm, joint.names, 1.0):
            if one.truth_ml >= LEAST_ML:
                told = {m: getattr(one, m) for m in ("structure", "dice", "hd95_mm", "truth_ml", "volume_error_ml")}
                rows.append({fact: series[fact] for fact in FACTS} | told)
    return pd.DataFrame(rows)


def print_dice(scores: pd.DataFrame, joint: Joint) -> None:
    """Dice by view, with intervals."""
    print(f"| structure | {' | '.join(View)} | all views |\n|---|{'---|' * 4}")
    for name in joint.names.values():
        cells = []
        for view in (*View, None):
            part = scores[(scores.structure == name) & ((scores["view"] == view) | (view is None))]
            e = patient_mean(part.dice.tolist(), part.patient_id.tolist())
            cells.append(f"{e.value:.3f} ({e.low:.3f}-{e.high:.3f})")
        print(f"| {name} | {' | '.join(cells)} |")
    patients = scores.patient_id.nunique()
    print(f"\n{patients} patients, {len(scores)} structures scored; 95 % patient-bootstrap intervals.\n")


def print_distances_and_volumes(scores: pd.DataFrame, joint: Joint) -> None:
    """HD95 of bones, mean and worst; errors of volumes, the mean over series and of the sum."""
    bones = [s.name for s in joint.structures if s.one_piece]
    for name in joint.names.values():
        part = scores[scores.structure == name]
        error = 100 * part.volume_error_ml / part.truth_ml
        in_sum = 100 * part.volume_error_ml.sum() / part.truth_ml.sum()
        line = f"{name}: volume {error.mean():+.0f} % in the mean of series, {in_sum:+.0f} % in sum"
        if name in bones:
            far = part[part.hd95_mm > FAR_MM]
            line += f"; HD95 mean {part.hd95_mm.mean():.1f} mm, worst {part.hd95_mm.max():.1f}"
            line += f", above {FAR_MM:g}: {', '.join(far.series_id) or 'none'}"
        print(line)


def main() -> None:
    """Parse, segment what is missing, score, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cohort", type=Path)
    parser.add_argument("--model", default="knee-small")
    parser.add_argument("--out", type=Path, help="where masks go (default: COHORT/masks)")
    parser.add_argument("--table", type=Path, help="CSV for the Dice of every series")
    options = parser.parse_args()
    out = options.out or options.cohort / "masks"
    orthodx.segment([options.cohort / "manifest.csv"], out, model=options.model, preview=False, resume=True)
    joint = open_bundle(options.model).info.joint
    scores = scores_of(options.cohort, out, joint)
    print_dice(scores, joint)
    print_distances_and_volumes(scores, joint)
    if options.table:
        wide = scores.pivot_table(index=FACTS, columns="structure", values="dice", sort=False)
        wide[list(joint.names.values())].round(4).reset_index().to_csv(options.table, index=False)


if __name__ == "__main__":
    main()
