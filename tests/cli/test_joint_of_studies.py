"""Which model reads studies of another joint: the one asked for, or the shipped one of their joint."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from orthodx.bundles.bundle import Part, save_bundle
from orthodx.cli.app import app
from orthodx.inference.model_choice import other_joint
from orthodx.joints import ANKLE
from orthodx.networks.heads.skip_segment import SkipSegmentConfig, SkipSegmentHead
from orthodx.studies.tables import read_table, write_table

WRIST = Path(__file__).parents[2] / "examples/joints/wrist.toml"
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def shipped(bundle, diagnosis, tmp_path, monkeypatch):
    """`knee-small` and `ankle-small`, that segment and diagnose, instead of those in the box."""
    torch.manual_seed(0)
    head = SkipSegmentConfig(block_channels=8, classes=len(ANKLE.values))
    encoders = {f"own_{part.file}": load_file(bundle.path / part.file) for part in bundle.info.encoders.values()}
    own = {view: Part(part.name, part.config, f"own_{part.file}") for view, part in bundle.info.encoders.items()}
    told = {file: load_file(diagnosis.path / file) for file in diagnosis.info.sha256}
    for joint in (diagnosis.info.joint, ANKLE):
        info = replace(
            diagnosis.info,
            name=f"{joint.name}-small",
            joint=joint,
            encoders=own,
            heads={"segment": Part("skip_segment", replace(head, classes=len(joint.values)), "segment.safetensors")},
        )
        masks = SkipSegmentHead(replace(head, classes=len(joint.values))).state_dict()
        save_bundle(tmp_path / f"shipped/{joint.name}-small", info, {**told, **encoders, "segment.safetensors": masks})
    monkeypatch.setattr("orthodx.bundles.bundle.SHIPPED", tmp_path / "shipped")


@pytest.fixture
def cohort(wrists, tmp_path):
    """Three studies; a test says what their manifest calls their joint."""

    def write(*joints):
        (tmp_path / "cohort").mkdir()
        rows = []
        for i, joint in enumerate(joints):
            (tmp_path / f"cohort/w{i}.nii.gz").write_bytes((wrists / f"w{i:02d}/w{i:02d}.nii.gz").read_bytes())
            rows.append({"patient_id": i, "study_id": f"w{i}", "series_id": f"w{i}", "path": f"w{i}.nii.gz"})
            rows[-1]["joint"] = joint
        write_table(tmp_path / "cohort/manifest.csv", rows, rows[0])
        return tmp_path / "cohort"

    return write


def read_by(cohort, tmp_path, *words):
    """The model that segmented, then the one that diagnosed; both commands' warnings by study; what was said."""
    masks, table = tmp_path / "masks", tmp_path / "p.csv"
    segment = ("segment", cohort, "--out", masks, "--no-preview")
    diagnose = ("diagnose", cohort, "--out", table)
    said = ""
    for line in (segment, diagnose):
        done = CliRunner().invoke(app, [*map(str, (*line, *words, "--device", "cpu"))])
        if done.exit_code:
            return done
        said += done.output
    facts = [
        pd.read_json(path, typ="series")["model"]["name"] for path in (masks / "run.json", tmp_path / "p.run.json")
    ]
    reasons = [
        dict(zip(status.study_id, status.reason, strict=True))
        for status in (read_table(path) for path in (masks / "status.csv", tmp_path / "p.status.csv"))
    ]
    assert len(set(facts)) == 1
    return facts[0], reasons, said


def test_the_manifest_chooses_the_shipped_model(shipped, cohort, tmp_path):
    model, reasons, said = read_by(cohort("ankle", "Ankle ", ""), tmp_path)
    assert model == "ankle-small"
    assert not any("shows the" in reason for told in reasons for reason in told.values())
    assert said.count("the studies show the ankle: read with ankle-small") == 2


def test_a_study_of_another_joint_is_read_and_warned_about(shipped, cohort, tmp_path):
    model, reasons, _ = read_by(cohort("ankle", "elbow", ""), tmp_path)
    assert model == "ankle-small"
    for told in reasons:
        assert "shows the elbow, and ankle-small reads the ankle" in told["w1"]
        assert "shows the" not in told["w0"] + told["w2"]


@pytest.mark.parametrize(("own", "warned"), [("my-knee", False), ("Knee OA 2026", False), ("wrist", True)])
def test_a_joint_of_ones_own_says_in_its_name_what_it_reads(bundle, own, warned):
    info = replace(bundle.info, joint=replace(bundle.info.joint, name=own))
    series = SimpleNamespace(row={"joint": "Knee"})
    assert bool(other_joint([series], replace(bundle, info=info))) is warned


def test_the_joint_that_is_said_comes_first(shipped, cohort, tmp_path):
    model, reasons, _ = read_by(cohort("ankle", "ankle"), tmp_path, "--joint", "knee")
    assert model == "knee-small"
    assert all(
        "shows the ankle, and knee-small reads the knee" in reason for told in reasons for reason in told.values()
    )


def test_studies_that_say_nothing_are_knees(shipped, cohort, tmp_path):
    assert read_by(cohort("", ""), tmp_path)[0] == "knee-small"


@pytest.mark.parametrize(
    ("joints", "words", "said"),
    [
        (("ankle", "knee"), (), "the studies show ankle and knee -> give one joint's"),
        (("ankle",), ("--joint", WRIST), "no model of the wrist is shipped -> give --model"),
        (("ankle",), ("--joint", "hip"), "no joint is called 'hip'"),
        (
            ("ankle",),
            ("--joint", "ankle", "--model", "knee-small"),
            "knee-small is a model of the knee, not of the ankle",
        ),
    ],
)
def test_what_does_not_go_together_is_refused_in_one_line(shipped, cohort, joints, words, said, tmp_path):
    done = read_by(cohort(*joints), tmp_path, *words)
    assert (done.exit_code, len(done.stderr.splitlines())) == (2, 1), done.output
    assert said in done.stderr
