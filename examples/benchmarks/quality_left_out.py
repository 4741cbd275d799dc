"""How well is the Dice of masks told on centers that no curve was fitted to?

    orthodx models calibrate BUNDLE COHORT --out known
    python examples/benchmarks/quality_left_out.py known COHORT [--center Riverside --center Uplands]

COHORT is a folder written by `orthodx synth`. Curves are fitted anew to the series of the other centers in
known/calibration.csv. Per structure: masks tested, Spearman's correlation of expected and true Dice, the same of
unspoiled masks alone, and the mean absolute difference. Markdown.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from orthodx.inference.quality import Firmness, inputs_of_curve
from orthodx.trials.familiar import fit_curve
from orthodx.trials.rated_masks import USUAL


def main() -> None:
    """Parse, fit, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("known", type=Path)
    parser.add_argument("cohort", type=Path)
    parser.add_argument("--center", action="append", help="left out (default: Riverside and Uplands)")
    options = parser.parse_args()
    left_out = options.center or ["Riverside", "Uplands"]
    centers = pd.read_csv(options.cohort / "manifest.csv").set_index("series_id")["center"]
    table = pd.read_csv(options.known / "calibration.csv")
    print("| structure | masks | correlation | unspoiled | difference |\n|---|---|---|---|---|")
    for name, part in table.groupby("structure", sort=False):
        told = part[["agreement", "promised", "strangeness"]].itertuples(index=False)
        inputs = np.array([inputs_of_curve(Firmness(agree, promise), far) for agree, promise, far in told])
        usual = (part["image"] == USUAL).to_numpy()
        test = part["series_id"].map(centers).isin(left_out).to_numpy()
        curve = fit_curve(inputs[~test], part["dice"].to_numpy()[~test], usual[~test])
        if curve is None:
            print(f"| {name} | too few | | | |")
            continue
        expected = pd.Series([curve.of(x.tolist()) for x in inputs[test]])
        true, plain = part["dice"][test].reset_index(drop=True), pd.Series(usual[test])
        both = [expected[chosen].corr(true[chosen], method="spearman") for chosen in (plain | True, plain)]
        print(f"| {name} | {test.sum()} | {both[0]:.2f} | {both[1]:.2f} | {(expected - true).abs().mean():.2f} |")


if __name__ == "__main__":
    main()
