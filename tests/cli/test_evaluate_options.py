"""Options of `orthodx evaluate`, by what they change."""

import csv
import json
from concurrent.futures import Future, ProcessPoolExecutor

import pytest
from typer.testing import CliRunner

from orthodx.cli.app import app

from ..evaluation.conftest import cube, write_csv, write_diagnoses, write_map


def evaluate(*words):
    done = CliRunner().invoke(app, ["evaluate", *map(str, words), "--resamples", "100", "-q"])
    assert (done.exit_code, done.output) == (0, "")


def summary(folder):
    return json.loads((folder / "summary.json").read_text())


def numbers(folder, *columns, **wanted):
    """These columns of the metrics that are as wanted."""
    rows = (row for row in summary(folder)["metrics"] if all(row[k] == v for k, v in wanted.items()))
    return [tuple(row[column] for column in columns) for row in rows]


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    """Two reports on 60 studies of two centers and three clinics, from tables with names that nobody would guess."""
    at = tmp_path_factory.mktemp("reports")
    write_diagnoses(at, patients=60)
    clinics = [[f"s{i}", "XYZ"[i % 3]] for i in range(60)]
    write_csv(at / "ehr.csv", ["study_id", "clinic"], clinics)
    for name in ("predictions", "labels", "manifest", "ehr"):
        (at / f"{name}.csv").rename(at / f"my_{name}.csv")
    write_csv(
        at / "coin.csv",
        ["patient_id", "study_id", "ACL", "MM"],
        [[f"p{i}", f"s{i}", i * 37 % 60 / 60, i * 17 % 60 / 60] for i in range(60)],
    )
    line = (
        "--predictions", at / "my_predictions.csv", "--labels", at / "my_labels.csv", "--manifest",
        at / "my_manifest.csv", "--ehr", at / "my_ehr.csv",
    )  # fmt: skip
    evaluate(*line, "-o", at / "a", "--by", "center,clinic", "--min-cell", 2, "--seed", 1)
    evaluate(*line, "-o", at / "b", "--by", "center", "--min-cell", 15, "--seed", 2, "--compare", at / "coin.csv")
    return at / "a", at / "b"


def test_tables_are_read_from_where_they_are_named(reports):
    assert len(numbers(reports[0], "value", target="ACL", metric="auroc", grouping="", against="")) == 1
    assert {group for (group,) in numbers(reports[0], "group", grouping="center")} == {"A", "B"}
    assert {group for (group,) in numbers(reports[0], "group", grouping="clinic")} == {"X", "Y", "Z"}


def test_another_run_is_compared(reports):
    assert {against for (against,) in numbers(reports[0], "against", grouping="")} == {""}
    (difference,) = numbers(reports[1], "value", "low", target="ACL", metric="auroc", against="coin")
    assert min(difference) > 0


def test_small_groups_get_no_number(reports):
    for folder, small in zip(reports, (False, True), strict=True):
        notes = [note for (note,) in numbers(folder, "note", grouping="center", target="ACL")]
        assert any("too small" in note for note in notes) == small


def test_a_seed_changes_intervals_and_no_value(reports):
    one, two = (numbers(folder, "metric", "target", "value", grouping="", against="") for folder in reports)
    assert one == two
    one, two = (numbers(folder, "low", "high", grouping="", against="") for folder in reports)
    assert one != two
    assert [summary(folder)["settings"]["seed"] for folder in reports] == [1, 2]


@pytest.fixture
def masks(tmp_path):
    """Three series, their masks moved by 0, 1 and 2 voxels of 0.5 mm."""
    for i in range(3):
        write_map(tmp_path / f"found/s{i}.nii.gz", cube(i))
        write_map(tmp_path / f"true/s{i}.nii.gz", cube())
    return tmp_path


def evaluate_masks(folder, *words):
    evaluate("--masks", folder / "found", "--truth", folder / "true", *words)


def surface_dice(folder):
    with (folder / "per_case.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if (row["metric"], row["target"]) == ("nsd", "femur")]
    return {row["series_id"]: float(row["value"]) for row in rows}


@pytest.mark.parametrize(
    ("more", "word"),
    [(("--threshold", 0.4), "--threshold is for predictions"), (("--min-cell", 5), "--min-cell needs --by")],
)
def test_what_would_do_nothing_is_refused(masks, tmp_path, more, word):
    words = ["evaluate", "--masks", masks / "found", "--truth", masks / "true", "-o", tmp_path / "out", *more]
    done = CliRunner().invoke(app, list(map(str, words)))
    assert (done.exit_code, len(done.stderr.splitlines())) == (2, 1)
    assert word in done.stderr
    assert not (tmp_path / "out").exists()


def test_the_surface_dice_forgives_what_lies_within_the_tolerance(masks, tmp_path):
    for tolerance, forgiven in ((0.1, {"s0"}), (0.6, {"s0", "s1"})):
        out = tmp_path / str(tolerance)
        evaluate_masks(masks, "-o", out, "--tolerance", tolerance, "--worst", 1, "--workers", 0)
        assert {series for series, value in surface_dice(out).items() if value == 1} == forgiven
        assert len(list((out / "figures").glob("worst_mask_*.png"))) == 1


def test_workers_share_the_masks_and_finished_ones_are_kept_on_resume_only(masks, tmp_path, monkeypatch):
    sizes = []

    def done(self, function, *arguments):
        future = Future()
        future.set_result(function(*arguments))
        return future

    monkeypatch.setattr(ProcessPoolExecutor, "__init__", lambda self, workers, **more: sizes.append(workers))
    monkeypatch.setattr(ProcessPoolExecutor, "submit", done)
    monkeypatch.setattr(ProcessPoolExecutor, "shutdown", lambda self, **how: None)
    line = (masks, "-o", tmp_path / "out", "--worst", 0)
    evaluate_masks(*line, "--workers", 3)
    assert sizes == [3]
    for receipt in (tmp_path / "out/.done").rglob("s1.json"):
        receipt.write_text(receipt.read_text().replace('"nsd": 1.0', '"nsd": 0.123'))
    evaluate_masks(*line, "--workers", 0, "--resume")
    assert sizes == [3]
    assert surface_dice(tmp_path / "out")["s1"] == 0.123
    evaluate_masks(*line, "--workers", 0)
    assert surface_dice(tmp_path / "out")["s1"] == 1
