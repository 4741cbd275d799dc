"""Write a cohort of made-up predictions with labels, and time `orthodx evaluate` on it.

    python examples/benchmarks/evaluate_cohort.py COHORT [--patients 1000] [--labels 8] [--time]

Two groupings (center, field strength), 5 % blank labels. With --time the whole command is timed on the cohort.
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd

from orthodx.joints import KNEE

CENTERS, FIELDS = ("Northgate", "Harbour", "Riverside", "Hillcrest", ""), ("0.3", "1.5", "3.0")


def write_made_up(folder: Path, patients: int, labels: int, seed: int = 0, skill: float = 1.5) -> None:
    """predictions.csv, labels.csv and manifest.csv of one study a patient; `skill` is the distance of the classes."""
    rng = np.random.default_rng(seed)
    names = list(KNEE.codes)[:labels]
    studies = [f"study-{i:05d}" for i in range(patients)]
    positive = rng.random((patients, labels)) < rng.uniform(0.15, 0.45, labels)
    scores = 1 / (1 + np.exp(-(rng.normal(positive * skill) - skill / 2 - 0.4)))
    known = positive.astype(int).astype(str)
    known[rng.random(known.shape) < 0.05] = ""
    ids = {"patient_id": [s.replace("study", "patient") for s in studies], "study_id": studies}
    folder.mkdir(parents=True, exist_ok=True)
    about = {"views": "sagittal coronal axial", "model": "made-up"}
    pd.DataFrame({**ids, **about, **dict(zip(names, scores.round(4).T, strict=True))}).to_csv(
        folder / "predictions.csv", index=False
    )
    pd.DataFrame({"study_id": studies, **dict(zip(names, known.T, strict=True))}).to_csv(
        folder / "labels.csv", index=False
    )
    where = {"center": rng.choice(CENTERS, patients), "field_strength": rng.choice(FIELDS, patients)}
    series = {"series_id": [f"{s}-sagittal" for s in studies], "path": [f"{s}/sagittal.nii.gz" for s in studies]}
    pd.DataFrame({**ids, **series, "joint": "knee", **where}).to_csv(folder / "manifest.csv", index=False)


def main() -> None:
    """Write, and time if asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cohort", type=Path)
    parser.add_argument("--patients", type=int, default=1000)
    parser.add_argument("--labels", type=int, default=8)
    parser.add_argument("--time", action="store_true")
    options = parser.parse_args()
    write_made_up(options.cohort, options.patients, options.labels)
    if options.time:
        command = [sys.executable, "-m", "orthodx", "evaluate", "--by", "center,field_strength", "--quiet"]
        began = time.perf_counter()
        process = subprocess.Popen(command, cwd=options.cohort)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        print(
            f"{options.patients} patients x {options.labels} labels: {seconds:.1f} s wall, "
            f"{usage.ru_utime + usage.ru_stime:.1f} s CPU, {usage.ru_maxrss / 1e6:.2f} GB; exit {status}"
        )


if __name__ == "__main__":
    main()
