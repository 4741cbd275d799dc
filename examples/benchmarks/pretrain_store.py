"""How `pretrain --cache` keeps very many series: open files, seconds and bytes, under a limit of open files.

    python examples/benchmarks/pretrain_store.py [--series 16000] [--files 1024] [--processes 1]

Writes so many tiny series (20 x 20 x 5 voxels) into a temporary folder, fills a cache of them, in one process or as
torchrun does in several, and draws 2,000 samples. Exits 1 when a series is missing, or a file stays open.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from orthodx.grid.spec import GridSpec
from orthodx.joints import KNEE, View
from orthodx.studies.nifti import write_image
from orthodx.studies.tables import write_table
from orthodx.training.distributed import join, leave
from orthodx.training.sources import open_source

AFFINE = np.array([[0, 0, 4.0, 0], [-1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1]])
COLUMNS = ("patient_id", "study_id", "series_id", "path")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--series", type=int, default=16_000)
    parser.add_argument("--files", type=int, default=1024)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.folder:
        return fill(options.folder, options)
    with tempfile.TemporaryDirectory() as temporary:
        folder, data = Path(temporary), np.random.default_rng(0).integers(0, 900, (20, 20, 5)).astype(np.int16)
        for i in range(options.series):
            write_image(folder / f"s{i}.nii.gz", data + i % 50, AFFINE)
        rows = [dict.fromkeys(COLUMNS[:3], f"s{i}") | {"path": f"s{i}.nii.gz"} for i in range(options.series)]
        write_table(folder / "manifest.csv", rows, COLUMNS)
        many = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(options.processes)]
        own = [__file__, "--folder", str(folder), "--series", str(options.series), "--files", str(options.files)]
        command = [sys.executable, *(many if options.processes > 1 else []), *own]
        first, second = (subprocess.run(command).returncode for _ in range(2))  # filled, then found again
        return first or second


def fill(folder: Path, options: argparse.Namespace) -> int:
    import torch

    torch.set_num_threads(1)
    resource.setrlimit(resource.RLIMIT_NOFILE, (options.files, options.files))
    team = join(torch.device("cpu"))
    began, before = time.perf_counter(), len(os.listdir("/proc/self/fd"))
    source = open_source(
        [folder], GridSpec(), (4, 16, 16), 0, joint=KNEE, truth=False, views=[View.SAGITTAL], cache=folder / "cache",
        team=team, say=print if team.chief else lambda line: None,
    )  # fmt: skip
    opened = time.perf_counter()
    for i in range(2000):
        source[i, View.SAGITTAL]
    drawn = time.perf_counter()
    left_open = len(os.listdir("/proc/self/fd")) - before
    size = sum(path.stat().st_size for path in (folder / "cache").iterdir())
    if team.chief:
        print(
            f"{len(source.names)} series by {team.size} processes: opened in {opened - began:.1f} s,"
            f" {(drawn - opened) / 2:.3f} ms a sample, {size / 1e6:.0f} MB, {left_open} files left open",
            flush=True,
        )
    leave(team)
    return 0 if len(source.names) == options.series and left_open == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
