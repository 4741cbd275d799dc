"""`orthodx segment --fuse-views`: what is written, what goes on, what is done again."""

import csv
import shutil

import nibabel as nib
import numpy as np
import pytest
from typer.testing import CliRunner

from orthodx.cli.app import app
from orthodx.evaluation.overlap import dice_by_structure
from orthodx.joints import KNEE
from orthodx.studies.nifti import read_volume

pytestmark = pytest.mark.usefixtures("one_thread")


def segment(*words, code=0):
    line = ["segment", *words, "--model", "knee-small", "--device", "cpu", "--no-preview"]
    done = CliRunner().invoke(app, list(map(str, line)))
    assert done.exit_code == code, done.output
    return done


def status(folder):
    with (folder / "status.csv").open(newline="") as file:
        return {row["series_id"]: row for row in csv.DictReader(file)}


def test_series_of_a_study_help_each_other(cohort, tmp_path):
    study, alone, together = tmp_path / "study", tmp_path / "alone", tmp_path / "together"
    shutil.copytree(cohort, study)
    segment(study, "--out", alone)
    segment(study, "--out", together, "--fuse-views")
    assert {row["fused"] for row in status(alone).values()} == {""}
    assert {row["fused"] for row in status(together).values()} == {"2"}
    scores = {alone: [], together: []}
    for name in status(alone):
        truth = read_volume(study / "truth" / f"{name}.nii.gz")
        for folder, found in scores.items():
            mask = nib.load(folder / f"{name}.nii.gz")
            assert mask.shape == truth.shape
            np.testing.assert_allclose(mask.affine, truth.affine)
            found.extend(dice_by_structure(np.asarray(mask.dataobj), truth.data, KNEE.names).values())
    assert np.nanmean(scores[together]) > np.nanmean(scores[alone])

    masks = [together / f"{name}.nii.gz" for name in status(together)]
    written = [path.stat().st_ino for path in masks]
    assert "other options" in segment(study, "--out", together, "--resume", code=2).stderr
    segment(study, "--out", together, "--fuse-views", "--resume")
    assert [path.stat().st_ino for path in masks] == written
    image = next(study.glob("*/*-axial.nii.gz"))
    nii = nib.load(image)
    nib.save(nib.Nifti1Image(np.asarray(nii.dataobj)[::-1].copy(), nii.affine, nii.header), image)  # another knee
    segment(study, "--out", together, "--fuse-views", "--resume")
    assert not {path.stat().st_ino for path in masks} & set(written)  # all three: each was made with it
