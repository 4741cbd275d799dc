"""AUROC over the share of labelled studies: arms side by side, means over seeds, as in docs/transfer.md.

    python examples/benchmarks/label_shares.py examples/results/transfer_labels/ankle [--center Riverside]

FOLDER holds predictions.csv (study_id, arm, share, seed, a probability a label), labels.csv and studies.csv (study_id,
patient_id, center). The first arm is compared with each other one at the same share. Intervals are those of `orthodx
evaluate`'s label efficiency: DeLong over patients, and the scatter of the seeds as one more part of the error.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from orthodx.evaluation.comparison import Run
from orthodx.evaluation.label_efficiency import PRETRAINED, label_efficiency
from orthodx.evaluation.notices import Notices
from orthodx.evaluation.rows import MACRO, Row
from orthodx.evaluation.run_facts import RunFacts
from orthodx.evaluation.tables import Diagnoses


def runs_of(folder: Path, arms: Sequence[str], centers: Sequence[str] = ()) -> list[Run]:
    """A run of each arm, share and seed. centers: only studies of these, if given."""
    told = pd.read_csv(folder / "predictions.csv", dtype={"study_id": str})
    truth, about = (
        pd.read_csv(folder / f"{name}.csv", dtype={"study_id": str}).set_index("study_id")
        for name in ("labels", "studies")
    )
    if centers:
        told = told[told.study_id.map(about.center).isin(centers)]
    labels = tuple(column for column in told.columns if column in truth.columns)
    runs = []
    for (arm, share, seed), part in told[told.arm.isin(arms)].groupby(["arm", "share", "seed"]):
        studies = part.study_id.to_numpy()
        found = Diagnoses(
            studies,
            about.patient_id.reindex(studies).to_numpy(),
            labels,
            part[list(labels)].to_numpy(float),
            truth.loc[studies, list(labels)].to_numpy(float),
        )
        start = PRETRAINED if arm == arms[0] else str(arm)
        runs.append(Run(RunFacts(f"{arm} {share:g} {seed}", {}, float(share), start, "", {}), found))
    return runs


def efficiency(folder: Path, arms: Sequence[str], centers: Sequence[str] = ()) -> list[Row]:
    """Rows of `evaluate`'s label efficiency; `note` is the arm, `against` the other one of a difference."""
    return label_efficiency(runs_of(folder, arms, centers), Notices())


def cell(rows: Sequence[Row], target: str, share: float, arm: str, against: str = "") -> str:
    """A value with its interval."""
    sign = "+" if against else ""
    for row in rows:
        if (row.target, row.group, row.note, row.against) == (target, f"{share:.4g}", arm, against):
            return f"{row.value:{sign}.3f} ({row.low:{sign}.3f} to {row.high:{sign}.3f})"
    return ""


def main() -> None:
    """Print the macro average, then each label, at every share."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--arm", action="append", help="the first is compared with the others (default: all)")
    parser.add_argument("--center", action="append", default=[], help="only its studies (repeatable)")
    options = parser.parse_args()
    known = pd.read_csv(options.folder / "predictions.csv")
    arms = options.arm or list(known.arm.unique())
    rows = efficiency(options.folder, arms, options.center)
    shares = sorted(known[known.arm.isin(arms)].share.unique())
    names = [PRETRAINED, *arms[1:]]
    print(f"| target, share | {' | '.join(arms)} | {' | '.join(f'minus {arm}' for arm in arms[1:])} |")
    print("|---|" + "---|" * (2 * len(arms) - 1))
    for target in dict.fromkeys([MACRO, *(row.target for row in rows)]):
        for share in shares:
            values = [cell(rows, target, share, name) for name in names]
            gaps = [cell(rows, target, share, PRETRAINED, name) for name in names[1:]]
            print(f"| {target}, {share:.0%} | {' | '.join([*values, *gaps])} |")


if __name__ == "__main__":
    main()
