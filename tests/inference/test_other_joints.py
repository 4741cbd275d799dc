"""The shipped model of the ankle reads an ankle, chosen by what the manifest says."""

import json
from functools import partial

import numpy as np
import pytest

from orthodx.evaluation.overlap import dice_by_structure
from orthodx.inference.diagnose import diagnose
from orthodx.inference.segment import segment
from orthodx.joints import open_joint
from orthodx.studies.nifti import read_volume

BONES = ("tibia", "talus", "calcaneus")


@pytest.fixture(scope="module")
def ankles(tmp_path_factory):
    from orthodx.synth.ankle.procedural import random_ankle
    from orthodx.synth.study_writer import write_cohort

    out = tmp_path_factory.mktemp("ankles")
    write_cohort(out, joint="ankle", studies=1, seed=3, centers=("Riverside",), lesions=True,
                 anatomy=partial(random_ankle, spacing_mm=1.2))  # fmt: skip
    return out


def test_the_bones_of_an_ankle_are_found_without_naming_the_model(ankles, tmp_path):
    cases = segment([ankles], tmp_path, device="cpu", preview=False)
    assert [case.status == "failed" for case in cases] == [False] * 3
    assert json.loads((tmp_path / "run.json").read_text())["model"]["name"] == "ankle-small"
    names = open_joint("ankle").names
    for case in cases:
        found, truth = (
            read_volume(folder / f"{case.series_id}.nii.gz").data for folder in (tmp_path, ankles / "truth")
        )
        dice = dice_by_structure(found, truth, names)
        assert np.mean([dice[value] for value, name in names.items() if name in BONES]) > 0.85


def test_an_ankle_gets_its_own_four_answers(ankles, tmp_path):
    told = []
    (case,) = diagnose([ankles], tmp_path / "p.csv", ehr=ankles / "ehr.csv", device="cpu", note=told.append)
    assert list(case.probabilities) == ["ATFL", "CFL", "ATR", "OLT"]
    assert all(0 <= value <= 1 for value in case.probabilities.values())
    assert "ankle-small was trained on synthetic lesions only: it says nothing about a patient" in told
