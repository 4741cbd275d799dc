"""How fast `orthodx convert` is beside dcm2niix alone: 2,000 small files, both writing .nii.gz.

    python examples/benchmarks/convert_speed.py [--series 80] [--slices 25] [--pixels 128]

Prints wall and processor seconds of each (the best of --repeat runs, whole processes, start included) and the
ratio of the wall seconds; exits 1 when dcm2niix is more than twice as fast.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from orthodx.synth.dicom_writer import write_dicom_series


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--series", type=int, default=80)
    parser.add_argument("--slices", type=int, default=25)
    parser.add_argument("--pixels", type=int, default=128)
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    import dcm2niix

    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        write(root / "dcm", options)
        seconds = {"dcm2niix": [], "orthodx convert": []}
        for k in range(options.repeat):
            (root / f"d{k}").mkdir()
            flags = ["-p", "n", "-b", "n", "-i", "n", "-z", "y", "-f", "%j", "-o", str(root / f"d{k}")]
            seconds["dcm2niix"].append(timed([dcm2niix.bin, *flags, str(root / "dcm")]))
            command = [sys.executable, "-m", "orthodx", "convert", str(root / "dcm"), "--out", str(root / f"o{k}")]
            seconds["orthodx convert"].append(timed([*command, "--quiet", "--key", str(root / "key")]))
            made = [len(list((root / f"{x}{k}").rglob("*.nii.gz"))) for x in "do"]
            assert made == [options.series] * 2, made
    best = {name: min(times) for name, times in seconds.items()}
    files = options.series * options.slices
    for name, (wall, busy) in best.items():
        print(f"{name:16} {wall:6.2f} s wall  {busy:6.2f} s processor  {files / wall:7.0f} files/s")
    ratio = best["dcm2niix"][0] / best["orthodx convert"][0]
    print(f"{files} files on {os.cpu_count()} cores: orthodx convert runs at {ratio:.2f} of the speed of dcm2niix")
    return 0 if ratio >= 0.5 else 1


def write(folder: Path, options: argparse.Namespace) -> None:
    """Series of smooth noise, so that they compress about as images do."""
    rng = np.random.default_rng(0)
    shape = (options.pixels, options.pixels, options.slices)
    waves = np.sin(np.indices(shape).sum(0) / 9) * 300 + 500
    row = dict(center="Harbour", vendor="SIEMENS", laterality="right", view="axial", sequence="pd",
               field_strength=3.0, tr=3000.0, te=30.0, fat_suppressed=False)  # fmt: skip
    for s in range(options.series):
        data = (waves + rng.integers(0, 40, shape)).astype(np.int16)
        ids = {"patient_id": f"P{s // 4}", "study_id": f"S{s // 4}", "series_id": f"A{s}"}
        write_dicom_series(folder / f"{s // 4}/{s}", data, np.diag([0.6, 0.6, 3.5, 1.0]), {**row, **ids}, s + 1)


def timed(command: list[str]) -> tuple[float, float]:
    """Wall and processor seconds of a process and its children."""
    began, before = time.perf_counter(), os.times()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    after = os.times()
    busy = after.children_user + after.children_system - before.children_user - before.children_system
    return time.perf_counter() - began, busy


if __name__ == "__main__":
    sys.exit(main())
