"""How many annotated knees are enough: the same network, pretrained or from scratch, at shares of them.

    python examples/benchmarks/label_efficiency.py TRAIN TEST --encoder pre/encoder_sagittal.safetensors --out study/

TRAIN and TEST are banks of injured knees of different anatomies (`orthodx synth --bank --lesions --anatomy BANK`); a
knee of TRAIN is annotated with its structures and lesions, or not used. A smaller share is part of a larger one. One
view; encoder and heads are trained end to end on crops of the annotated knees in new postures and contrasts, most of
them on a lesion or where one could be, with the same settings and number of steps in both arms. Scored on the same
crops of TEST, taken alike: the AUROC of each lesion by the strongest evidence in a crop, the Dice of each structure
over all crops. Each row of `study/results.csv` is one arm, share and seed; a run that was stopped goes on where it
was, and processes with different `--seeds` may share `--out`. The seeds draw knees, network and crops anew; TEST's
crops are the same. Intervals over seeds are Student's t, those of the difference between the arms of paired seeds:
they say nothing of other test knees.
"""

import argparse
import csv
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy import stats

from orthodx.grid.spec import GridSpec
from orthodx.joints import KNEE, View
from orthodx.studies.writing import atomic
from orthodx.synth.anatomy_bank import AnatomyBank
from orthodx.synth.focus import Focus
from orthodx.synth.source import SyntheticSource
from orthodx.training.distributed import Team
from orthodx.training.masks.fit import MasksConfig, fit_masks
from orthodx.training.masks.tasks import JointTask

ARMS = ("scratch", "pretrained")
TEST_SEED = 77


class Kept:
    """Crops made once."""

    def __init__(self, source: SyntheticSource, count: int, view: View) -> None:
        self.source, self.count, self.view = source, count, view

    @cached_property
    def crops(self) -> list[tuple[torch.Tensor, torch.Tensor]]:
        return [self.source[i, self.view] for i in range(self.count)]

    def __getitem__(self, key: tuple[int, View]) -> tuple[torch.Tensor, torch.Tensor]:
        return self.crops[key[0] % self.count]


def crops_of(args: argparse.Namespace, bank: AnatomyBank, seed: int) -> SyntheticSource:
    """Crops of a bank's knees, with the truth of both tasks."""
    focus = Focus(bank, args.focus) if args.focus else None
    return SyntheticSource(bank, GridSpec(pixel_mm=args.pixel_mm), tuple(args.crop), seed, truth="both", focus=focus)


def annotated(folder: Path, share: float, seed: int) -> AnatomyBank:
    """The knees of a bank that are annotated: the first ones of an order that the seed draws."""
    bank = AnatomyBank(folder)
    order = np.random.default_rng(seed).permutation(len(bank))
    bank.names = [bank.names[i] for i in order[: max(1, round(share * len(bank)))]]
    return bank


def run(args: argparse.Namespace, test: Kept, arm: str, share: float, seed: int) -> dict[str, float]:
    """Train one network; returns its scores."""
    out, source = args.out / f"{arm}-{share:g}-{seed}", crops_of(args, annotated(args.train, share, seed), seed)
    config = MasksConfig(
        views=(args.view,), preset=args.preset, steps=args.steps, batch=args.batch, peak_rate=args.learning_rate,
        seed=seed, validate_every=args.steps, validation_samples=test.count, ema=0.98, save_every=args.steps,
    )  # fmt: skip
    start = {args.view: args.encoder} if arm == "pretrained" else {}
    fit_masks(
        config,
        source,
        out,
        task=JointTask(KNEE),
        team=Team(torch.device(args.device)),
        encoders=start,
        validation=test,
        resume=out.exists(),
        say=lambda line: None,
    )
    with (out / "metrics.csv").open(newline="") as file:
        last = list(csv.DictReader(file))[-1]
    scores = {k: float(v) for k, v in last.items() if k.startswith(("auroc_", "dice_")) and v}
    means = {kind: np.mean([v for k, v in scores.items() if k.startswith(kind)]) for kind in ("auroc", "dice")}
    return {"knees": len(source.anatomies), **means, **scores}


def interval(values: np.ndarray) -> str:
    """Mean and Student's t interval of a few seeds."""
    mean = float(np.mean(values))
    if len(values) < 2:
        return f"{mean:.3f}"
    half = float(stats.t.ppf(0.975, len(values) - 1) * stats.sem(values))
    return f"{mean:.3f} ({mean - half:.3f} to {mean + half:.3f})"


def tables(results: pd.DataFrame) -> str:
    """For AUROC and Dice: the arms by share, and the difference that pretraining makes."""
    lines = []
    for kind, name in (("auroc", "AUROC of lesions"), ("dice", "Dice of structures")):
        lines += [f"\n| annotated | {name}: scratch | pretrained | difference |", "|---|---|---|---|"]
        for share, part in results.groupby("share"):
            by_arm = part.pivot(index="seed", columns="arm", values=kind).reindex(columns=list(ARMS))
            both = by_arm.dropna()
            difference = interval((both.pretrained - both.scratch).to_numpy()) if len(both) else ""
            cells = [interval(by_arm[arm].dropna().to_numpy()) if by_arm[arm].notna().any() else "" for arm in ARMS]
            lines.append(f"| {part.knees.iloc[0]} knees ({share:.0%}) | {' | '.join(cells)} | {difference} |")
    return "\n".join(lines)


def main() -> None:
    """Run what is missing of the table and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train", type=Path)
    parser.add_argument("test", type=Path)
    parser.add_argument("--encoder", type=Path, required=True, help="pretrained weights of the view")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--view", type=View, default=View.SAGITTAL)
    parser.add_argument("--shares", type=float, nargs="+", default=[0.1, 0.25, 0.5, 1.0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--crop", type=int, nargs=3, default=[8, 32, 32])
    parser.add_argument("--focus", type=float, default=0.8, help="share of crops on a lesion, or where one could be")
    parser.add_argument("--pixel-mm", type=float, default=2.0)
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--test-crops", type=int, default=600)
    parser.add_argument("--preset", default="small")
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    test = Kept(crops_of(args, AnatomyBank(args.test), TEST_SEED), args.test_crops, args.view)
    path = args.out / "results.csv"
    for seed in args.seeds:
        for share in args.shares:
            for arm in ARMS:
                kept = pd.read_csv(path) if path.exists() else pd.DataFrame(columns=["arm", "share", "seed"])
                if ((kept.arm == arm) & (kept.share == share) & (kept.seed == seed)).any():
                    continue
                row = {"arm": arm, "share": share, "seed": seed, **run(args, test, arm, share, seed)}
                kept = pd.read_csv(path) if path.exists() else None  # another process may have added rows meanwhile
                with atomic(path) as temporary:
                    pd.concat([kept, pd.DataFrame([row])]).to_csv(temporary, index=False)
                print(f"{arm} {share:g} seed {seed}: AUROC {row['auroc']:.3f}, Dice {row['dice']:.3f}", flush=True)
    print(tables(pd.read_csv(path)))


if __name__ == "__main__":
    main()
