"""How few labels are enough: the same network, pretrained or from scratch, at shares of the training labels.

    python examples/benchmarks/label_efficiency.py TRAIN TEST --encoder pre/encoder_sagittal.safetensors --out study/

TRAIN and TEST are banks of injured knees of different anatomies (`orthodx synth --bank --lesions --anatomy BANK`). Each
knee is a patient who is scanned `--scans` times, in new postures and contrasts; a label is positive where its lesion
is as large in the scan as `orthodx synth` asks of one. A share of the labels is a share of the patients, smaller ones
part of larger ones. One view; arms: `scratch` and `pretrained` are trained end to end with the same settings and
number of steps, `probe` fits a linear classifier on the pretrained encoder left alone. Each row of
`study/results.csv` is one arm, share and seed: AUROC of every label on all scans of TEST, and their mean. A run that
was stopped goes on where it was, and processes with different `--seeds` may share `--out`. The interval of a mean over
seeds is Student's t; that of the difference between two arms pairs their seeds. The seeds draw patients, network and
order anew; the scans are the same.
"""

import argparse
import hashlib
import json
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy import stats
from sklearn.metrics import roc_auc_score

from orthodx.grid.intensity import normalise
from orthodx.grid.spec import axis_matrix
from orthodx.joints import KNEE, View
from orthodx.networks import ENCODERS, HEADS
from orthodx.studies.writing import atomic
from orthodx.synth.anatomy_bank import AnatomyBank
from orthodx.synth.deformation import random_deformation
from orthodx.synth.lesions import LEAST_ML, VALUES
from orthodx.synth.scanner import make_plane, on_plane, random_contrast, render, sample_scan
from orthodx.training import checkpoint, fusion_stage, view_stage
from orthodx.training.calibration import positive_weights
from orthodx.training.linear import fit_linear
from orthodx.training.study_cases import SeriesRegion
from orthodx.training.summaries import Summaries

ARMS = ("scratch", "pretrained", "probe")
LABELS = tuple(KNEE.abnormalities)


def scan(args: argparse.Namespace, bank: AnatomyBank, which: int, number: int) -> tuple[np.ndarray, list[int]]:
    """One scan of one knee: image (D, H, W) in [-1, 1], and its labels."""
    rng = np.random.default_rng([9, which, number])
    view, slice_mm = View(args.view), rng.uniform(3.0, 4.5)
    depth = np.abs(axis_matrix(view)[:, 0])
    tilt = depth * rng.normal(0, 9, 3) + (1 - depth) * rng.normal(0, 5, 3)
    shape = (args.slices, args.size, args.size)
    spacing = (slice_mm, args.pixel_mm)
    plane = make_plane(view, shape, spacing, slice_mm * rng.uniform(0.8, 1.0), rng.normal(0, 5, 3), tuple(tilt))
    params = sample_scan(rng, plane, random_contrast(rng, 0.0), float(np.exp(rng.uniform(np.log(0.008), np.log(0.05)))))
    posture = random_deformation(rng)
    tissues, affine = bank[which]
    image, _ = render(torch.from_numpy(np.array(tissues)), affine, params, posture)
    lesions = on_plane(torch.from_numpy(np.array(bank.lesions(which))), affine, params, posture)
    voxel_ml = slice_mm * args.pixel_mm**2 / 1000
    labels = [int(int((lesions == VALUES[code]).sum()) * voxel_ml >= LEAST_ML[code]) for code in LABELS]
    return normalise(image).numpy().astype(np.float16), labels


def scans(args: argparse.Namespace, folder: Path) -> view_stage.ViewSamples:
    """All scans of a bank, kept on disk."""
    bank, how = AnatomyBank(folder), f"{args.view}-{args.slices}x{args.size}x{args.size}-{args.pixel_mm:g}mm"
    regions, truth, person = [], [], []
    for which, name in enumerate(bank.names):
        for number in range(args.scans):
            path = args.out / "scans" / folder.name / how / f"{name}-{number}.npz"
            image_path = path.with_suffix(".npy")
            if not path.is_file():
                image, labels = scan(args, bank, which, number)
                with atomic(image_path) as temporary, temporary.open("wb") as out:
                    np.save(out, image)
                with atomic(path) as temporary, temporary.open("wb") as out:
                    np.savez(out, labels=labels)
            regions.append(SeriesRegion(image_path, hashlib.sha256(np.load(image_path).tobytes()).hexdigest()))
            truth.append(np.load(path)["labels"])
            person.append(which)
    return view_stage.ViewSamples(
        regions, np.stack(truth).astype(float), np.full(len(regions), 1 / args.scans), np.array(person)
    )


def share_of(samples: view_stage.ViewSamples, fraction: float, seed: int) -> view_stage.ViewSamples:
    """The scans of a share of the patients."""
    patients = np.random.default_rng(seed).permutation(np.unique(samples.patient))
    kept = np.flatnonzero(np.isin(samples.patient, patients[: max(2, round(fraction * len(patients)))]))
    return view_stage.ViewSamples(
        [samples.regions[i] for i in kept], samples.truth[kept], samples.weight[kept], samples.patient[kept]
    )


def one(
    args: argparse.Namespace, train: view_stage.ViewSamples, test: view_stage.ViewSamples, arm: str, fraction: float,
    seed: int,
) -> dict[str, object]:  # fmt: skip
    """Train once and score on all of TEST. A finished run is read again."""
    out = args.out / f"{arm}-{fraction:g}-{seed}"
    finished = out / "result.json"
    if finished.is_file():
        return json.loads(finished.read_text())
    out.mkdir(parents=True, exist_ok=True)
    device, samples = torch.device(args.device), share_of(train, fraction, seed)
    torch.manual_seed(seed)
    cls = ENCODERS.get("ortho")
    encoder = cls(cls.preset(args.preset)).to(device)
    head = HEADS.get(args.head)(HEADS.get(args.head).config_for(encoder)).to(device)
    if arm != "scratch":
        checkpoint.start_from(encoder, args.encoder)
    balance = torch.from_numpy(positive_weights(samples.truth))
    if arm != "probe":
        sample = samples.regions[:: max(1, len(samples.regions) // 48)]
        head.fit_scale(torch.stack(Summaries(out / "start", encoder, head, device)(sample)).to(device))
        config = view_stage.ViewConfig(
            view=View(args.view), epochs=max(1, round(args.steps * args.batch / len(samples.regions))),
            batch=args.batch, peak_rate=args.learning_rate, encoder_share=1.0, seed=seed,
        )  # fmt: skip
        view_stage.fit_end_to_end(
            config, encoder.train(), head.train(), samples, out / "stage_one.safetensors", device=device,
            positive_weight=balance, resume=True, say=lambda line: None,
        )  # fmt: skip
    read = Summaries(args.out / "features", encoder, head.eval(), device)
    summaries = torch.stack(read(samples.regions))
    head.to("cpu").fit_scale(summaries)
    folds = fusion_stage.folds_of(samples.patient, seed)
    apart = view_stage.vectors_apart(head, summaries, samples, folds, seed=seed, positive_weight=balance)
    view_stage.fit_pooling(head, summaries, samples, seed=seed, positive_weight=balance)
    with torch.inference_mode():
        vectors = head.vector(summaries).numpy()
        fitted = fit_linear(vectors, samples.truth, samples.weight, folds, apart, head.evidence())
        logits = head.vector(torch.stack(read(test.regions))).numpy() @ fitted[0].T + fitted[1]
    scores = {
        label: float(roc_auc_score(test.truth[:, i], logits[:, i]))
        for i, label in enumerate(LABELS)
        if 0 < test.truth[:, i].sum() < len(test.truth)
    }
    row = {"arm": arm, "fraction": fraction, "seed": seed, "scans": len(samples.regions),
           "macro": float(np.mean(list(scores.values()))), **scores}  # fmt: skip
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
        lines.append(f"| {fraction:.0%}, {int(rows.scans.median())} scans | " + " | ".join([*cells, gain]) + " |")
    return "\n".join(lines)


def main() -> None:
    """Run every arm, share and seed that is not there yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train", type=Path)
    parser.add_argument("test", type=Path)
    parser.add_argument("--encoder", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--view", default="sagittal")
    parser.add_argument("--preset", default="small")
    parser.add_argument("--head", default="global_local")
    parser.add_argument("--fractions", type=float, nargs="+", default=[0.1, 0.25, 0.5, 1.0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--scans", type=int, default=3, help="of each knee")
    parser.add_argument("--steps", type=int, default=200, help="optimiser steps a run, about")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--pixel-mm", type=float, default=2.0)
    parser.add_argument("--size", type=int, default=48, help="rows and columns of a scan")
    parser.add_argument("--slices", type=int, default=20, help="slices of a scan")
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    train, test = scans(args, args.train), scans(args, args.test)
    print(f"{len(train.regions)} and {len(test.regions)} scans, positive: {train.truth.sum(0)}, {test.truth.sum(0)}")
    rows = [
        one(args, train, test, arm, fraction, seed)
        for seed in args.seeds for fraction in args.fractions for arm in ARMS
    ]  # fmt: skip
    table = pd.DataFrame(rows)
    table.to_csv(args.out / "results.csv", index=False)
    print(summary(table))


if __name__ == "__main__":
    main()
