"""Do the intervals cover, is a planted drop found, and how often is one found that is not there?

    python examples/benchmarks/evaluate_statistics.py [--cohorts 400] [--simulations 200]

Coverage: binormal scores of known AUROC, and Beta-distributed Dice of patients with one to three series. Groups:
eight labels at five centers, the AUROC of one center lower by 0.10 (0.90 -> 0.80) or not; one label too.
"""

import argparse

import numpy as np
from scipy import stats

from orthodx.evaluation.diagnosis import Threshold
from orthodx.evaluation.diagnosis_groups import score_groups
from orthodx.evaluation.ranking import auroc, auroc_interval
from orthodx.evaluation.resampling import patient_mean
from orthodx.evaluation.rows import MACRO, find, with_holm
from orthodx.evaluation.tables import Diagnoses
from orthodx.requests.evaluation import Settings

CENTERS = np.array(["A", "B", "C", "D", "E"])


def binormal(rng: np.random.Generator, positive: np.ndarray, area: np.ndarray | float) -> np.ndarray:
    """Scores whose AUROC is `area`: normal, the positives shifted by sqrt(2) * probit(area)."""
    return rng.normal(positive * np.sqrt(2) * stats.norm.ppf(area))


def auroc_coverage(cohorts: int, n: int, prevalence: float, area: float) -> float:
    """Share of intervals that contain the true area."""
    inside = 0
    for seed in range(cohorts):
        rng = np.random.default_rng([1, seed])
        positive = np.arange(n) < round(n * prevalence)
        low, high = auroc_interval(auroc(binormal(rng, positive, area), positive, np.arange(n), n))
        inside += low <= area <= high
    return inside / cohorts


def dice_coverage(cohorts: int, patients: int) -> float:
    """Share of bootstrap intervals that contain the true mean Dice, 18 / 22."""
    inside = 0
    for seed in range(cohorts):
        rng = np.random.default_rng([2, seed])
        dice, who = [], []
        for p, mean in enumerate(rng.beta(18, 4, patients)):
            k = int(rng.integers(1, 4))
            dice += list(mean + rng.uniform(-0.02, 0.02, k))
            who += [str(p)] * k
        e = patient_mean(dice, who, seed=seed)
        inside += e.low <= 18 / 22 <= e.high
    return inside / cohorts


def cohort(seed: int, patients: int, labels: int, drop: float) -> tuple[Diagnoses, dict[str, np.ndarray]]:
    """Predictions of AUROC 0.90, at center A lower by `drop`."""
    rng = np.random.default_rng([3, seed])
    center = rng.choice(CENTERS, patients)
    positive = rng.random((patients, labels)) < 0.3
    area = np.where(center == "A", 0.9 - drop, 0.9)[:, None]
    scores = 1 / (1 + np.exp(-binormal(rng, positive, area)))
    ids = np.array([str(i) for i in range(patients)])
    names = tuple(f"L{i}" for i in range(labels))
    return Diagnoses(ids, ids, names, scores, positive.astype(float)), {"center": center}


def group_findings(simulations: int, patients: int, labels: int, drop: float) -> tuple[float, float]:
    """Shares of simulations in which center A was found lower, and in which anything was found."""
    settings, lower, any_found = Settings(resamples=100), 0, 0
    target = MACRO if labels > 1 else "L0"
    for seed in range(simulations):
        d, groups = cohort(seed, patients, labels, drop)
        rows = with_holm(score_groups(d, {x: Threshold(0.5, "") for x in d.labels}, groups, settings))
        found = [r for r in rows if r.p_holm < 0.05]
        lower += any(r.value < 0 for r in find(found, group="A", target=target))
        any_found += bool(found)
    return lower / simulations, any_found / simulations


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cohorts", type=int, default=400)
    parser.add_argument("--simulations", type=int, default=200)
    options = parser.parse_args()
    for n, prevalence, area in ((60, 0.3, 0.85), (200, 0.2, 0.85), (200, 0.3, 0.95), (1000, 0.1, 0.75)):
        share = auroc_coverage(options.cohorts, n, prevalence, area)
        print(f"AUROC {area}, n {n}, prevalence {prevalence}: coverage {share:.3f}", flush=True)
    for patients in (30, 100):
        print(f"Dice, {patients} patients: coverage {dice_coverage(options.cohorts, patients):.3f}", flush=True)
    for patients, labels in ((1000, 8), (2000, 1)):
        planted, _ = group_findings(options.simulations, patients, labels, 0.10)
        _, alarms = group_findings(options.simulations, patients, labels, 0.0)
        print(
            f"{patients} patients, {labels} labels: drop of 0.10 found {planted:.3f}, false alarms {alarms:.3f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
