"""Do intervals of changes cover, and in how many patients is a planted loss of cartilage found?

    python examples/benchmarks/followup_power.py DIR [--patients 12] [--loss 0.1] [--center NAME] [--masks]

Makes three cohorts of knees seen twice, sagittal, each visit in another posture and in any center, or always in the one
named: two without change, one whose cartilage is thinner by the loss at the second visit. What is in DIR already is
kept. Knees are built on voxels of 1 mm, which is faster than the usual 0.8. Measures the true masks, with --masks those
of knee-small too. The error of one cohort without change judges the other one, and that of both the thinned one. Power
is that of a t-test of the mean change, its interval by resampling patients.
"""

import argparse
from collections import defaultdict
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from scipy import stats

import orthodx
from orthodx.evaluation.measurement_error import difference
from orthodx.synth.grammar import register
from orthodx.synth.knee import SYNTHETIC
from orthodx.synth.knee.procedural import random_knee
from orthodx.synth.study_writer import write_cohort

COHORTS = {"unchanged": 900, "thinned": 901, "unchanged-b": 902}  # and their seeds


def made(folder: Path, patients: int, loss: float, centers: tuple[str, ...]) -> None:
    """The three cohorts."""
    register(replace(SYNTHETIC, random_anatomy=partial(random_knee, spacing_mm=1.0)))
    for name, seed in COHORTS.items():
        planted = loss if name == "thinned" else 0.0
        write_cohort(
            folder / name, studies=patients, seed=seed, visits=2, cartilage_loss=planted, views=("sagittal",),
            centers=centers, resume=True,
        )  # fmt: skip


def changes(folder: Path, name: str, masks: str) -> list[dict]:
    """Changes of a cohort, measured in its truth or in masks of the model."""
    where = folder / name / "truth" if masks == "truth" else folder / f"masks-{name}"
    if masks != "truth":
        orthodx.segment(folder / name, where, preview=False, resume=True)
    done = orthodx.followup(
        folder / "fu" / f"{name}-{masks}", manifest=folder / name / "manifest.csv", masks=where,
        no_change=True, picture=False, resume=True,
    )  # fmt: skip
    return [{**row, "difference": difference(row)} for row in done.changes]


def by_measure(rows: list[dict]) -> dict[tuple[str, str], np.ndarray]:
    """Structure and measure -> the differences on their scale, those that there are."""
    found = defaultdict(list)
    for row in rows:
        if not np.isnan(row["difference"]):
            found[row["target"], row["measure"]].append(row["difference"])
    return {key: np.array(values) for key, values in found.items()}


def held(judged: list[dict], errors: dict[tuple[str, str], np.ndarray]) -> list[tuple[str, bool]]:
    """Patient, and whether the interval holds no change, of each row."""
    out = []
    for row in judged:
        past = errors.get((row["target"], row["measure"]))
        if past is not None and not np.isnan(row["difference"]):
            reach = stats.t.ppf(0.975, len(past)) * np.sqrt(np.mean(past**2))
            out.append((row["patient_id"], abs(row["difference"]) <= reach))
    return out


def share(rows: list[tuple[str, bool]]) -> str:
    """Share that holds, with a 95 % interval by resampling patients."""
    each = defaultdict(list)
    for patient, inside in rows:
        each[patient].append(inside)
    sums, sizes = np.array([sum(v) for v in each.values()]), np.array([len(v) for v in each.values()])
    drawn = np.random.default_rng(0).integers(0, len(sums), (4000, len(sums)))
    low, high = np.percentile(sums[drawn].sum(1) / sizes[drawn].sum(1), [2.5, 97.5])
    return (
        f"{sums.sum()} of {sizes.sum()}, {100 * sums.sum() / sizes.sum():.1f} % ({100 * low:.1f} to {100 * high:.1f})"
    )


def patients_needed(values: np.ndarray) -> float:
    """Fewest patients in whom a two-sided t-test at 5 % finds a mean like this one with 80 % power; inf above 500."""
    effect = (values.mean() / values.std(ddof=1)) ** 2
    for n in range(2, 501):
        if stats.ncf.sf(stats.t.ppf(0.975, n - 1) ** 2, 1, n - 1, n * effect) >= 0.8:
            return n
    return float("inf")


def needed(values: np.ndarray) -> str:
    """Patients needed, with a 95 % interval by resampling the patients."""
    rng = np.random.default_rng(0)
    drawn = [patients_needed(rng.choice(values, len(values))) for _ in range(400)]
    low, high = np.quantile(drawn, [0.025, 0.975], method="nearest")
    return f"{patients_needed(values):g} ({low:g} to {high:g})"


def report(folder: Path, masks: str) -> None:
    """Everything, for one kind of masks."""
    rows = {name: changes(folder, name, masks) for name in COHORTS}
    one, thinned, other = (by_measure(rows[name]) for name in COHORTS)
    print(f"\n{masks}: intervals without change that hold 0")
    crossed = held(rows["unchanged-b"], one) + held(rows["unchanged"], other)
    print("  all measures", share(crossed))
    print(
        f"{masks}: thinned (sd without change %, mean change %, its sd %, patients for 80 % power, alone beyond error)"
    )
    for key in [key for key in thinned if "cartilage" in key[0]]:
        still = np.concatenate([one.get(key, np.zeros(0)), other.get(key, np.zeros(0))])
        own = [row for row in rows["thinned"] if (row["target"], row["measure"]) == key]
        alone = sum(not inside for _, inside in held(own, {key: still}))
        v = thinned[key]
        print(
            f"  {key[0]} {key[1]}: {100 * np.sqrt(np.mean(still**2)):.1f} {100 * np.expm1(v.mean()):.1f} "
            f"{100 * v.std(ddof=1):.1f} {needed(v)} {alone}/{len(v)}"
        )


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dir", type=Path)
    parser.add_argument("--patients", type=int, default=12)
    parser.add_argument("--loss", type=float, default=0.1)
    parser.add_argument("--center", action="append", default=[])
    parser.add_argument("--masks", action="store_true")
    given = parser.parse_args()
    made(given.dir, given.patients, given.loss, tuple(given.center))
    for masks in ("truth", "knee-small") if given.masks else ("truth",):
        report(given.dir, masks)


if __name__ == "__main__":
    main()
