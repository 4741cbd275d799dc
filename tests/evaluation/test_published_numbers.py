"""Numbers on pages come out of the tables in examples/results."""

import importlib.util
import re
from pathlib import Path

import pandas as pd
import pytest

from orthodx.bundles.bundle import open_bundle
from orthodx.evaluation.label_efficiency import PRETRAINED
from orthodx.evaluation.resampling import patient_mean
from orthodx.evaluation.rows import MACRO
from orthodx.joints import View
from orthodx.studies.tables import read_table

RESULTS = Path(__file__).parents[2] / "examples/results"
PAGE = Path(__file__).parents[2] / "docs/transfer.md"


def benchmark(name):
    """A program of examples/benchmarks, loaded."""
    spec = importlib.util.spec_from_file_location(name, RESULTS.parent / f"benchmarks/{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


label_shares, diagnosis_card = benchmark("label_shares"), benchmark("diagnosis_card")


@pytest.mark.parametrize(
    ("joint", "taught"),
    [(joint, taught) for joint in ("ankle", "shoulder") for taught in ("lesion masks", "labels alone")],
)
def test_the_auroc_of_the_transfer_page_are_those_of_its_tables(joint, taught):
    folder = RESULTS / "transfer_labels" / joint
    arms = [arm for arm in read_table(folder / "predictions.csv")["arm"].unique() if arm.startswith(taught)]
    rows = label_shares.efficiency(folder, arms)
    lines = [line.split("|") for line in PAGE.read_text(encoding="utf-8").splitlines()]
    lines = [line for line in lines if len(line) > 3 and line[1].startswith(f" {taught}: {joint}, ")]
    assert len(lines) == 3
    for _, named, *cells, _ in lines:
        share = int(named.split()[-2]) / 240
        wanted = [(PRETRAINED, ""), (arms[1], ""), (PRETRAINED, arms[1])]
        assert [one.strip() for one in cells] == [label_shares.cell(rows, MACRO, share, *which) for which in wanted]


def test_the_answers_of_the_card_are_those_of_its_table():
    bundle = open_bundle("knee-small")
    card = (bundle.path / "MODEL_CARD.md").read_text(encoding="utf-8")
    table = RESULTS / "knee_diagnosis", "9641"  # the seed of the patients without any lesion
    thresholds = bundle.info.diagnosis.thresholds
    lines = [*diagnosis_card.lines(*table, thresholds), *diagnosis_card.by_center(*table, tuple(thresholds))]
    assert len(lines) == 8 + 1 + 6
    for line in lines:
        assert line.rstrip("| ") in card


@pytest.mark.parametrize(
    ("named", "file", "lines"),
    [
        ("ankle", "ankle", 18),
        ("shoulder", "shoulder", 6),
        ("ankle in full", "ankle_full", 18),
        ("shoulder in full", "shoulder_full", 18),
    ],
)
def test_the_dice_of_the_transfer_page_are_those_of_its_tables(named, file, lines):
    table = read_table(RESULTS / f"transfer_masks/{file}.csv")
    rows = [
        line.split("|") for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith(f"| {named}, ")
    ]
    assert len(rows) == lines
    for _, where, structure, *cells, _ in rows:
        of_count = table[table.labelled == where.split(",")[1].strip()].set_index("series_id")
        dice, patients = of_count[structure.strip().replace(" ", "_")], of_count["patient_id"]
        arms = [
            pd.to_numeric(dice[of_count.arm == arm], errors="coerce").dropna() for arm in ("transferred", "scratch")
        ]
        told = [float(cell.split()[0]) for cell in cells]
        of = [patients[of_count.arm == "transferred"][arm.index].tolist() for arm in arms]
        found = [patient_mean(arm.tolist(), who).value for arm, who in zip(arms, of, strict=True)]
        paired = (arms[0] - arms[1]).dropna()
        found.append(patient_mean(paired.tolist(), patients[of_count.arm == "scratch"][paired.index].tolist()).value)
        assert told == pytest.approx(found, abs=6e-4)


@pytest.mark.parametrize(
    ("table", "heading"), [("procedural", "unseen seeds (0.7.0)"), ("label_maps", "never used in training (0.7.0)")]
)
def test_the_dice_of_the_card_are_those_of_its_tables(table, heading):
    rows = read_table(RESULTS / f"knee_masks/{table}.csv")
    card = (open_bundle("knee-small").path / "MODEL_CARD.md").read_text(encoding="utf-8").split(heading)[1]
    found = 0
    for line in card.split("\n## ")[0].splitlines():
        name, *cells = [cell.strip() for cell in line.strip("|").split("|")]
        if name not in rows.columns:
            continue
        for view, cell in zip((*View, None), cells, strict=True):
            part = rows[(rows["view"] == str(view)) | (view is None)]
            dice = pd.to_numeric(part[name], errors="coerce").dropna()
            e = patient_mean(dice.tolist(), part["patient_id"][dice.index].tolist())
            told = [float(number) for number in re.findall(r"\d\.\d+", cell)]
            assert told == pytest.approx([e.value, e.low, e.high], abs=6e-4), (name, view)
            found += 1
    assert found == 44
