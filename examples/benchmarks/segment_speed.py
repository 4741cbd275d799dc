"""Wall time and peak memory of whole `orthodx` commands, start included.

    python examples/benchmarks/segment_speed.py [--repeat 3] [--model knee-small]

Times `orthodx --help`, `orthodx segment` of one 24 x 256 x 256 series and of one isotropic 400 x 512 x 512
volume (both noise round a bright ellipsoid: the work does not depend on what is seen), median over the repeats.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import nibabel as nib
import numpy as np


def measure(arguments: list[str]) -> tuple[float, float]:
    """Run `orthodx` with these arguments: (wall seconds, peak resident GB); stops if it fails."""
    began = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "orthodx", *arguments], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in (0, 8):
        raise SystemExit(f"orthodx {' '.join(arguments)} ended with {process.returncode}")
    return time.perf_counter() - began, usage.ru_maxrss / 1e6


def phantom(path: Path, slices: int, size: int, slice_mm: float, pixel_mm: float) -> Path:
    """A sagittal volume, (slices, size, size) along x, y, z."""
    rng = np.random.default_rng(0)
    grid = np.ogrid[-1 : 1 : slices * 1j, -1 : 1 : size * 1j, -1 : 1 : size * 1j]
    inside = sum((axis / 0.6) ** 2 for axis in grid) < 1
    data = np.empty((slices, size, size), np.int16)
    for k in range(slices):  # slice by slice, to stay small
        data[k] = 600 * inside[k] + rng.integers(0, 200, (size, size))
    nib.save(nib.Nifti1Image(data, np.diag([slice_mm, pixel_mm, pixel_mm, 1.0])), path)
    return path


def elsewhere(function: Callable[..., Path], *arguments: object) -> Path:
    """Call in a process of its own: a child starts with its parent's memory as its peak, so this one stays small."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def main() -> None:
    """Make the volumes, run, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--model", default="knee-small")
    parser.add_argument("--no-large", action="store_true", help="leave the isotropic volume out")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        runs = {"orthodx --help": (["--help"], options.repeat)}
        small = elsewhere(phantom, root / "series.nii.gz", 24, 256, 4.0, 0.625)
        sizes = {"segment 24 x 256 x 256 (4.0 x 0.625 mm)": (small, options.repeat)}
        if not options.no_large:
            sizes["segment 400 x 512 x 512 (0.36 mm)"] = (
                elsewhere(phantom, root / "iso.nii.gz", 400, 512, 0.36, 0.36),
                1,
            )
        for name, (path, repeat) in sizes.items():
            runs[name] = (["segment", str(path), "--out", str(root / "out"), "--model", options.model], repeat)
        print(f"{os.cpu_count()} CPUs\n| command | wall s | peak GB |\n|---|---|---|")
        for name, (arguments, repeat) in runs.items():
            results = [measure(arguments) for _ in range(repeat)]
            wall, memory = (statistics.median(r[i] for r in results) for i in (0, 1))
            print(f"| {name} | {wall:.2f} | {memory:.2f} |", flush=True)


if __name__ == "__main__":
    main()
