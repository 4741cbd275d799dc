"""Names of people stand in DICOM tags, in the names of folders and in those of files: no file of ours repeats them."""

import csv
import gzip
import json
import shutil
import sys

import numpy as np
import pydicom
import pytest
from pydicom.uid import generate_uid
from typer.testing import CliRunner

from orthodx.cli.app import app
from orthodx.networks.encoders.ortho import OrthoConfig, OrthoEncoder
from orthodx.networks.heads import pooled
from orthodx.studies.manifest import MANIFEST
from orthodx.studies.nifti import write_image
from orthodx.studies.tables import read_table, write_table
from orthodx.synth.dicom_writer import write_dicom_series

SECRET = b"secretname"
TAGS = {
    "PatientName": "SecretName^Jane", "PatientID": "SecretName-1", "PatientBirthDate": "19630217",
    "AccessionNumber": "SecretName7", "ReferringPhysicianName": "SecretName^Who", "StudyDescription": "SecretName knee",
    "SeriesDescription": "SecretName sag", "ProtocolName": "SecretName", "PatientComments": "SecretName",
    "StudyDate": "20190317", "OperatorsName": "SecretName^Op", "StationName": "SecretName",
}  # fmt: skip
SMALL = ("--preset", "tiny", "--device", "cpu", "--view", "sagittal", "--pixel-mm", 2)
SAGITTAL = np.array([[0, 0, 4.0, 0], [-2, 0, 0, 0], [0, -2, 0, 0], [0, 0, 0, 1]])
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True)
def tiny(monkeypatch, tmp_path):
    monkeypatch.setenv("ORTHODX_KEY", str(tmp_path / "key"))
    monkeypatch.setitem(OrthoEncoder.presets, "tiny", OrthoConfig(channels=(16, 16, 16, 16), time_channels=16))
    monkeypatch.setattr(pooled, "TOKENS", (2, 3, 3))


@pytest.fixture
def home(tmp_path):
    """A folder of one person's name, with DICOM of several people in it, and files that cannot be read."""
    home = tmp_path / "SecretName Jane"
    for i in range(6):
        image = np.random.default_rng(i).integers(200, 400, (32, 32, 4))
        image[8:24, 8:24] += 500 * (i % 2)
        row = dict(
            patient_id=f"P{i}", study_id=f"S{i}", series_id=f"R{i}", center=f"site {i % 2}", vendor="GE",
            laterality="left", view="sagittal", sequence="pd", field_strength=1.5, tr=3000.0, te=30.0,
            fat_suppressed=True,
        )  # fmt: skip
        folder = home / "dicom" / f"SecretName_{i}"
        write_dicom_series(folder, image.astype(np.int16), SAGITTAL, row, i + 1)
        for n, path in enumerate(sorted(folder.iterdir())):
            dataset = pydicom.dcmread(path)
            dataset.update(
                {
                    pydicom.datadict.tag_for_keyword(k): pydicom.DataElement(
                        pydicom.datadict.tag_for_keyword(k), pydicom.datadict.dictionary_VR(k), v
                    )
                    for k, v in TAGS.items()
                }
            )
            dataset.PatientID += str(i)
            dataset.save_as(folder / f"SecretName-{n:02d}.dcm")
            path.unlink()
    shutil.copytree(home / "dicom/SecretName_0", home / "dicom/SecretName_cut")
    cut = sorted((home / "dicom/SecretName_cut").iterdir())
    for path in cut:
        dataset = pydicom.dcmread(path)
        for name in ("SeriesInstanceUID", "StudyInstanceUID", "SOPInstanceUID"):
            setattr(dataset, name, generate_uid(entropy_srcs=[str(dataset[name].value), "cut"]))
        dataset.save_as(path)
    cut[1].unlink()
    for folder in ("SecretName_bad/plain", "dicom"):  # a folder of NIfTI is the name of its study
        (home / folder).mkdir(parents=True, exist_ok=True)
        (home / folder / "bad.nii.gz").write_bytes(b"\x1f\x8b no image")
    return home


def orthodx(*words, code=0):
    line = [*map(str, words)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["/home/SecretName/bin/orthodx", *line])
        done = CliRunner().invoke(app, line)
    assert code is None or done.exit_code == code, done.output
    return done


def told(folder):
    """Files under a folder that repeat a name, in their names or in what is in them."""
    found = []
    for path in (one for one in folder.rglob("*") if one.is_file()):
        data = path.read_bytes()
        data = gzip.decompress(data) if path.suffix == ".gz" else data
        if SECRET in data.lower() or SECRET in str(path.relative_to(folder)).encode().lower():
            found.append(path.relative_to(folder).as_posix())
    return found


def test_no_command_repeats_a_name(home, bundle, diagnosis, knee, tmp_path):
    out = home / "out of SecretName"  # not even where the results lie is told
    nifti, tiny = out / "nifti", ("--device", "cpu", "--workers", 0)
    orthodx("convert", home / "dicom", "--out", nifti, "--workers", 0, code=8)
    orthodx("segment", home / "dicom", home / "SecretName_bad", "--out", out / "masks", "--model", bundle.path, *tiny,
            code=8)  # fmt: skip
    rows = read_table(nifti / MANIFEST)
    ids = sorted(set(rows.study_id))
    for name, lines in (("labels", [dict(study_id=s, ACL=i % 2) for i, s in enumerate([*ids, "dicom"])]),
                        ("ehr", [dict(study_id=s, age=30 + i) for i, s in enumerate(ids)])):  # fmt: skip
        write_table(home / f"SecretName {name}.csv", lines, tuple(lines[0]))
    labels, ehr = home / "SecretName labels.csv", home / "SecretName ehr.csv"
    orthodx("diagnose", home / "dicom", home / "SecretName_bad", f"--out={out}/predictions.csv", "--ehr", ehr, *tiny,
            "--explain", out / "why", "--model", diagnosis.path, code=8)  # fmt: skip
    shutil.copytree(
        out / "masks", home / "SecretName truth"
    )  # not `truth`, which the cohort beside it would be taught by
    sorted((home / "SecretName truth").glob("*.nii.gz"))[0].unlink()  # said of the folder
    orthodx("evaluate", "--masks", out / "masks", "--truth", home / "SecretName truth",
            "--predictions", out / "predictions.csv", "--labels", labels, "--manifest", nifti / MANIFEST,
            "--out", out / "report", "--resamples", 100, "--workers", 0)  # fmt: skip
    shutil.copytree(nifti, home / "cohort")
    (home / "cohort/truth").mkdir()
    for path in list((home / "cohort").glob("*/*.nii.gz"))[:4]:
        write_image(home / "cohort/truth" / path.name, np.ones((32, 32, 4), np.uint8), SAGITTAL)
    steps = ("--steps", 1, "--batch", 1, "--crop", 4, 32, 32, "--workers", 0)
    orthodx("pretrain", home / "cohort", home / "dicom", "-o", out / "pre", *SMALL, *steps,
            "--cache", out / "cache", code=8)  # fmt: skip
    orthodx("finetune", home / "cohort", "-o", out / "fit", "--encoders", out / "pre", *SMALL, *steps, code=8)
    orthodx("finetune", home / "dicom", "--task", "diagnose", "-o", out / "answers", "--from-scratch",
            "--labels", labels, "--ehr", ehr, "--epochs", 1, "--head", "mean", "--region", 4, 32, 32, *SMALL,
            code=8)  # fmt: skip
    assert told(out) == []
    left = [json.loads((out / name / "run.json").read_text())["left_out"] for name in ("pre", "fit", "answers")]
    assert all(left)
    assert not any(str(home.parent) in path.read_text("latin-1") for path in out.rglob("*.json"))


def test_paths_are_kept_where_they_are_asked_for(home, bundle, diagnosis, tmp_path):
    bad = home / "SecretName_bad"
    line = (home / "dicom/SecretName_0", bad, "--keep-paths", "--device", "cpu")
    orthodx("segment", *line, "--out", tmp_path / "m", "--model", bundle.path, "--no-preview", code=8)
    orthodx("diagnose", *line, "--out", tmp_path / "p.csv", "--model", diagnosis.path, code=8)
    for table, record in (("m/status.csv", "m/run.json"), ("p.status.csv", "p.run.json")):
        with (tmp_path / table).open(newline="") as file:
            sources = [row["source"] for row in csv.DictReader(file)]
        assert any(one.startswith(str(bad)) for one in sources)
        assert str(line[0]) in json.loads((tmp_path / record).read_text())["command"]
    steps = ("--steps", 1, "--batch", 1, "--crop", 4, 32, 32, "--workers", 0, "--keep-paths")
    orthodx("pretrain", home / "dicom/SecretName_1", "-o", tmp_path / "pre", *SMALL, *steps)
    write_image(
        home / "one/a.nii.gz", np.random.default_rng(1).integers(1, 900, (32, 32, 4)).astype(np.int16), SAGITTAL
    )
    write_image(home / "one/truth/a.nii.gz", np.ones((32, 32, 4), np.uint8), SAGITTAL)
    orthodx("finetune", home / "one", "-o", tmp_path / "fit", "--from-scratch", *SMALL, *steps)
    for name, given in (("pre", home / "dicom/SecretName_1"), ("fit", home / "one")):
        assert json.loads((tmp_path / name / "run.json").read_text())["inputs"][0]["path"] == str(given)
    masks = ("--masks", home / "one/truth", "--truth", home / "one/truth")
    orthodx("evaluate", *masks, "--out", tmp_path / "r", "--resamples", 100, "--workers", 0, "--keep-paths")
    assert json.loads((tmp_path / "r/summary.json").read_text())["settings"]["masks"] == str(home / "one/truth")


def test_the_command_line_of_a_record_can_be_understood(home, bundle, tmp_path):
    orthodx("segment", home / "dicom/SecretName_0", f"-o{tmp_path}/m", "--model", bundle.path, "--device", "cpu",
            "--no-preview")  # fmt: skip
    command = json.loads((tmp_path / "m/run.json").read_text())["command"]
    assert command[:5] == ["orthodx", "segment", "STUDIES", "-oOUT", "--model"]
    assert command[5:] == ["MODEL", "--device", "cpu", "--no-preview"]
