"""`orthodx evaluate` as people and pipelines meet it."""

import csv
import json
import os
import subprocess
import sys

import pytest


def evaluate(folder, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "orthodx", "evaluate", *map(str, arguments)],
        capture_output=True, text=True, cwd=folder, timeout=300, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    studies = range(60)
    truth = {i: (i * 7 % 10) < 4 for i in studies}
    tables = {
        "predictions.csv": [["patient_id", "study_id", "ACL"]]
        + [[f"p{i}", f"s{i}", round(0.3 + 0.3 * truth[i] + 0.007 * (i % 37), 3)] for i in studies],
        "labels.csv": [["study_id", "ACL"]] + [[f"s{i}", int(truth[i])] for i in studies],
        "manifest.csv": [["patient_id", "study_id", "series_id", "path", "center", "field_strength"]]
        + [[f"p{i}", f"s{i}", f"s{i}", f"s{i}.nii.gz", "AB"[i // 30], 3.0] for i in studies],
    }
    for name, rows in tables.items():
        with (tmp_path / name).open("w", newline="") as file:
            csv.writer(file).writerows(rows)
    return tmp_path


def test_a_folder_needs_no_option(folder):
    done = evaluate(folder, "--by", "center,field_strength", "--resamples", 200)
    assert done.returncode == 0, done.stderr
    assert "ACL" in done.stdout
    assert "AUROC" in done.stdout
    assert "-> evaluation/report.html" in done.stdout
    assert (folder / "evaluation/report.html").is_file()


def test_json_is_the_only_thing_on_stdout_and_bad_cells_exit_eight(folder):
    text = (folder / "predictions.csv").read_text().splitlines()
    text[3] = "p2,s2,nan"
    (folder / "predictions.csv").write_text("\n".join(text))
    done = evaluate(folder, "--json", "--out", "o", "--threshold", "ACL=0.6", "--resamples", 200)
    assert done.returncode == 8
    summary = json.loads(done.stdout)
    assert summary["thresholds"]["ACL"] == {"value": 0.6, "source": "given with --threshold"}
    (line,) = [x for x in done.stderr.splitlines() if x.startswith("error:")]
    assert "predictions.csv: ACL: 1 value is no probability" in line
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("--by", "vendor"), 2, "no column 'vendor' to group by"),
        (("--threshold", "2"), 2, "is not between 0 and 1"),
        (("--labels", "nowhere.csv"), 2, "--labels: nowhere.csv is not there"),
        (("--predictions", "manifest.csv"), 3, "share no label column"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_a_code(folder, arguments, code, says):
    done = evaluate(folder, *arguments)
    assert done.returncode == code
    (line,) = done.stderr.strip().splitlines()
    assert says in line


def test_an_empty_folder_is_no_input_and_ids_like_formulas_are_written_escaped(folder, tmp_path_factory):
    assert evaluate(tmp_path_factory.mktemp("empty")).returncode == 3
    for name in ("predictions.csv", "labels.csv"):
        (folder / name).write_text((folder / name).read_text().replace("s5,", "=cmd(),"))
    done = evaluate(folder, "--quiet", "--resamples", 200)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    with (folder / "evaluation/per_case.csv").open(newline="") as file:
        ids = {row["study_id"] for row in csv.DictReader(file)}
    assert "'=cmd()" in ids
    assert "=cmd()" not in ids


def test_a_narrow_terminal_cuts_no_number(folder):
    wide, narrow = (
        subprocess.run(
            [sys.executable, "-c", NARROW.format(width=width)], capture_output=True, text=True, cwd=folder, timeout=300
        ).stdout.split()
        for width in (110, 80)
    )
    assert "ACL" in wide
    assert sorted(word for word in wide if word[0] in "(0123456789") == sorted(
        word for word in narrow if word[0] in "(0123456789"
    )


NARROW = """
from pathlib import Path
from rich.console import Console
from orthodx.cli.evaluate import _tables
from orthodx.evaluation.evaluate import evaluate
from orthodx.evaluation.overview import overview
for table in _tables(overview(evaluate(Path("out{width}"), by=("center",), resamples=100, workers=0).rows)):
    Console(width={width}).print(table)
"""
