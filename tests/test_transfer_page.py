"""The path on docs/transfer.md, from DICOM to a report, as it stands there, on small toy ankles."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pydicom
import pytest

from orthodx.joints import ANKLE
from orthodx.synth.dicom_writer import write_dicom_series

PAGE = Path(__file__).parents[1] / "docs/transfer.md"
SMALLER = {  # what makes a step quick on toys; everything else is the page's
    "orthodx transfer ankles": "--region 8 32 32 --epochs 1 --seeds 1 --device cpu --workers 0",
    "orthodx diagnose ankles": "--device cpu --workers 0",
    "orthodx evaluate": "--resamples 100",
}
AFFINES = {
    "sagittal": np.array([[0, 0, 4.0, 0], [-3, 0, 0, 0], [0, -3, 0, 0], [0, 0, 0, 1]]),
    "axial": np.diag([-3.0, -3, 4, 1]),
}


@pytest.fixture
def readings(tmp_path):
    """`dicom/` and `reading.csv` of twelve toy ankles, two series each; an injured one is bright in one corner."""
    rng, rows = np.random.default_rng(0), []
    for i in range(12):
        answers = {code: int(rng.random() < 0.5) for code in ANKLE.codes}
        for n, (view, affine) in enumerate(AFFINES.items(), start=1):
            image = rng.normal(300, 30, (32, 32, 8))
            for k, there in enumerate(answers.values()):
                image[8 * k : 8 * k + 8, :8] += 500 * there
            row = dict(
                patient_id=f"P{i}", study_id=f"A{i}", series_id=f"A{i}-{view}", center="Harbour", vendor="GE",
                laterality="left", view=view, sequence="pd", field_strength=1.5, tr=3000.0, te=30.0,
                fat_suppressed=True,
            )  # fmt: skip
            folder = write_dicom_series(tmp_path / f"dicom/{i}/{view}", image.astype(np.int16), affine, row, n, "ANKLE")
        rows.append({"StudyInstanceUID": pydicom.dcmread(next(folder.glob("*.dcm"))).StudyInstanceUID, **answers})
    pd.DataFrame(rows).to_csv(tmp_path / "reading.csv", index=False)


def commands():
    """The shell blocks of the path, but for the one that makes synthetic data."""
    path = PAGE.read_text(encoding="utf-8").split("\n## From your DICOM")[1].split("\n## ")[0]
    without = re.sub(r"<!-- stand-in -->\n```sh\n.*?```", "", path, flags=re.DOTALL)
    return re.findall(r"```sh\n(.*?)```", without, re.DOTALL)


def test_the_path_of_the_page_leads_from_dicom_to_a_report(readings, tmp_path):
    blocks = commands()
    assert len(blocks) == 3
    script = "set -e\n" + "".join(blocks)
    for start, more in SMALLER.items():
        script, found = re.subn(rf"^({start}.*)$", rf"\1 {more}", script, flags=re.MULTILINE)
        assert found == 1, start
    shell = f'orthodx() {{ {sys.executable} -m orthodx "$@"; }}; python() {{ {sys.executable} "$@"; }}\n{script}'
    environment = os.environ | {"ORTHODX_KEY": str(tmp_path / "key"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(["bash", "-c", shell], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert (tmp_path / "report/report.html").is_file()
    told = pd.read_csv(tmp_path / "predictions.csv")
    assert set(ANKLE.codes) < set(told.columns)
    arms = pd.read_csv(tmp_path / "transfer/arms.csv")
    assert len(arms) == 4
    assert set(told.study_id) == set(pd.read_csv(tmp_path / "transfer/split/test.csv").study_id)
