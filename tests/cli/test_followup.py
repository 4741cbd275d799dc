"""`orthodx synth --visits` and `orthodx followup`: options, results, and what is said of wrong ones."""

import csv
import json
import shutil
import sys
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from typer.testing import CliRunner

from orthodx.cli.app import app
from orthodx.studies.nifti import read_volume, write_image
from orthodx.synth import grammar
from orthodx.synth.anatomy_bank import AnatomyBank
from orthodx.synth.knee import SYNTHETIC
from orthodx.synth.knee.procedural import random_knee


def orthodx(*words, code=0):
    line = [*map(str, words)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["orthodx", *line])
        done = CliRunner().invoke(app, line)
    assert done.exit_code == code, done.output
    return done


def table(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def visits(tmp_path_factory):
    """One coarse synthetic knee, seen twice; it has lost 30 % of its cartilage by then."""
    out = tmp_path_factory.mktemp("made") / "visits"
    coarse = replace(SYNTHETIC, random_anatomy=partial(random_knee, spacing_mm=1.4))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(grammar.REGISTERED, "knee", coarse)
        orthodx("synth", out, "-n", 1, "--visits", 2, "--cartilage-loss", 0.3, "--view", "sagittal", "--seed", 2,
                "--center", "Harbour", "--center", "Meadow", "--workers", 0)  # fmt: skip
    return out


@pytest.fixture
def home(visits, tmp_path):
    """The same under one person's name."""
    return shutil.copytree(visits, tmp_path / "SecretName")


def test_visits_are_studies_of_one_patient_on_other_days(visits):
    rows = table(visits / "manifest.csv")
    assert {row["patient_id"] for row in rows} == {"patient-0002-0000"}
    assert [row["study_id"] for row in rows] == [f"knee-0002-0000-v{n}" for n in (1, 2)]
    assert [row["visit"] for row in rows] == ["1", "2"]
    assert 0 == int(rows[0]["days"]) < 90 <= int(rows[1]["days"])
    assert {row["view"] for row in rows} == {"sagittal"}
    loss = [json.loads((visits / row["study_id"] / "study.json").read_text())["cartilage_loss"] for row in rows]
    assert loss == pytest.approx([0, 0.3])
    affines = [read_volume(visits / row["path"]).affine for row in rows]
    assert not np.allclose(affines[0], affines[1], atol=1e-3)


@pytest.mark.parametrize(
    ("more", "line"),
    [
        (("--cartilage-loss", 0.1), "--visits 2"),
        (("--visits", 2, "--bank"), "--visits is for studies, not for --bank"),
        (("--view", "axial", "--bank"), "--view is for studies, not for --bank"),
        (("--visits", 2, "--cartilage-loss", 0.1, "--joint", "ankle"), "procedural knees only"),
    ],
)
def test_options_of_visits_that_mean_nothing_are_refused(tmp_path, more, line):
    done = orthodx("synth", tmp_path / "a", *more, code=2)
    assert len(done.stderr.splitlines()) == 1
    assert line in done.stderr
    assert not (tmp_path / "a").exists()


def test_an_anatomy_of_ones_own_is_seen_again_as_it_lies(knee, tmp_path):
    AnatomyBank(tmp_path / "bank").add("knee", knee)
    line = ("synth", tmp_path / "a", "-n", 1, "--visits", 2, "--view", "axial", "--anatomy", tmp_path / "bank")
    assert "procedural knees only" in orthodx(*line, "--cartilage-loss", 0.1, code=2).stderr
    orthodx(*line, "--center", "Outpost")
    assert [row["visit"] for row in table(tmp_path / "a/manifest.csv")] == ["1", "2"]


def test_planted_loss_is_followed_and_told(home, tmp_path):
    out = tmp_path / "changes"
    done = orthodx("followup", "--manifest", home / "manifest.csv", "--masks", home / "truth", "--out", out, "--json")
    told = json.loads(done.stdout)
    assert told == {"out": str(out), "changes": len(table(out / "changes.csv")), "beyond_error": 0}
    assert "the measurement error is unknown" in done.stderr
    last = {row["target"]: row for row in table(out / "changes.csv")
            if row["measure"] == "volume_ml"}  # fmt: skip
    for name in ("femoral_cartilage", "tibial_cartilage", "patellar_cartilage"):
        assert -45 < float(last[name]["percent"]) < -18
    assert abs(float(last["femur"]["percent"])) < 2
    assert 0 < float(last["femur"]["fit_mm"]) < 1
    side = table(home / "manifest.csv")[0]["laterality"]
    assert [path.name for path in (out / "pictures").iterdir()] == [f"patient-0002-0000_{side}.png"]


def test_every_option_does_what_it_says(home, tmp_path):
    (tmp_path / "p.csv").write_text("study_id,ACL\nknee-0002-0000-v1,0.2\nknee-0002-0000-v2,0.9\n")
    (tmp_path / "when.csv").write_text("study_id,visit\nknee-0002-0000-v2,1\nknee-0002-0000-v1,2\n")
    (tmp_path / "e.csv").write_text(
        "view,target,measure,scale,sd_of_change,pairs\nsagittal,femoral_cartilage,volume_ml,ratio,0.01,30\n"
    )
    line = ("followup", "--manifest", home / "manifest.csv", "--masks", home / "truth", "--no-picture", "--joint",
            "knee", "--workers", 0)  # fmt: skip
    orthodx(*line, "-o", tmp_path / "a", "--predictions", tmp_path / "p.csv", "--visits", tmp_path / "when.csv",
            "--error", tmp_path / "e.csv")  # fmt: skip
    rows = {(row["target"], row["measure"]): row for row in table(tmp_path / "a/changes.csv")}
    assert rows["ACL", "probability"]["study_id"] == "knee-0002-0000-v1"
    assert float(rows["ACL", "probability"]["change"]) == pytest.approx(-0.7)
    assert rows["femoral_cartilage", "volume_ml"]["days"] == ""
    assert rows["femoral_cartilage", "volume_ml"]["beyond_error"] == "more"  # seen in the other order
    assert not (tmp_path / "a/pictures").exists()
    both = orthodx(*line, "-o", tmp_path / "b", "--error", tmp_path / "e.csv", "--no-change", code=2)
    assert len(both.stderr.splitlines()) == 1
    done = orthodx(*line, "-o", tmp_path / "b", "--no-change", "-q")
    assert done.stdout == ""
    assert table(tmp_path / "b/error.csv") == []  # of one pair there is none


def test_resume_keeps_what_was_measured_in_the_same_masks(home, tmp_path):
    line = ("followup", "--manifest", home / "manifest.csv", "--masks", home / "truth", "-o", tmp_path / "o",
            "--no-picture", "--workers", 0)  # fmt: skip
    orthodx(*line, "--quiet")
    (one,) = (tmp_path / "o/.done").glob("*.json")
    before = table(tmp_path / "o/changes.csv")
    kept = json.loads(one.read_text())
    kept["result"][0]["later"] = 1.0  # to be known again
    one.write_text(json.dumps(kept))
    orthodx(*line, "--resume")
    assert table(tmp_path / "o/changes.csv")[0]["later"] == "1.0"
    orthodx(*line)
    assert table(tmp_path / "o/changes.csv") == before


def test_no_file_repeats_a_name_unless_paths_are_asked_for(home, tmp_path):
    shutil.copy(home / "manifest.csv", home / "SecretName.csv")
    shutil.copytree(home / "truth", home / "SecretName masks")
    mask = home / "SecretName masks/knee-0002-0000-v2-sagittal.nii.gz"
    mask.write_bytes(b"no image")
    (home / "secretname p.csv").write_text("study_id,ACL\nknee-0002-0000-v1,0.2\nknee-0002-0000-v2,0.9\n")
    (home / "secretname when.csv").write_text("study_id,days\nknee-0002-0000-v1,0\nknee-0002-0000-v2,9\nx,soon\n")
    line = ("followup", "--manifest", home / "SecretName.csv", "--masks", home / "SecretName masks", "--workers", 0,
            "--visits", home / "secretname when.csv", "--predictions", home / "secretname p.csv")  # fmt: skip
    done = orthodx(*line, "-o", tmp_path / "o", code=8)
    assert "secretname when.csv" in done.stderr
    files = [path for path in (tmp_path / "o").rglob("*") if path.is_file()]
    assert [path.name for path in files if b"secretname" in path.read_bytes().lower()] == []
    record = json.loads((tmp_path / "o/run.json").read_text())
    assert any("visits.csv: days of 1 studies" in line for line in record["refused"])
    assert "MANIFEST" in record["command"]
    write_image(mask, np.full((9, 9, 9), 0.5, np.float32), np.eye(4))
    done = orthodx(*line, "-o", tmp_path / "n", code=8)
    assert "SecretName masks/knee-0002-0000-v2-sagittal.nii.gz: holds values that are no labels" in done.stderr
    assert b"secretname" not in (tmp_path / "n/run.json").read_bytes().lower()
    orthodx(*line, "-o", tmp_path / "p", "--keep-paths", code=8)
    record = json.loads((tmp_path / "p/run.json").read_text())
    assert record["inputs"]["masks"]["path"] == str(home / "SecretName masks")


def test_what_cannot_be_followed_is_one_line(home, tmp_path):
    given = ("--manifest", home / "manifest.csv", "--masks", home / "truth", "--no-picture")
    rows = (home / "manifest.csv").read_text()
    (tmp_path / "one.csv").write_text("\n".join(rows.splitlines()[:2]))
    (tmp_path / "e.csv").write_text("view,target\nsagittal,femur\n")
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken/changes.csv").write_text("mine")
    for words, out, code, told in (
        (("--manifest", tmp_path / "none.csv"), "o", 2, "none.csv"),
        (("--masks", tmp_path / "none"), "o", 2, "none"),
        (("--visits", tmp_path / "none.csv"), "o", 2, "none.csv"),
        (("--error", tmp_path / "e.csv"), "o", 3, "e.csv"),
        (("--manifest", tmp_path / "one.csv"), "o", 3, "no patient was seen twice"),
        ((), "taken", 2, "changes.csv is there"),
        (("--joint", "elbow"), "o", 2, "elbow"),
    ):
        done = orthodx("followup", *given, *words, "-o", tmp_path / out, code=code)
        errors = [line for line in done.stderr.splitlines() if line.startswith("error")]
        assert len(errors) == 1, done.stderr
        assert told in errors[0]
    assert (tmp_path / "taken/changes.csv").read_text() == "mine"
    assert not (tmp_path / "o").exists()


def test_a_mask_of_another_size_of_scan_is_followed_where_both_show_it(home, tmp_path):
    path = home / "truth/knee-0002-0000-v2-sagittal.nii.gz"
    labels = read_volume(path)
    axis = int(np.argmin(labels.shape))
    cut = tuple(slice(None, labels.shape[a] // 2) if a == axis else slice(None) for a in range(3))
    write_image(path, labels.data[cut].astype(np.uint8), labels.affine)
    orthodx("followup", "--manifest", home / "manifest.csv", "--masks", home / "truth", "-o", tmp_path / "o",
            "--no-picture", "--workers", 0)  # fmt: skip
    last = {row["target"]: row for row in table(tmp_path / "o/changes.csv")
            if row["measure"] == "volume_ml"}  # fmt: skip
    assert float(last["femur"]["common"]) < 0.8
    assert abs(float(last["femur"]["percent"])) < 5
