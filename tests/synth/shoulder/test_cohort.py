"""The command makes cohorts and banks of shoulders, in the planes that radiologists use."""

import json
from collections import Counter
from dataclasses import replace
from functools import partial

import nibabel as nib
import numpy as np
import pytest
from typer.testing import CliRunner

from orthodx.cli.app import app
from orthodx.grid.spec import GridSpec
from orthodx.joints import SHOULDER, View
from orthodx.studies.discover import find_series
from orthodx.studies.manifest import read_manifest
from orthodx.studies.tables import read_table
from orthodx.studies.view import view_of
from orthodx.synth import grammar
from orthodx.synth.anatomy_bank import AnatomyBank
from orthodx.synth.deformation import random_deformation
from orthodx.synth.lesions import from_records
from orthodx.synth.shoulder import SYNTHETIC
from orthodx.synth.shoulder.injuries import PAINTERS
from orthodx.synth.shoulder.lesions import VALUES
from orthodx.synth.shoulder.procedural import build_shoulder, random_shoulder
from orthodx.synth.source import SyntheticSource
from orthodx.synth.study_writer import write_cohort

MM = 1.6
COARSE = partial(random_shoulder, spacing_mm=MM)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A cohort of three injured shoulders and a bank of two, by the command, from coarse anatomies."""
    out = tmp_path_factory.mktemp("shoulders")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(grammar.REGISTERED, "shoulder", replace(SYNTHETIC, random_anatomy=COARSE))
        asked = ["--joint", "shoulder", "--lesions", "--prevalence", "1", "--seed", "6", "--quiet"]
        for more in (
            [str(out / "cohort"), "--studies", "3", "--center", "Outpost", "--format", "nifti,dicom"],
            [str(out / "bank"), "--studies", "2", "--bank"],
        ):
            done = CliRunner().invoke(app, ["synth", *more, *asked])
            assert done.exit_code == 0, done.output
    return out


def test_the_manifest_says_shoulder_and_three_views(made):
    rows, _ = read_manifest(made / "cohort/manifest.csv")
    assert {row["joint"] for row in rows} == {"shoulder"}
    assert [row["view"] for row in rows] == [str(view) for view in View] * 3
    assert {row["body_part"] for row in rows if "body_part" in row} <= {"SHOULDER"}


def test_oblique_series_are_found_as_the_view_they_are_read_as(made):
    for root in ("cohort", "cohort/dicom"):
        found = find_series([made / root] if root.endswith("dicom") else [made / "cohort/manifest.csv"])
        assert not found.refused
        assert len(found.series) == 9
        assert Counter(series.view for series in found.series) == dict.fromkeys(View, 3)
    rows, _ = read_manifest(made / "cohort/manifest.csv")
    for row in rows:
        image = nib.load(made / "cohort" / row["path"])
        view, angle = view_of(image.affine, image.shape)
        assert str(view) == row["view"]
        assert row["oblique"] == str(int(angle > 36.9))
        if row["view"] == "axial":
            assert angle < 18
        else:
            assert 12 < angle < 45
            normal = image.affine[:3, 2] / np.linalg.norm(image.affine[:3, 2])
            along = normal if row["view"] == "sagittal" else np.array([normal[1], -normal[0], 0])
            # the supraspinatus runs from behind the body forward to the outside
            forward = along[1] / along[0] * (1 if row["laterality"] == "right" else -1)
            assert forward > 0


def test_labels_masks_and_records_belong_together(made):
    out = made / "cohort"
    assert json.loads((out / "lesions/values.json").read_text()) == VALUES
    labels = read_table(out / "labels.csv").set_index("study_id")
    assert list(labels.columns) == list(SHOULDER.codes)
    rows, _ = read_manifest(out / "manifest.csv")
    for row in rows:
        name = f"{row['series_id']}.nii.gz"
        image, truth, mask = (nib.load(out / path) for path in (row["path"], f"truth/{name}", f"lesions/{name}"))
        assert image.shape == truth.shape == mask.shape
        assert {1, 2} <= set(np.unique(np.asarray(truth.dataobj)))
    for path in out.glob("shoulder-*/study.json"):
        record = json.loads(path.read_text())
        shoulder = build_shoulder(record["anatomy"], MM, record["side"])
        _, mask = SYNTHETIC.paint(shoulder, from_records(record["lesions"], PAINTERS))
        found = SYNTHETIC.labels_of(mask, MM)
        assert found == {code: record["labels"][code] for code in SHOULDER.codes}
        assert {c: str(v) for c, v in found.items()} == labels.loc[path.parent.name].to_dict()


def test_the_same_seed_gives_the_same_files(made, tmp_path):
    write_cohort(
        tmp_path,
        joint="shoulder",
        studies=1,
        seed=6,
        centers=("Outpost",),
        anatomy=COARSE,
        lesions=True,
        prevalence=1.0,
    )
    name = "shoulder-0006-0000"
    for path in tmp_path.glob(f"{name}/*.nii.gz"):
        one, two = (np.asarray(nib.load(p).dataobj) for p in (path, made / "cohort" / name / path.name))
        np.testing.assert_array_equal(one, two)


def test_a_bank_gives_training_samples_with_structures_and_lesions(made):
    bank = AnatomyBank(made / "bank")
    assert bank.joint == "shoulder"
    assert bank.injured
    source = SyntheticSource(bank, GridSpec(), crop=(4, 64, 64), seed=2, truth="both")
    seen = set()
    for i in range(6):
        for view in View:
            image, truth = source[i, view]
            assert image.shape == (1, 4, 64, 64)
            seen |= set(truth[0].unique().tolist())
    assert {1, 2, 4} <= seen


def test_training_planes_follow_the_scapula_of_either_side(made):
    """A plane turned the same way on a mirrored joint would cut across its supraspinatus."""
    bank = AnatomyBank(made / "bank")
    source = SyntheticSource(bank, GridSpec(), crop=(4, 64, 64), seed=2)
    tissues, _ = bank[0]
    side = SYNTHETIC.side_of(tissues)
    for mirror in (False, True):
        shape = random_deformation(np.random.default_rng(1), mirror=mirror)
        right = (side == "right") != mirror
        assert source._turn(View.CORONAL, tissues, shape) == (30.0 if right else -30.0)
        assert source._turn(View.AXIAL, tissues, shape) == 0.0
