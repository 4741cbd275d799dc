"""Runs over their share of the labels: seeds averaged, pretrained against the others, on the same cases."""

import json

import numpy as np
import pandas as pd
import pytest

import orthodx
from orthodx.evaluation.estimates import Linear
from orthodx.evaluation.label_efficiency import Measured
from orthodx.evaluation.rows import MACRO, find
from orthodx.studies.tables import write_table

from .conftest import cube, write_map

STUDIES = [f"s{i:02d}" for i in range(40)]


def write_run(folder, quality, seed, *, share, scratch, encoder="ortho", studies=STUDIES, **more):
    """Predictions of two labels that are as good as `quality` says, with their record."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng([seed, round(100 * share), scratch, len(encoder)])
    rows = []
    for study in studies:
        there = int(study[1:]) % 2
        chances = {name: 1 / (1 + np.exp(-rng.normal(quality * (there - 0.5), 1))) for name in ("ACL", "MM")}
        rows.append({"patient_id": study, "study_id": study, **chances})
    write_table(folder / "predictions.csv", rows, rows[0])
    facts = {"label_fraction": share, "from_scratch": bool(scratch), "encoder": encoder, **more}
    (folder / "run.json").write_text(json.dumps({"model": facts}))
    return folder


@pytest.fixture
def labels(tmp_path):
    rows = [{"study_id": s, "ACL": int(s[1:]) % 2, "MM": int(s[1:]) % 2} for s in STUDIES]
    write_table(tmp_path / "labels.csv", rows, rows[0])
    return tmp_path / "labels.csv"


def evaluated(labels, runs, tmp_path):
    first, *others = runs
    return orthodx.evaluate(tmp_path / "out", predictions=first / "predictions.csv", labels=labels, compare=others,
                            resamples=100, workers=0).rows  # fmt: skip


def test_encoders_that_were_left_alone_have_a_curve_of_their_own(labels, tmp_path):
    ways = {"tuned": {"scratch": 0}, "left": {"scratch": 0, "frozen": True}, "scratch": {"scratch": 1, "frozen": False}}
    runs = [write_run(tmp_path / name, 2, seed, share=0.5, **way) for seed, (name, way) in enumerate(ways.items())]
    runs += [write_run(tmp_path / "all", 2, 9, share=1.0, scratch=0)]
    rows = evaluated(labels, runs, tmp_path)
    points = find(rows, grouping="label_fraction", target=MACRO, against="")
    curves = {"pretrained", "pretrained, frozen", "from scratch"}
    assert {r.note for r in points} == curves
    gaps = find(rows, grouping="label_fraction", target=MACRO, against="from scratch")
    assert {r.note for r in gaps} == curves - {"from scratch"}


def test_seeds_of_one_start_and_share_are_one_point_and_pretrained_is_tested_at_the_same_share(labels, tmp_path):
    runs = [
        write_run(tmp_path / f"{scratch}-{share}-{seed}", 3.0 - 2.5 * scratch, seed, share=share, scratch=scratch)
        for scratch in (0, 1) for share in (1.0, 0.1) for seed in range(3)
    ]  # fmt: skip
    rows = evaluated(labels, runs, tmp_path)
    points = find(rows, grouping="label_fraction", target=MACRO, against="")
    assert {(r.note, r.group) for r in points} == {(s, g) for s in ("pretrained", "from scratch") for g in ("0.1", "1")}
    alone = [evaluated(labels, [run], tmp_path / run.name) for run in runs[:3]]
    one = next(r for r in points if (r.note, r.group) == ("pretrained", "1"))
    assert one.value == pytest.approx(np.mean([find(own, target=MACRO, metric="auroc")[0].value for own in alone]))
    gaps = find(rows, grouping="label_fraction", target=MACRO, against="from scratch")
    assert [(r.note, r.group) for r in gaps] == [("pretrained", "0.1"), ("pretrained", "1")]
    for gap in gaps:
        ours, theirs = (find(points, note=note, group=gap.group)[0].value for note in ("pretrained", "from scratch"))
        assert gap.value == pytest.approx(ours - theirs)
        assert gap.low > 0
        assert gap.p <= gap.p_holm < 0.05
    table = pd.read_csv(tmp_path / "out/metrics.csv")
    assert len(table[(table.grouping == "label_fraction") & (table.target == MACRO)]) == len(points) + len(gaps)
    assert "pretrained − from scratch" in (tmp_path / "out/report.html").read_text(encoding="utf-8")


def test_another_kind_of_encoder_is_another_curve(labels, tmp_path):
    runs = [
        write_run(tmp_path / "a", 2, 0, share=1.0, scratch=0),
        write_run(tmp_path / "b", 2, 1, share=0.1, scratch=0),
        write_run(tmp_path / "c", 1, 2, share=1.0, scratch=1, encoder="resnet18"),
    ]
    rows = find(evaluated(labels, runs, tmp_path), grouping="label_fraction", target=MACRO)
    assert {r.note for r in rows} == {"pretrained, ortho", "from scratch, resnet18"}
    assert [(r.group, r.against) for r in rows if r.against] == [("1", "from scratch, resnet18")]


def test_runs_are_compared_on_the_studies_that_all_predict(labels, tmp_path):
    runs = [
        write_run(tmp_path / "a", 2, 0, share=1.0, scratch=0),
        write_run(tmp_path / "b", 2, 1, share=0.1, scratch=0, studies=STUDIES[:30]),
    ]
    rows = find(evaluated(labels, runs, tmp_path), grouping="label_fraction", target=MACRO)
    assert {r.n for r in rows} == {30}


def test_masks_have_the_same_curve(tmp_path):
    for i in range(6):
        write_map(tmp_path / f"truth/s{i}.nii.gz", cube())
        for name, shift in (("a", 0), ("b", i % 2), ("c", 3)):
            write_map(tmp_path / f"{name}/masks/s{i}.nii.gz", cube(shift))
    for name, share, scratch in (("a", 1.0, False), ("b", 0.25, False), ("c", 1.0, True)):
        facts = {"model": {"label_fraction": share, "from_scratch": scratch}}
        (tmp_path / name / "masks/run.json").write_text(json.dumps(facts))
    rows = orthodx.evaluate(tmp_path / "out", masks=tmp_path / "a/masks", truth=tmp_path / "truth", workers=0,
                            resamples=100, compare=[tmp_path / "b", tmp_path / "c"]).rows  # fmt: skip
    dice = {(r.note, r.group, r.against): r.value for r in rows if r.grouping and r.target == "all structures"}
    assert dice["pretrained", "1", ""] == 1 > dice["pretrained", "0.25", ""] > dice["from scratch", "1", ""]
    assert dice["pretrained", "1", "from scratch"] == pytest.approx(1 - dice["from scratch", "1", ""])


def test_how_seeds_scatter_adds_to_the_error_of_their_mean():
    parts = np.array([0.03, -0.03, 0.0])
    alike = Measured((Linear(0.7, parts, 3), Linear(0.7, parts, 3)), {}).mean()
    apart = Measured((Linear(0.6, parts, 3), Linear(0.8, parts, 3)), {}).mean()
    assert alike.error == pytest.approx(np.hypot(0.03, 0.03))
    assert apart.error == pytest.approx(np.sqrt(0.03**2 * 2 + 0.2**2 / 4))  # sd of 0.6 and 0.8, over the root of two
    same = Measured((Linear(0.7, parts, 3),), {})
    assert same.minus(same).error == 0
