"""`--group-by`: what makes NIfTI files one study, where a person says it; and odd folders in every command."""

import json
import os
import shutil
import sys

import pandas as pd
import pytest
from typer.testing import CliRunner

from orthodx.cli.app import app
from orthodx.networks.encoders.ortho import OrthoConfig, OrthoEncoder
from orthodx.networks.heads import pooled

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    monkeypatch.setitem(OrthoEncoder.presets, "tiny", OrthoConfig(channels=(16, 16, 16, 16), time_channels=16))
    monkeypatch.setattr(pooled, "TOKENS", (2, 3, 3))


def orthodx(*words, code=0):
    done = CliRunner().invoke(app, [*map(str, words)])
    assert done.exit_code == code, done.output
    return done


@pytest.fixture
def flat(images, tmp_path):
    folder = tmp_path / "set"
    folder.mkdir()
    for name, source in zip("ab", images.values(), strict=False):
        shutil.copy(source, folder / f"{name}.nii.gz")
    return folder


def ids(table):
    return sorted(pd.read_csv(table).study_id.unique())


def test_a_flat_folder_is_a_study_an_image_unless_told_otherwise(flat, bundle, diagnosis, tmp_path):
    done = orthodx("diagnose", flat, "--model", diagnosis.path, "--out", tmp_path / "p.csv", "--device", "cpu")
    assert ids(tmp_path / "p.csv") == ["a", "b"]
    assert "note: 2 NIfTI images are 2 studies, each on its own" in done.output
    done = orthodx("diagnose", flat, "--model", diagnosis.path, "--group-by", "folder", "--out", tmp_path / "q.csv",
                   "--device", "cpu")  # fmt: skip
    assert ids(tmp_path / "q.csv") == ["set"]
    assert "put together: 'set' (2)" in done.output
    orthodx("segment", flat, "--model", bundle.path, "--group-by", "none", "--out", tmp_path / "m", "--no-preview",
            "--device", "cpu")  # fmt: skip
    assert ids(tmp_path / "m/volumes.csv") == ["a", "b"]


def test_labels_find_the_studies_that_were_asked_for(wrists, torn_bank, tmp_path):
    for file in wrists.glob("w*/*.nii.gz"):
        (tmp_path / "flat").mkdir(exist_ok=True)
        shutil.copy(file, tmp_path / "flat" / file.name)
    fit = ("--task", "diagnose", "--from-scratch", "--preset", "tiny", "--view", "sagittal", "--pixel-mm", 2,
           "--device", "cpu", "--head", "mean", "--epochs", 1, "--batch", 4, "--region", 6, 32, 32)  # fmt: skip
    (tmp_path / "flat/labels.csv").write_text((wrists / "labels.csv").read_text().replace("TFCC", "ACL"))
    done = orthodx("finetune", tmp_path / "flat", *fit, "--group-by", "none", "--out", tmp_path / "fit")
    assert "studies train" in done.output
    line = ("finetune", torn_bank, "--from-scratch", "--out", tmp_path / "a", "--device", "cpu", "--view", "axial")
    done = orthodx(*line, "--group-by", "none", code=2)
    assert "--group-by puts images of studies together, and there are none" in done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="file names of any bytes")
def test_a_folder_in_another_coding_goes_through_every_command(images, bundle, diagnosis, tmp_path):
    folder = os.fsencode(tmp_path) + b"/M\xfcller\x1b[31m"
    os.mkdir(folder)
    shutil.copy(images["sagittal"], os.path.join(folder, b"k.nii.gz"))
    where = os.fsdecode(folder)
    told = [
        orthodx("diagnose", where, "--model", diagnosis.path, "--out", f"{where}/p.csv", "--device", "cpu", "--json"),
        orthodx("segment", where, "--model", bundle.path, "--out", f"{where}/m", "--device", "cpu", "--json"),
        orthodx("convert", where, "--out", f"{where}/c", "--workers", 0, "--key", tmp_path / "key", code=3),
        orthodx("segment", f"{where}/none", "--model", bundle.path, "--out", f"{where}/n", "--device", "cpu", code=3),
    ]
    shutil.copytree(f"{where}/m", f"{where}/truth")
    (tmp_path / "l.csv").write_text("study_id,ACL\nM\u00fcller\\x1b[31m,1\n", encoding="utf-8")
    told.append(orthodx("evaluate", "--predictions", f"{where}/p.csv", "--labels", tmp_path / "l.csv", "--masks",
                        f"{where}/m", "--truth", f"{where}/truth", "--out", f"{where}/e", "--resamples", 100,
                        "--workers", 0, "--worst", 0))  # fmt: skip
    assert ids(f"{where}/p.csv") == ["M\u00fcller\\x1b[31m"]
    assert json.loads(told[0].stdout)["cases"][0]["study_id"] == "M\u00fcller\\x1b[31m"
    for text in (done.output for done in told):
        assert "\x1b" not in text
        assert "bug" not in text
    kinds = (".csv", ".json", ".html", ".md")
    written = [p for p in tmp_path.rglob("*") if p.suffix in kinds and not p.parent.name.startswith(".")]
    assert len(written) > 8
    for path in written:
        text = path.read_text(encoding="utf-8")
        assert "\x1b" not in text
        assert "\\udcfc" not in text
