"""A second run into the same place: what is there stays, or is gone on with; nothing is lost without a word."""

import csv
import json

import numpy as np
import pytest
from typer.testing import CliRunner

from orthodx.cli.app import app
from orthodx.studies.nifti import write_image

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True)
def key(tmp_path, monkeypatch):
    monkeypatch.setenv("ORTHODX_KEY", str(tmp_path / "key"))


def image(path, seed=3):
    data = np.random.default_rng(seed).integers(1, 2000, (32, 32, 5)).astype(np.int16)
    write_image(path, data, np.diag([1.5, 1.5, 4, 1]))
    return path


@pytest.fixture
def segment(bundle):
    def go(*words, code=0):
        line = ["segment", *map(str, words), "--model", str(bundle.path), "--device", "cpu", "--no-preview"]
        done = CliRunner().invoke(app, line)
        assert done.exit_code == code, done.output
        return done

    return go


@pytest.fixture
def diagnose(diagnosis):
    def go(*words, code=0):
        done = CliRunner().invoke(
            app, ["diagnose", *map(str, words), "--model", str(diagnosis.path), "--device", "cpu"]
        )
        assert done.exit_code == code, done.output
        return done

    return go


def column(path, name):
    with path.open(newline="") as file:
        return [row[name] for row in csv.DictReader(file)]


def test_masks_of_a_second_cohort_join_those_of_the_first(segment, tmp_path):
    one, two, out = image(tmp_path / "a/one.nii.gz"), image(tmp_path / "b/two.nii.gz"), tmp_path / "o"
    (tmp_path / "a/cut.nii.gz").write_bytes(one.read_bytes()[:200])
    segment(tmp_path / "a", "-o", out, code=8)
    assert "already holds results" in segment(two, "-o", out, code=2).stderr
    assert column(out / "status.csv", "series_id") == ["cut", "one"]
    segment(two, "-o", out, "--resume")
    assert column(out / "status.csv", "series_id") == ["two", "cut", "one"]
    assert column(out / "status.csv", "status")[1] == "failed"
    assert set(column(out / "volumes.csv", "series_id")) == {"one", "two"}
    inputs = {row["series_id"]: row["sha256"] for row in json.loads((out / "run.json").read_text())["inputs"]}
    assert set(inputs) == {"one", "two", "cut"}
    assert all(len(digest) == 64 for digest in inputs.values())


def test_the_mask_of_another_image_of_that_name_is_not_lost(segment, tmp_path):
    one, other, out = image(tmp_path / "a/s/k.nii.gz"), image(tmp_path / "b/s/k.nii.gz", 4), tmp_path / "o"
    segment(one, "-o", out)
    kept = (out / "k.nii.gz").read_bytes()
    assert "'k' in" in segment(other, "-o", out, "--resume", code=2).stderr
    assert (out / "k.nii.gz").read_bytes() == kept
    other.write_bytes(one.read_bytes())  # the same image at another place is the same case
    segment(other, "-o", out, "--resume")
    image(one, 5)  # and an image that has changed where it lies is done anew
    segment(one, "-o", out, "--resume")


def test_a_mask_without_its_image_goes_with_it(segment, tmp_path):
    one, out = image(tmp_path / "a/one.nii.gz"), tmp_path / "o"
    segment(one, "-o", out)
    one.write_bytes(b"broken")
    segment(one, "-o", out, "--resume", code=3)
    assert not (out / "one.nii.gz").exists()
    assert column(out / "status.csv", "status") == ["failed"]


def test_a_file_put_among_the_results_is_not_written_over(segment, tmp_path):
    out = tmp_path / "o"
    segment(image(tmp_path / "a/one.nii.gz"), "-o", out)
    image(out / "two.nii.gz")
    before = (out / "two.nii.gz").read_bytes()
    line = segment(image(tmp_path / "b/two.nii.gz", 4), "-o", out, "--resume", code=2).stderr
    assert "two.nii.gz is there and is no result of ours" in line
    assert (out / "two.nii.gz").read_bytes() == before


def test_more_formats_and_pictures_are_made_when_asked_for(bundle, tmp_path):
    one, out = image(tmp_path / "a/one.nii.gz"), tmp_path / "o"
    line = ["segment", str(one), "-o", str(out), "--model", str(bundle.path), "--device", "cpu", "--resume"]
    for more, there in ((["--no-preview"], False), ([], True), (["--no-preview"], True)):
        assert CliRunner().invoke(app, [*line, *more]).exit_code == 0
        assert (out / "previews/one.png").is_file() == there


def test_answers_to_a_second_cohort_join_those_to_the_first(diagnose, tmp_path):
    one, two, out = image(tmp_path / "x/a.nii.gz"), image(tmp_path / "y/b.nii.gz", 4), tmp_path / "p.csv"
    diagnose(one, "-o", out, "--explain", tmp_path / "why")
    assert "already holds results" in diagnose(two, "-o", out, code=2).stderr
    diagnose(two, "-o", out, "--explain", tmp_path / "why", "--resume")
    assert column(out, "study_id") == column(tmp_path / "p.status.csv", "study_id") == ["b", "a"]
    assert set(column(tmp_path / "why/explanation.csv", "study_id")) == {"a", "b"}
    assert {row["study_id"] for row in json.loads((tmp_path / "p.run.json").read_text())["inputs"]} == {"a", "b"}
    diagnose(one, "-o", tmp_path / "q.csv", "--explain", tmp_path / "why", code=2)  # the folder is that table's
    assert not (tmp_path / "q.csv").exists()


def test_the_answer_to_another_study_of_that_name_is_not_lost(diagnose, tmp_path):
    one, other, out = image(tmp_path / "x/k.nii.gz"), image(tmp_path / "y/k.nii.gz", 4), tmp_path / "p.csv"
    diagnose(one, "-o", out)
    assert "another study called 'k'" in diagnose(other, "-o", out, "--resume", code=2).stderr
    assert column(out, "study_id") == ["k"]


@pytest.mark.parametrize("name", ["p.csv", "p.status.csv", "p.run.json"])
@pytest.mark.parametrize("more", [(), ("--resume",)])
def test_no_table_of_another_is_written_over(diagnose, tmp_path, name, more):
    (tmp_path / name).write_text("patient_id,study_id,views,model\nof,a,published,baseline\n")
    line = diagnose(image(tmp_path / "a/k.nii.gz"), "-o", tmp_path / "p.csv", *more, code=2).stderr
    assert f"{name} is there and is no result of 'orthodx diagnose'" in line
    assert "baseline" in (tmp_path / name).read_text()


def test_commands_leave_each_other_s_places_alone(segment, diagnose, tmp_path):
    one, out = image(tmp_path / "a/k.nii.gz"), tmp_path / "o"
    segment(one, "-o", out)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    for line in (["evaluate", "--masks", out, "--truth", out, "--out", out], ["convert", tmp_path / "a", "--out", out],
                 ["synth", out], ["synth", out, "--bank"]):  # fmt: skip
        done = CliRunner().invoke(app, list(map(str, line)))
        assert (done.exit_code, len(done.stderr.splitlines()[-1:])) == (2, 1), done.output
        assert "holds results of 'orthodx segment'" in done.stderr
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
