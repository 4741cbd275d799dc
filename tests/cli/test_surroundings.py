"""Terminals of few signs, and machines without a home."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from typer.testing import CliRunner

from orthodx.cli.app import app
from orthodx.errors import UsageError
from orthodx.networks.weights import load_file, safe_open
from orthodx.studies.identity import key_path, pseudonym
from orthodx.synth.dicom_writer import write_dicom_series


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_a_name_that_the_terminal_cannot_show_is_shown_as_an_escape(tmp_path, encoding):
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    line = [sys.executable, "-m", "orthodx", "segment", str(tmp_path / "膝"), "--out", str(tmp_path / "out")]
    done = subprocess.run(line, capture_output=True, env=environment)
    assert done.returncode == 3
    assert ("膝".encode() if encoding == "utf-8" else b"\\u819d") in done.stderr
    assert b"bug" not in done.stderr


def test_without_a_home_the_key_must_be_named(tmp_path, monkeypatch):
    def homeless():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    for name in ("ORTHODX_KEY", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(UsageError, match="no home folder") as caught:
        key_path()
    assert "ORTHODX_KEY" in caught.value.hint
    monkeypatch.setenv("ORTHODX_KEY", str(tmp_path / "key"))
    assert key_path() == tmp_path / "key"


@pytest.mark.skipif(sys.platform != "linux", reason="file names of any bytes")
def test_weights_and_ids_know_folders_of_any_name(tmp_path):
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/M\xfcller"))
    folder.mkdir()
    save_file({"a": torch.ones(2)}, folder / "w.safetensors", metadata={"step": "7"})
    assert load_file(folder / "w.safetensors")["a"].tolist() == [1, 1]
    with safe_open(folder / "w.safetensors") as file:
        assert file.metadata() == {"step": "7"}
    assert pseudonym(f"folder {folder}", key=tmp_path / "key") != pseudonym("folder ", key=tmp_path / "key")


@pytest.fixture
def dicom(tmp_path):
    data = np.random.default_rng(3).integers(1, 2000, (32, 32, 5)).astype(np.int16)
    row = dict(
        patient_id="P1", study_id="S1", series_id="A", center="Harbour", vendor="SIEMENS", laterality="left",
        view="axial", sequence="pd", field_strength=1.5, tr=3000.0, te=30.0, fat_suppressed=True,
    )  # fmt: skip
    return write_dicom_series(tmp_path / "dcm", data, np.diag([1.5, 1.5, 4, 1]), row, 1)


@pytest.mark.usefixtures("one_thread")
def test_a_key_that_cannot_be_kept_is_told(dicom, bundle, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("ORTHODX_KEY", str(tmp_path / "file/key"))
    line = ["segment", str(dicom), "--out", str(tmp_path / "o"), "--model", str(bundle.path), "--device", "cpu"]
    done = CliRunner().invoke(app, [*line, "--no-preview"])
    assert done.exit_code == 0, done.output
    assert done.output.count("ids differ in every run; set ORTHODX_KEY to a file") == 1
    done = CliRunner().invoke(app, ["convert", str(dicom), "--out", str(tmp_path / "c")])
    assert (done.exit_code, len(done.stderr.splitlines())) == (2, 1)
    assert "can be neither read nor made" in done.stderr
    monkeypatch.setenv("ORTHODX_KEY", str(tmp_path / "key"))
    done = CliRunner().invoke(app, [*line[:3], str(tmp_path / "p"), *line[4:], "--no-preview"])
    assert "ids differ" not in done.output


def test_a_conversion_is_gone_on_with_under_its_key_only(dicom, tmp_path):
    line = ["convert", str(dicom), "--out", str(tmp_path / "o"), "--workers", "0", "--resume"]
    for key, code in (("one", 0), ("one", 0), ("two", 2)):
        done = CliRunner().invoke(app, [*line, "--key", str(tmp_path / key)])
        assert done.exit_code == code, done.output
    assert "was made with other options (key)" in done.stderr
