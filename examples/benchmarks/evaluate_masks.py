"""Write masks with truth, and time `orthodx evaluate` on them.

    python examples/benchmarks/evaluate_masks.py FOLDER [--masks 500] [--workers 2]

Each case is a synthetic knee of 11 structures on 24 x 512 x 512 voxels of 4.0 x 0.31 x 0.31 mm, its mask a shifted
and eroded copy of its truth; a few anatomies are shifted differently to fill the folder.
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

import nibabel as nib
import numpy as np

from orthodx.synth.knee.procedural import random_knee
from orthodx.synth.study_writer import write_cohort


def write_cases(folder: Path, cases: int, anatomies: int = 5) -> None:
    """masks/ and truth/ with `cases` files each."""
    if len(list((folder / "masks").glob("*.nii.gz"))) == cases:
        return
    write_cohort(folder / "source", studies=anatomies, seed=3, anatomy=random_knee)
    maps = []
    for path in sorted((folder / "source/truth").glob("*sagittal.nii.gz")):
        data = np.asarray(nib.load(path).dataobj, np.uint8)
        index = [np.linspace(0, n - 1, m).round().astype(int) for n, m in zip(data.shape, (512, 512, 24), strict=True)]
        maps.append(data[np.ix_(*index)])
    affine = np.array([[0, 0, 4.0, 0], [0.31, 0, 0, 0], [0, -0.31, 0, 0], [0, 0, 0, 1.0]])
    for name in ("masks", "truth"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for i in range(cases):
        rng = np.random.default_rng(i)
        truth = np.roll(maps[i % len(maps)], tuple(rng.integers(-6, 7, 2)), (0, 1))
        mask = np.roll(truth, tuple(rng.integers(-3, 4, 2)), (0, 1))
        mask[rng.random(mask.shape) < 0.001] = 0
        for kind, data in (("masks", mask), ("truth", truth)):
            image = nib.Nifti1Image(data, affine)
            image.set_sform(affine, 1)
            nib.save(image, folder / kind / f"case-{i:04d}.nii.gz")


def main() -> None:
    """Write what is missing, time, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--masks", type=int, default=500)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    write_cases(options.folder, options.masks)
    command = [sys.executable, "-m", "orthodx", "evaluate", "--quiet", "--workers", str(options.workers)]
    began = time.perf_counter()
    process = subprocess.Popen(command, cwd=options.folder)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    print(
        f"{options.masks} masks of 24 x 512 x 512 x 11: {seconds:.0f} s wall, "
        f"{usage.ru_utime + usage.ru_stime:.0f} s CPU, largest process {usage.ru_maxrss / 1e6:.2f} GB; exit {status}"
    )


if __name__ == "__main__":
    main()
