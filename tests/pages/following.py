"""Follow a page: its commands, run as they stand there, and toy DICOM to run them on."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pydicom
import pytest
import torch
from typer.testing import CliRunner

from orthodx.cli.app import app
from orthodx.synth.dicom_writer import write_dicom_series

DOCS = Path(__file__).parents[2] / "docs"
AFFINES = {
    "sagittal": np.array([[0, 0, 4.0, 0], [-3, 0, 0, 0], [0, -3, 0, 0], [0, 0, 0, 1]]),
    "axial": np.diag([-3.0, -3, 4, 1]),
}


def blocks(page, heading):
    """The shell blocks of a section of a page, but for those that make synthetic data."""
    section = (DOCS / page).read_text(encoding="utf-8").split(f"\n## {heading}")[1].split("\n## ")[0]
    without = re.sub(r"<!-- stand-in -->\n```sh\n.*?```", "", section, flags=re.DOTALL)
    return re.findall(r"```sh\n(.*?)```", without, re.DOTALL)


def run(lines, at, smaller):
    """Run lines of a shell in a folder, each as it stands. smaller: start of a line -> what makes it quick on toys."""
    unused = set(smaller)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # toy networks wait for each other's threads
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(at)
        patch.setenv("ORTHODX_KEY", str(at / "key"))
        for line in lines:
            if not line.startswith("orthodx "):
                subprocess.run(["bash", "-ec", line], check=True)
                continue
            starts = [start for start in smaller if line.startswith(start)]
            unused -= set(starts)
            words = [*shlex.split(line, comments=True), *(word for s in starts for word in shlex.split(smaller[s]))][1:]
            patch.setattr(sys, "argv", ["orthodx", *words])
            done = CliRunner().invoke(app, words)
            assert done.exit_code == 0, f"{line}\n{done.output[-3000:]}"
    torch.set_num_threads(threads)
    assert not unused, f"on no line: {unused}"


def toys(at, folders, codes, body, seed=0):
    """DICOM of a toy patient in each folder, two series each, an injured one bright in one corner; their answers."""
    rng, rows = np.random.default_rng(seed), []
    for i, folder in enumerate(folders):
        answers = {code: int(rng.random() < 0.5) for code in codes}
        for n, (view, affine) in enumerate(AFFINES.items(), start=1):
            image = rng.normal(300, 30, (32, 32, 8))
            for k, there in enumerate(answers.values()):
                image[8 * k : 8 * k + 8, :8] += 500 * there
            row = dict(
                patient_id=f"P{i}", study_id=f"A{i}", series_id=f"A{i}-{view}", center="Harbour", vendor="GE",
                laterality="left", view=view, sequence="pd", field_strength=1.5, tr=3000.0, te=30.0,
                fat_suppressed=True,
            )  # fmt: skip
            series = write_dicom_series(at / folder / view, image.astype(np.int16), affine, row, n, body)
        uid = pydicom.dcmread(next(series.glob("*.dcm"))).StudyInstanceUID
        rows.append({"StudyInstanceUID": uid, "folder": Path(folder).name, **answers})
    return pd.DataFrame(rows)
