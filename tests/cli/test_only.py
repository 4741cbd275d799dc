"""`--only`: the studies that a table names, of all that are there; and a share of those with masks."""

from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from orthodx.cli.app import app
from orthodx.networks.encoders.ortho import OrthoConfig, OrthoEncoder
from orthodx.networks.heads import pooled
from orthodx.training.sources import open_source

WRIST = Path(__file__).parents[2] / "examples/joints/wrist.toml"
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    monkeypatch.setitem(OrthoEncoder.presets, "tiny", OrthoConfig(channels=(16, 16, 16, 16), time_channels=16))
    monkeypatch.setattr(pooled, "TOKENS", (2, 3, 3))


@pytest.fixture
def table(tmp_path):
    """Eight studies, spelt with blanks; one of them is not there."""
    path = tmp_path / "chosen.csv"
    path.write_text("study_id,why\n" + "".join(f" w{i:02d} ,x\n" for i in range(8)) + "elsewhere,y\n")
    return path


def orthodx(*words):
    return CliRunner().invoke(app, [*map(str, words)])


def test_segment_and_diagnose_read_only_what_a_table_names(wrists, table, bundle, diagnosis, tmp_path):
    done = orthodx("segment", wrists, "--model", bundle.path, "--only", table, "--out", tmp_path / "masks",
                   "--no-preview", "--device", "cpu")  # fmt: skip
    assert done.exit_code == 0, done.output
    assert {path.name for path in (tmp_path / "masks").glob("*.nii.gz")} == {f"w{i:02d}.nii.gz" for i in range(8)}
    done = orthodx("diagnose", wrists, "--model", diagnosis.path, "--only", table, "--out", tmp_path / "p.csv",
                   "--device", "cpu")  # fmt: skip
    assert done.exit_code == 0, done.output
    assert list(pd.read_csv(tmp_path / "p.csv").study_id) == [f"w{i:02d}" for i in range(8)]


FIT = ("--joint", WRIST, "--from-scratch", "--preset", "tiny", "--view", "sagittal", "--pixel-mm", 2, "--device", "cpu")


def test_labels_and_masks_are_learned_from_only_what_a_table_names(wrists, table, tmp_path, monkeypatch):
    done = orthodx("finetune", wrists, *FIT, "--task", "diagnose", "--head", "mean", "--only", table, "--epochs", 1,
                   "--batch", 4, "--region", 6, 32, 32, "--out", tmp_path / "labels")  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "6 studies train, 2 calibrate" in done.output
    seen = {}

    def watched(*arguments, **more):
        source = open_source(*arguments, **more)
        seen[more["chosen"].share] = {name.split()[1] for name in source.names}
        return source

    monkeypatch.setattr("orthodx.training.finetune.open_source", watched)
    for share in (0.25, 0.5, 1):
        done = orthodx("finetune", wrists, *FIT, "--only", table, "--label-fraction", share, "--steps", 1, "--workers",
                       0, "--crop", 6, 32, 32, "--out", tmp_path / f"masks{share}")  # fmt: skip
        assert done.exit_code == 0, done.output
    assert [len(names) for names in seen.values()] == [2, 4, 8]
    assert seen[0.25] < seen[0.5] < seen[1] == {f"w{i:02d}" for i in range(8)}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("study_id\nelsewhere\n", "no study here is in chosen.csv"),
        ("study\nw00\n", "chosen.csv has no column 'study_id'"),
        (None, "is not there"),
    ],
)
def test_a_table_that_names_nothing_is_refused_in_one_line(wrists, bundle, table, text, said, tmp_path):
    table.unlink() if text is None else table.write_text(text)
    done = orthodx("segment", wrists, "--model", bundle.path, "--only", table, "--out", tmp_path / "m")
    assert (done.exit_code, len(done.stderr.splitlines())) == (2, 1), done.output
    assert said in done.stderr
    assert not (tmp_path / "m").exists()


def test_a_share_of_studies_that_are_not_there_is_refused(torn_bank, table, tmp_path):
    line = ("finetune", torn_bank, "--from-scratch", "--out", tmp_path / "a", "--device", "cpu", "--view", "axial")
    for more, said in (
        (("--label-fraction", 0.5), "a share of the studies, and there are none"),
        (("--only", table), "--only names studies, and there are none"),
    ):
        done = orthodx(*line, *more)
        assert (done.exit_code, len(done.stderr.splitlines())) == (2, 1), done.output
        assert said in done.stderr
