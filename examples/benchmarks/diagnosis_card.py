"""The tables of a model card about a diagnosis: each label at its threshold, false calls of healthy joints, centers.

    python examples/benchmarks/diagnosis_card.py examples/results/knee_diagnosis [--free SEED] [--model knee-small]

FOLDER holds predictions.csv (as `orthodx diagnose` writes it), labels.csv and studies.csv (study_id, patient_id,
center). --free: the seed of the studies without any lesion (in their ids), which count as false calls only; there are
none without it. AUROC with DeLong's interval, sensitivity and specificity with Wilson's.
"""

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from orthodx.bundles.bundle import open_bundle
from orthodx.evaluation.estimates import average
from orthodx.evaluation.label_cases import LabelCases, cases_by_label
from orthodx.evaluation.operating import Proportion, at_threshold
from orthodx.evaluation.ranking import auroc_interval
from orthodx.evaluation.tables import Diagnoses

TEXT = {"study_id": str, "patient_id": str}


def read(folder: Path, free: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Studies with `LABEL`, `LABEL_true` and `center`: those that test, and those without any lesion."""
    told, truth, about = (
        pd.read_csv(folder / f"{name}.csv", dtype=TEXT) for name in ("predictions", "labels", "studies")
    )
    about = about[["study_id", "patient_id", "center"]]
    told = told.drop(columns="patient_id", errors="ignore").merge(about, on="study_id")
    both = told.merge(truth.drop(columns="patient_id", errors="ignore"), on="study_id", suffixes=("", "_true"))
    healthy = both.study_id.str.contains(f"-{free}-", regex=False)
    return both[~healthy], both[healthy]


def cases(studies: pd.DataFrame, labels: tuple[str, ...]) -> list[LabelCases]:
    """Each label's known answers."""
    return cases_by_label(
        Diagnoses(
            studies.study_id.to_numpy(),
            studies.patient_id.to_numpy(),
            labels,
            studies[list(labels)].to_numpy(float),
            studies[[f"{label}_true" for label in labels]].to_numpy(float),
        )
    )


def lines(folder: Path, free: str, thresholds: Mapping[str, float]) -> Iterator[str]:
    """The table of labels, line by line."""
    tested, healthy = read(folder, free)
    found = cases(tested, tuple(thresholds))
    for one in found:
        threshold = thresholds[one.name]
        at = at_threshold(one.scores, one.positive, one.patient, threshold)
        well = healthy[healthy[f"{one.name}_true"] == 0]
        false = f"{int((well[one.name] >= threshold).sum())} of {len(well)}" if len(well) else ""
        area = auroc_interval(one.auroc())
        yield (
            f"| {one.name} | {threshold:.2f} | {int(one.positive.sum())} of {len(one.positive)} | "
            f"{_told(one.auroc().value, *area)} | {_share(at['sensitivity'])} | {_share(at['specificity'])} | {false} |"
        )
    macro = average([one.auroc() for one in found])
    yield f"| macro average | | | {_told(macro.value, *auroc_interval(macro))} | | | |"


def by_center(folder: Path, free: str, labels: tuple[str, ...]) -> Iterator[str]:
    """Macro AUROC of each center, over the labels that have both classes there."""
    tested, _ = read(folder, free)
    for center, part in tested.groupby("center"):
        known = [one.auroc() for one in cases(part, labels) if one.both_classes]
        macro = average(known)
        told = _told(macro.value, *auroc_interval(macro))
        yield f"{center} {told}, {part.study_id.nunique()} studies, {len(known)} labels"


def _share(p: Proportion) -> str:
    return _told(p.value, p.low, p.high)


def _told(value: float, low: float, high: float) -> str:
    return f"{value:.3f} ({low:.3f}-{high:.3f})" if np.isfinite(low) else f"{value:.3f}"  # too few for an interval


def main() -> None:
    """Print both."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--free", default="none")
    parser.add_argument("--model", default="knee-small")
    args = parser.parse_args()
    diagnosis = open_bundle(args.model).info.diagnosis
    if diagnosis is None:
        raise SystemExit(f"{args.model} cannot diagnose")
    head = ("label", "threshold", "positives", "AUROC", "sensitivity", "specificity", "false calls")
    print(f"| {' | '.join(head)} |\n|{'---|' * len(head)}")
    print("\n".join(lines(args.folder, args.free, diagnosis.thresholds)))
    print("\n".join(by_center(args.folder, args.free, tuple(diagnosis.thresholds))))


if __name__ == "__main__":
    main()
