"""Every head, fusion and input of a diagnosis on one pair of cohorts, in one table.

    python examples/benchmarks/diagnosis_variants.py TRAIN TEST --encoders fit/my-model --out variants/

TRAIN and TEST are cohorts of different patients with labels.csv and ehr.csv, such as `orthodx synth --lesions` writes.
The encoders stay as they are; their features are computed once. Heads and fusions are fitted on TRAIN alone (TEST
goes in as validation, from which only temperatures and thresholds are taken: they change no ranking). AUROC with
DeLong's interval, macro average with the interval of its variance over patients. `--permute` is a control: the
labels of TRAIN are shuffled between its studies.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from orthodx.evaluation.estimates import average
from orthodx.evaluation.label_cases import LabelCases
from orthodx.evaluation.ranking import auroc_interval
from orthodx.grid.region import RegionSpec
from orthodx.joints import KNEE, View
from orthodx.training.diagnosis.fit import Cohort, fit_diagnosis
from orthodx.training.diagnosis.stage_one import DiagnosisConfig
from orthodx.training.starting import start_of

FUSIONS = ("gating", "simple_concat", "linear_concat", "linear_add", "cross_attention")


def variants(head: str) -> dict[str, dict]:
    """Name -> head, fusion, views and whether the record is read."""
    plain = {"head": head, "fusion": "gating", "views": tuple(View), "record": False}
    out = {f"{head}, {fusion}": {**plain, "fusion": fusion} for fusion in FUSIONS}
    out |= {f"{head}, {fusion}, with EHR": {**plain, "fusion": fusion, "record": True} for fusion in FUSIONS[:2]}
    out |= {f"{head}, {view} alone": {**plain, "views": (view,)} for view in View}
    out |= {f"{head}, gating": {**plain, "head": head} for head in ("mean", "global_local", "sap")}
    return out


def run(args: argparse.Namespace, name: str, variant: dict) -> pd.DataFrame:
    """Fit on TRAIN; returns the predictions of TEST."""
    out = args.out / name.replace(", ", "-").replace(" ", "_")
    config = DiagnosisConfig(
        head=variant["head"], fusion=variant["fusion"], views=variant["views"], encoder_share=0.0, seed=args.seed,
        region=RegionSpec(detail=args.detail if variant["head"] == args.head else 1),
    )  # fmt: skip
    cohort = Cohort(
        studies=[args.train],
        validation=[args.test],
        labels=_permuted(args) if args.permute else None,
        ehr=_records(args) if variant["record"] else None,
        cache=args.out / "cache",
    )
    start, device = start_of(args.encoders, variant["views"], "diagnose"), torch.device(args.device)
    fit_diagnosis(config, cohort, out, device=device, start=start, resume=out.exists(), say=lambda line: None)
    return pd.read_csv(out / "validation.csv", dtype={"study_id": str})


def _records(args: argparse.Namespace) -> Path:
    path = args.out / "ehr.csv"
    pd.concat([pd.read_csv(folder / "ehr.csv", dtype=str) for folder in (args.train, args.test)]).to_csv(
        path, index=False
    )
    return path


def _permuted(args: argparse.Namespace) -> Path:
    table = pd.read_csv(args.train / "labels.csv", dtype=str)
    order = np.random.default_rng(args.seed).permutation(len(table))
    table[list(KNEE.codes)] = table[list(KNEE.codes)].to_numpy()[order]
    path = args.out / "permuted_labels.csv"
    table.to_csv(path, index=False)
    return path


def row(name: str, found: pd.DataFrame, truth: pd.DataFrame) -> str:
    """One line of the table."""
    both = found.merge(truth, on="study_id", suffixes=("", "_true"))
    patient = np.unique(both.patient_id, return_inverse=True)[1]
    cases = []
    for label in KNEE.codes:
        member = np.flatnonzero(both[f"{label}_true"].notna())  # a blank is neither positive nor negative
        score, positive = both[label].to_numpy()[member], both[f"{label}_true"].to_numpy()[member] == 1
        cases.append(LabelCases(label, score, positive, patient[member], int(patient.max()) + 1, member))
    areas = [case.auroc() for case in cases]
    cells = [
        f"{area.value:.3f} ({'-'.join(f'{x:.3f}' for x in auroc_interval(area))})" for area in [average(areas), *areas]
    ]
    return f"| {name} | {' | '.join(cells)} |"


def main() -> None:
    """Print the table line by line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train", type=Path)
    parser.add_argument("test", type=Path)
    parser.add_argument("--encoders", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", help="variants whose name holds this")
    parser.add_argument("--head", default="evidence", help="of our own: evidence or anatomy")
    parser.add_argument("--detail", type=int, default=1, help="of that head")
    parser.add_argument("--permute", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    truth = pd.read_csv(args.test / "labels.csv", dtype={"study_id": str})
    print(f"| variant | macro | {' | '.join(KNEE.codes)} |\n|{'---|' * (len(KNEE.codes) + 2)}", flush=True)
    for name, variant in variants(args.head).items():
        if not args.only or args.only in name:
            print(row(name, run(args, name, variant), truth), flush=True)


if __name__ == "__main__":
    main()
