"""The report folder: tidy files, a page that needs no network, comparison and label efficiency."""

import csv
import json
import re

import numpy as np
import pytest

import orthodx
from orthodx.errors import NoInputError, UsageError
from orthodx.evaluation.rows import COLUMNS, MACRO, find
from orthodx.requests.evaluation import Settings

from .conftest import cube, write_diagnoses, write_map

QUICK = {"by": ("center",), "resamples": 100}


def run(folder, **options):
    return orthodx.evaluate(folder / "out", folder=folder, **{**QUICK, "workers": 0, **options})


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    """Both tasks with three other runs, one of them at a tenth of the labels."""
    folder = write_diagnoses(tmp_path_factory.mktemp("full") / "cohort")
    for i in range(12):
        write_map(folder / f"truth/s{i}-a.nii.gz", cube())
        write_map(folder / f"masks/s{i}-a.nii.gz", cube(i % 3))
        write_map(folder / f"other/masks/s{i}-a.nii.gz", cube(4))
    write_diagnoses(folder / "other", seed=0)
    text = (folder / "other/predictions.csv").read_text().splitlines()
    worse = [text[0]] + [
        ",".join([*line.split(",")[:2], f"{0.3 + 0.01 * (i % 40):.2f}", "0.5"]) for i, line in enumerate(text[1:])
    ]
    (folder / "other/predictions.csv").write_text("\n".join(worse))
    model = {"name": "m", "version": "2", "thresholds": {"ACL": 0.31}}
    (folder / "run.json").write_text(json.dumps({"model": model, "label_fraction": 1.0, "from_scratch": False}))
    (folder / "other/run.json").write_text(json.dumps({"label_fraction": 0.1, "from_scratch": False}))
    return run(folder, compare=[folder / "other"]), folder / "out"


def test_metrics_are_tidy_and_equal_to_the_summary(full):
    _, out = full
    with (out / "metrics.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    summary = json.loads((out / "summary.json").read_text())
    assert tuple(table[0]) == COLUMNS
    assert summary["schema"] == {"name": "orthodx.evaluation", "version": 1}
    assert len(summary["metrics"]) == len(table)
    for line, row in zip(table, summary["metrics"], strict=True):
        assert line["value"] == "" if row["value"] is None else float(line["value"]) == pytest.approx(row["value"])


def test_per_case_holds_every_probability_and_score(full):
    _, out = full
    with (out / "per_case.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert sum(r["metric"] == "probability" for r in table) == 160
    assert sum(r["metric"] == "dice" and r["target"] == "femur" for r in table) == 12
    assert {r["center"] for r in table} == {"A", "B"}


def test_the_page_is_one_file_without_scripts_or_links_out(full):
    _, out = full
    page = (out / "report.html").read_text(encoding="utf-8")
    assert not re.search(r'(src|href)="(?!#|data:)', page.replace('xlink:href="#', 'href="#'))
    assert "<script" not in page
    assert "@import" not in page
    assert (
        page.count("<svg")
        == len(list((out / "figures").glob("*.svg")))
        == len([p for p in (out / "figures").glob("*.png") if not p.name.startswith("worst")])
    )
    assert "currentColor" in page
    assert "prefers-color-scheme: dark" in page
    assert 'name="viewport"' in page
    for what in ("roc_ACL", "calibration_MM", "benefit_ACL", "forest_diagnosis_center", "strips_dice", "strips_nsd"):
        assert (out / f"figures/{what}.svg").is_file()
    assert page.count("data:image/png;base64,") == 8


def test_tables_scroll_intervals_stay_whole_and_settings_are_told_as_words(full):
    page = (full[1] / "report.html").read_text(encoding="utf-8")
    assert page.count('<div class="scroll"') == page.count("<table")
    assert re.search(r"<td>0\.\d{3} <span>\(0\.\d{3}–[01]\.\d{3}\)</span></td>", page)
    assert '<td class="words">default: not frozen on validation data</td>' in page
    settings = re.search(r"<td>settings</td><td>(.*?)</td>", page).group(1)
    assert "tolerance_mm 1.0" in settings
    assert not re.search(r"\[|None|False", settings)


def test_thresholds_say_where_they_come_from(full):
    e, out = full
    assert (e.thresholds["ACL"].value, e.thresholds["MM"].value) == (0.31, 0.5)
    page = (out / "report.html").read_text()
    assert "run record: frozen on validation data" in page
    assert "default: not frozen on validation data" in page


def test_methods_and_checklist_are_filled_from_the_record(full):
    text = (full[1] / "methods.md").read_text()
    for fact in ("80 studies of 80 patients", "tolerance 1 mm", "MONAI", "name m, version 2", "label_fraction: 1.0"):
        assert fact in text
    assert "to be written by the authors" in text


def test_comparison_is_ours_minus_theirs_on_the_same_cases(full):
    e, _ = full
    (area,) = find(e.rows, target="ACL", metric="auroc", against="other")
    assert 0 < area.low < area.value < area.high
    assert area.p_holm < 0.05
    (dice,) = find(e.rows, target="femur", metric="dice", against="other")
    assert dice.value == pytest.approx(np.mean([1.0, 0.9, 0.8]) - 0.6, abs=0.11)
    assert dice.p_holm < 0.05
    assert find(e.rows, target=MACRO, metric="auroc", against="other")


def test_label_efficiency_has_a_point_a_run(full):
    e, out = full
    points = find(e.rows, grouping="label_fraction", target=MACRO)
    assert [(r.group, r.note) for r in points] == [("0.1", "pretrained"), ("1", "pretrained")]
    assert points[0].value < points[1].value
    assert (out / "figures/label_efficiency_macro_average_AUROC.svg").is_file()


def test_a_copy_of_the_same_run_does_not_differ(diagnoses):
    e = run(diagnoses, compare=[diagnoses / "predictions.csv"])
    for row in (r for r in e.rows if r.against and not r.grouping):
        assert row.value == 0
        assert not row.p < 0.05


def test_equal_seeds_give_equal_numbers(diagnoses):
    first = [vars(r) for r in run(diagnoses).rows]
    assert str(first) == str([vars(r) for r in run(diagnoses).rows])


def test_half_of_a_task_is_named_and_nothing_is_no_input(diagnoses, tmp_path):
    (diagnoses / "masks").mkdir()
    e = run(diagnoses)
    assert "masks is here but no truth: not evaluated" in e.notices.notes
    with pytest.raises(NoInputError, match="nothing to evaluate"):
        run(tmp_path)
    with pytest.raises(UsageError, match="needs its labels"):
        run(tmp_path, predictions=diagnoses / "predictions.csv")
    with pytest.raises(UsageError, match="holds no predictions"):
        run(diagnoses, compare=[tmp_path / "cohort/masks"])


@pytest.mark.parametrize("bad", [{"thresholds": ("1.5",)}, {"thresholds": ("ACL=x",)}, {"tolerance_mm": 0.0},
                                 {"resamples": 3}, {"min_cell": 1}, {"by": ("a", "a")}])  # fmt: skip
def test_impossible_settings_are_refused_at_birth(bad):
    with pytest.raises(UsageError):
        Settings(**bad)


def test_a_threshold_given_for_one_label_wins_over_the_common_one():
    settings = Settings(thresholds=("0.4", "ACL=0.2"))
    assert (settings.threshold_for("ACL"), settings.threshold_for("MM")) == (0.2, 0.4)
    assert Settings().threshold_for("ACL") is None


@pytest.mark.parametrize("item", ["acl=0.2", "XYZ=0.4"])
def test_a_threshold_of_a_label_that_is_not_scored_is_refused(tmp_path, item):
    folder = write_diagnoses(tmp_path / "small", patients=12)
    with pytest.raises(UsageError, match=f"no label '{item.split('=')[0]}' is scored") as caught:
        run(folder, thresholds=(item,))
    assert "ACL" in caught.value.hint


def test_the_page_spells_labels_out_and_counts_what_could_not_be_tested_or_paired(tmp_path):
    folder = write_diagnoses(tmp_path / "small", patients=12)
    rows = (folder / "predictions.csv").read_text().splitlines()
    (folder / "predictions.csv").write_text("\n".join(rows[:-1]))
    done = run(folder)
    page = (folder / "out/report.html").read_text()
    assert "ACL: anterior cruciate ligament injury; MM: medial meniscus injury." in page
    assert done.notices.left_out == 1
    assert "not testable" in page
    assert "– to –" not in page
    assert not re.search(r"(?<![\d.,])1 (studies|patients|labels|findings|files|rows)\b", page)
