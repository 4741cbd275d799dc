"""Options of `orthodx finetune --task diagnose` from labels, by what they change."""

import json

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from orthodx.bundles.bundle import open_bundle
from orthodx.cli.app import app
from orthodx.joints import KNEE
from orthodx.networks import ENCODERS
from orthodx.studies.nifti import write_image
from orthodx.studies.tables import write_table

pytestmark = pytest.mark.usefixtures("one_thread")
COLUMNS = ("patient_id", "study_id", "series_id", "path", "joint", "view", "center")


@pytest.fixture
def studies(tmp_path, monkeypatch):
    """Twelve studies of one sagittal series, injured knees bright, four at center Z; labels lie elsewhere."""
    ortho = ENCODERS.get("ortho")
    monkeypatch.setitem(ortho.presets, "tiny", ortho.Config(channels=(32, 16, 16, 16), time_channels=16))
    folder, rng, rows, labels = tmp_path / "cohort", np.random.default_rng(0), [], []
    for i in range(12):
        name = f"s{i:02d}"
        image = rng.normal(300, 30, (4, 32, 32)) + 500 * (i % 2)
        write_image(folder / f"{name}.nii.gz", image.astype(np.int16), np.diag([4.0, 2, 2, 1]))
        rows.append({"patient_id": f"p{i}", "study_id": name, "series_id": name, "path": f"{name}.nii.gz",
                     "joint": "knee", "view": "sagittal", "center": "AAZ"[i // 2 % 3]})  # fmt: skip
        labels.append({"study_id": name, **dict.fromkeys(KNEE.codes, i % 2)})
    write_table(folder / "manifest.csv", rows, COLUMNS)
    write_table(tmp_path / "mine.csv", labels, ("study_id", *KNEE.codes))
    return folder


def test_a_run_from_labels_does_as_its_options_say(studies, tmp_path):
    line = (
        "finetune", studies, "--task", "diagnose", "--from-scratch", "--head", "mean", "--preset", "tiny", "--region",
        4, 32, 32, "--pixel-mm", 2, "--view", "sagittal", "--device", "cpu", "--out", tmp_path / "out", "--labels",
        tmp_path / "mine.csv", "--hold-out-center", "Z", "--validation-share", 0.5, "--epochs", 3, "--batch", 1,
        "--fusion", "simple_concat", "--cache", tmp_path / "cache", "--learning-rate", 0.001, "--seed", 7,
    )  # fmt: skip
    done = CliRunner().invoke(app, [str(word) for word in line])
    assert done.exit_code == 0, done.output
    run = json.loads((tmp_path / "out/run.json").read_text())
    assert run["counts"] == {"train": 4, "validation": 4}
    away = {f"s{i:02d}" for i in range(12) if "AAZ"[i // 2 % 3] == "Z"}
    assert not set(pd.read_csv(tmp_path / "out/validation.csv").study_id) & away
    assert open_bundle(tmp_path / "out/my-model").diagnoser().config.fusion == "simple_concat"
    steps = pd.read_csv(tmp_path / "out/metrics.csv").step.dropna()
    assert steps.tolist() == [4, 8, 12]  # three epochs of four studies, one at a time
    for kept, many in (("regions", 12), ("features", 8)):  # an encoder from noise is read once it has learned
        assert len(list((tmp_path / "cache" / kept).iterdir())) == many
        assert not (tmp_path / "out" / kept).exists()
    assert (run["config"]["peak_rate"], run["config"]["region"]["rows"], run["seed"]) == (0.001, 32, 7)
