"""The shipped models of ankle and shoulder read their joints, chosen by what the manifest says."""

import json
from functools import partial
from importlib import import_module

import numpy as np
import pytest

from orthodx.evaluation.overlap import dice_by_structure
from orthodx.inference.diagnose import diagnose
from orthodx.inference.segment import segment
from orthodx.joints import open_joint
from orthodx.studies.nifti import read_volume

WELL_FOUND = {"ankle": ("tibia", "talus", "calcaneus"), "shoulder": ("humerus",)}


@pytest.fixture(scope="module", params=sorted(WELL_FOUND))
def joint(request):
    return request.param


@pytest.fixture(scope="module")
def studies(joint, tmp_path_factory):
    from orthodx.synth.study_writer import write_cohort

    made = getattr(import_module(f"orthodx.synth.{joint}.procedural"), f"random_{joint}")
    out = tmp_path_factory.mktemp(joint)
    write_cohort(out, joint=joint, studies=1, seed=3, centers=("Riverside",), lesions=True,
                 anatomy=partial(made, spacing_mm=1.2))  # fmt: skip
    return out


def test_bones_are_found_without_naming_the_model(joint, studies, tmp_path):
    cases = segment([studies], tmp_path, device="cpu", preview=False)
    assert [case.status == "failed" for case in cases] == [False] * 3
    assert json.loads((tmp_path / "run.json").read_text())["model"]["name"] == f"{joint}-small"
    names = open_joint(joint).names
    for case in cases:
        found, truth = (
            read_volume(folder / f"{case.series_id}.nii.gz").data for folder in (tmp_path, studies / "truth")
        )
        dice = dice_by_structure(found, truth, names)
        assert np.mean([dice[value] for value, name in names.items() if name in WELL_FOUND[joint]]) > 0.85


def test_a_joint_gets_its_own_answers(joint, studies, tmp_path):
    told = []
    (case,) = diagnose([studies], tmp_path / "p.csv", ehr=studies / "ehr.csv", device="cpu", note=told.append)
    assert list(case.probabilities) == [one.code for one in open_joint(joint).abnormalities]
    assert all(0 <= value <= 1 for value in case.probabilities.values())
    assert f"{joint}-small was trained on synthetic lesions only: it says nothing about a patient" in told
