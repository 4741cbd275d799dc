"""Terminals of few signs, and machines without a home."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from orthodx.errors import UsageError
from orthodx.networks.weights import load_file, safe_open
from orthodx.studies.identity import key_path, pseudonym


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
