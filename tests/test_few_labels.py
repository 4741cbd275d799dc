"""The study of few labels: its commands can be given, and its page says what its table says."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import typer

from orthodx.cli.app import app
from orthodx.joints import KNEE

ROOT = Path(__file__).parents[1]
DICE, PAGE = ROOT / "examples/results/few_labels/dice.csv", ROOT / "docs/study.md"


def example(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / f"examples/study/{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


study, tables = example("few_labels"), example("few_labels_table")


def steps(size):
    first = [*study.cohorts(size), *study.pretraining(size)]
    return [*first, *study.fits(size, list(study.ARMS), range(size.seeds), size.counts)]


@pytest.mark.parametrize("name", list(study.SIZES))
def test_every_command_of_the_study_is_one_of_orthodx(name):
    size = study.SIZES[name]
    every = steps(size)
    assert len({step.name for step in every}) == len(every) > 4 * 6 * size.seeds
    assert size.labelled == tables.LABELLED
    assert tables.CURVES.keys() == study.ARMS.keys()
    group = typer.main.get_command(app)
    for step in every:
        for line in step.commands:
            command, words = group, line.split()
            while hasattr(command, "commands"):
                command = command.commands[words.pop(0)]
            command.make_context(command.name, words)  # raises what a person would be told


def test_a_step_is_done_once_and_a_failed_one_again(tmp_path, monkeypatch):
    said = []

    def run(words, cwd, check):
        said.append(words[-1])
        if words[-1] == "bad":
            raise RuntimeError("failed")

    monkeypatch.setattr(study.subprocess, "run", run)
    for _ in range(2):
        study.Step("one", ("a", "b")).do(tmp_path, wait=False)
        with pytest.raises(RuntimeError):
            study.Step("two", ("bad",)).do(tmp_path, wait=False)
    assert said == ["a", "b", "bad", "bad"]


def made(better):
    """Twelve patients, two seeds of two numbers; `tuned` is better by `better`."""
    rng, rows = np.random.default_rng(1), []
    patients = rng.uniform(0.4, 0.6, 12)
    for arm, gain in (("tuned", better), ("scratch", 0.0), ("dynunet", -0.1)):
        for count in (4, 64):
            for seed in (0, 1):
                for i, level in enumerate(patients):
                    dice = {name: level + gain + rng.normal(0, 0.01) for name in KNEE.names.values()}
                    who = {"center": ("Harbour", "Uplands")[i % 2], "field_strength": 1.5, "patient_id": f"p{i}"}
                    ids = {"arm": arm, "labelled": count, "seed": seed, **who, "series_id": f"p{i}-sagittal"}
                    rows.append({**ids, **dice})
    return pd.DataFrame(rows)


@pytest.mark.parametrize("better", [0.1, 0.0])
def test_arms_are_compared_patient_by_patient(better):
    table = made(better)
    told = list(tables.lines(tables.estimates(table), "all structures", table, tables.AT_ONE_TIME))
    assert len(told) == 4
    for line, count in zip(told[2:], (4, 64), strict=True):
        _, who, tuned, frozen, dynunet, scratch, gap, p, _ = line.split("|")
        assert who.strip() == f"{count} (2, 0, 2, 2)"
        assert not frozen.strip()
        means = [table[(table.arm == a) & (table.labelled == count)][list(KNEE.names.values())].mean(axis=None)
                 for a in ("tuned", "scratch", "dynunet")]  # fmt: skip
        assert [float(c.split()[0]) for c in (tuned, scratch, dynunet)] == pytest.approx(means, abs=6e-4)
        low, high = (float(word.strip("()")) for word in gap.split()[1::2])
        assert low < better < high
        assert (float(p) < 0.01) == (better > 0)


def test_the_page_says_what_the_table_says():
    table = pd.read_csv(DICE)
    rows = tables.estimates(table)
    unseen = tables.estimates(table[table["center"].isin(tables.UNSEEN)])
    page = PAGE.read_text(encoding="utf-8")
    for found in (rows, unseen):
        for arms in (tables.AT_ONE_TIME, tables.LONGER):
            told = list(tables.lines(found, "all structures", table, arms))
            assert len(told) > 2
            assert all(line in page for line in told)
