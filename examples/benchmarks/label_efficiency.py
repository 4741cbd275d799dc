"""How few labels are enough: the same network, pretrained or from scratch, at shares of the training labels.

    python examples/benchmarks/label_efficiency.py TRAIN TEST --encoder pre/encoder_sagittal.safetensors --out study/

TRAIN and TEST are cohorts with labels.csv, such as `orthodx synth --lesions` writes, of different patients. One view;
arms: `scratch` and `pretrained` are trained end to end, `probe` leaves the pretrained encoder alone. Every run takes
about the same number of steps, however few the labels. Each row of
`study/results.csv` is one arm, share and seed: AUROC of every label on all of TEST, and their mean. A run that was
stopped goes on where it was, and processes with different `--seeds` may share `--out`. The interval of a mean over
seeds is Student's t; that of the difference between two arms pairs their seeds.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy import stats

from orthodx.grid.region import RegionSpec
from orthodx.grid.spec import GridSpec
from orthodx.joints import KNEE, View
from orthodx.training.finetune_diagnose import DiagnoseConfig, finetune_diagnose

BATCH = 8
ARMS = ("scratch", "pretrained", "probe")


def config_of(args: argparse.Namespace, arm: str, fraction: float, seed: int) -> DiagnoseConfig:
    """The same for all arms, but for the encoder's learning rate in a probe."""
    studies = len(pd.read_csv(args.train / "labels.csv"))
    return DiagnoseConfig(
        head=args.head,
        fusion="simple_concat",
        views=(View(args.view),),
        epochs=max(1, round(args.steps * BATCH / (fraction * studies))),
        batch=BATCH,
        peak_rate=args.learning_rate,
        encoder_share=0.0 if arm == "probe" else 1.0,
        fraction=fraction,
        seed=seed,
        grid=GridSpec(pixel_mm=args.pixel_mm),
        region=RegionSpec(slices=args.slices, rows=args.size, columns=args.size),
    )


def one(args: argparse.Namespace, arm: str, fraction: float, seed: int) -> dict[str, object]:
    """Train once and score on TEST; the view's own answer, without fusion. A finished run is read again."""
    out = args.out / f"{arm}-{fraction:g}-{seed}"
    finished = out / "result.json"
    if finished.is_file():
        return json.loads(finished.read_text())
    start = {} if arm == "scratch" else {View(args.view): args.encoder}
    finetune_diagnose(
        config_of(args, arm, fraction, seed), [args.train], out, device=torch.device(args.device), encoders=start,
        validation=[args.test], cache=args.out / "cache", resume=out.exists(), say=lambda line: None,
    )  # fmt: skip
    table = pd.read_csv(out / "metrics.csv")
    table = table[(table.stage == "view") & table.label.notna()].set_index("label")
    scores = {label: float(table.auroc[label]) for label in KNEE.abnormalities}
    row = {"arm": arm, "fraction": fraction, "seed": seed, "macro": float(np.nanmean(list(scores.values()))), **scores}
    finished.write_text(json.dumps(row))
    print(row, flush=True)
    return row


def interval(values: np.ndarray) -> str:
    """Mean and its 95 % interval."""
    if len(values) < 2:
        return f"{values.mean():.3f}" if len(values) else ""
    half = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5
    return f"{values.mean():.3f} ({values.mean() - half:.3f} to {values.mean() + half:.3f})"


def summary(table: pd.DataFrame) -> str:
    """Mean macro AUROC over the seeds with its 95 % interval, as Markdown."""
    lines = ["| labels | " + " | ".join(ARMS) + " | pretrained - scratch |", "|---|" + "---|" * (len(ARMS) + 1)]
    for fraction, rows in table.groupby("fraction"):
        by_seed = rows.pivot(index="seed", columns="arm", values="macro").reindex(columns=list(ARMS))
        cells = [interval(by_seed[arm].dropna().to_numpy()) for arm in ARMS]
        gain = interval((by_seed["pretrained"] - by_seed["scratch"]).dropna().to_numpy())
        lines.append(f"| {fraction:.0%} | " + " | ".join([*cells, gain]) + " |")
    return "\n".join(lines)


def main() -> None:
    """Run every arm, share and seed that is not there yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train", type=Path)
    parser.add_argument("test", type=Path)
    parser.add_argument("--encoder", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--view", default="sagittal")
    parser.add_argument("--head", default="global_local")
    parser.add_argument("--fractions", type=float, nargs="+", default=[0.1, 0.25, 0.5, 1.0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=400, help="optimiser steps a run, about")
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--pixel-mm", type=float, default=1.0)
    parser.add_argument("--size", type=int, default=128, help="rows and columns of the region")
    parser.add_argument("--slices", type=int, default=28, help="slices of the region")
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    rows = [one(args, arm, fraction, seed) for seed in args.seeds for fraction in args.fractions for arm in ARMS]
    table = pd.DataFrame(rows)
    table.to_csv(args.out / "results.csv", index=False)
    print(summary(table))


if __name__ == "__main__":
    main()
