"""The command makes cohorts and banks of ankles."""

import json
from dataclasses import replace
from functools import partial

import nibabel as nib
import numpy as np
import pytest
from typer.testing import CliRunner

from orthodx.cli.app import app
from orthodx.grid.spec import GridSpec
from orthodx.joints import ANKLE, View
from orthodx.studies.discover import find_series
from orthodx.studies.manifest import read_manifest
from orthodx.studies.tables import read_table
from orthodx.studies.view import view_of
from orthodx.synth import grammar
from orthodx.synth.anatomy_bank import AnatomyBank
from orthodx.synth.ankle import SYNTHETIC
from orthodx.synth.ankle.injuries import PAINTERS
from orthodx.synth.ankle.lesions import VALUES
from orthodx.synth.ankle.procedural import build_ankle, random_ankle
from orthodx.synth.lesions import from_records
from orthodx.synth.source import SyntheticSource
from orthodx.synth.study_writer import write_cohort

MM = 1.6
COARSE = partial(random_ankle, spacing_mm=MM)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A cohort of two injured ankles and a bank of two, by the command, from coarse anatomies."""
    out = tmp_path_factory.mktemp("ankles")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(grammar.REGISTERED, "ankle", replace(SYNTHETIC, random_anatomy=COARSE))
        asked = ["--joint", "ankle", "--lesions", "--prevalence", "1", "--seed", "4", "--studies", "2", "--quiet"]
        for more in (
            [str(out / "cohort"), "--center", "Outpost", "--format", "nifti,dicom"],
            [str(out / "bank"), "--bank"],
        ):
            done = CliRunner().invoke(app, ["synth", *more, *asked])
            assert done.exit_code == 0, done.output
    return out


def test_the_manifest_says_ankle_and_three_views(made):
    rows, _ = read_manifest(made / "cohort/manifest.csv")
    assert {row["joint"] for row in rows} == {"ankle"}
    assert [row["view"] for row in rows] == [str(view) for view in View] * 2
    for row in rows:
        image = nib.load(made / "cohort" / row["path"])
        assert str(view_of(image.affine, image.shape)[0]) == row["view"]
        field_mm = image.shape[0] * image.header.get_zooms()[0]
        assert 140 < field_mm < 160


def test_planes_follow_the_mortise(made):
    rows, _ = read_manifest(made / "cohort/manifest.csv")
    for row in rows:
        affine = nib.load(made / "cohort" / row["path"]).affine
        normal = affine[:3, 2] / np.linalg.norm(affine[:3, 2])
        across = {"sagittal": normal, "coronal": np.array([normal[1], -normal[0], 0]), "axial": None}[row["view"]]
        if across is not None:  # outwards is backwards, by 12 degrees and everyday obliquity
            outward = 1 if row["laterality"] == "right" else -1
            assert -28 < np.rad2deg(np.arctan(across[1] / across[0] * outward)) < 4


def test_its_dicom_is_found_as_three_views_a_study(made):
    found = find_series([made / "cohort/dicom"])
    assert not found.refused
    assert sorted(str(series.view) for series in found.series) == sorted(2 * [str(view) for view in View])


def test_labels_masks_and_records_belong_together(made):
    out = made / "cohort"
    assert json.loads((out / "lesions/values.json").read_text()) == VALUES
    labels = read_table(out / "labels.csv").set_index("study_id")
    assert list(labels.columns) == list(ANKLE.codes)
    rows, _ = read_manifest(out / "manifest.csv")
    for row in rows:
        name = f"{row['series_id']}.nii.gz"
        image, truth, mask = (nib.load(out / path) for path in (row["path"], f"truth/{name}", f"lesions/{name}"))
        assert image.shape == truth.shape == mask.shape
        assert {1, 2, 3, 4, 5} <= set(np.unique(np.asarray(truth.dataobj)))
    for path in out.glob("ankle-*/study.json"):
        record = json.loads(path.read_text())
        ankle = build_ankle(record["anatomy"], MM, record["side"])
        _, mask = SYNTHETIC.paint(ankle, from_records(record["lesions"], PAINTERS))
        found = SYNTHETIC.labels_of(mask, MM)
        assert found == {code: record["labels"][code] for code in ANKLE.codes}
        assert {code: str(value) for code, value in found.items()} == labels.loc[path.parent.name].to_dict()


def test_the_same_seed_gives_the_same_files(made, tmp_path):
    write_cohort(
        tmp_path, joint="ankle", studies=1, seed=4, centers=("Outpost",), anatomy=COARSE, lesions=True, prevalence=1.0
    )  # fmt: skip
    for path in sorted(tmp_path.rglob("ankle-0004-0000*.nii.gz")):
        again = np.asarray(nib.load(made / "cohort" / path.relative_to(tmp_path)).dataobj)
        np.testing.assert_array_equal(np.asarray(nib.load(path).dataobj), again)


def test_a_bank_is_trained_from(made):
    bank = AnatomyBank(made / "bank")
    assert (bank.joint, len(bank), bank.injured) == ("ankle", 2, True)
    source = SyntheticSource(bank, GridSpec(), (4, 64, 64), seed=3, truth="both")
    seen = set()
    for i in range(4):
        for view in View:
            image, truth = source[i, view]
            assert image.shape == (1, 4, 64, 64)
            assert float(image.abs().max()) <= 1
            seen |= {int(value) for value in truth[0].unique()}
    assert {1, 2, 3, 4, 5, 6} <= seen
