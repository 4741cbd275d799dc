"""A study that shows a left and a right joint: neither lends to the other, and no answer stands for both."""

import csv
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from orthodx.errors import NoInputError
from orthodx.inference.diagnose import diagnose
from orthodx.inference.fuse_views import beside
from orthodx.joints import View
from orthodx.studies.series import Series
from orthodx.studies.study import Study


def series(name, laterality):
    row = {} if laterality is None else {"laterality": laterality}
    return Series("P", "S", name, Path(f"{name}.nii.gz"), View.AXIAL, False, load=lambda: None, row=row)


@pytest.mark.parametrize(
    ("sides", "helpers"),
    [
        (("left", "right", "L", "Right", "unknown"), {"a": "c", "b": "d", "e": ""}),  # of unknown side: nobody's
        (("left", "left", None, "", "unknown"), {"a": "bcde", "c": "abde"}),  # one side only
        ((None, None), {"a": "b"}),
    ],
)
def test_series_of_the_same_side_help_each_other(sides, helpers):
    study = Study("S", tuple(series(name, side) for name, side in zip("abcde", sides, strict=False)))
    for one in study.series:
        if one.series_id in helpers:
            assert [other.series_id for other in beside(one, [study])] == list(helpers[one.series_id])


def test_a_study_of_both_sides_has_no_answer_and_is_told_how_to_get_two(images, diagnosis, tmp_path):
    for name in ("sagittal", "axial"):
        shutil.copy(images[name], tmp_path / f"{name}.nii.gz")
    lines = ["Patient ID,Study ID,Series ID,Path,Laterality", "P,S,a,sagittal.nii.gz,R", "P,S,b,axial.nii.gz,left"]
    manifest = tmp_path / "manifest.csv"
    manifest.write_text("\n".join(lines))
    with pytest.raises(NoInputError):
        diagnose(manifest, tmp_path / "a.csv", model=diagnosis.path, device="cpu")
    with (tmp_path / "a.status.csv").open() as file:
        (told,) = csv.DictReader(file)
    assert told["status"] == "failed"
    assert "study 'S' has series of a left and of a right joint" in told["reason"]
    assert "a study_id of its own" in told["reason"]
    manifest.write_text("\n".join(lines).replace(",R", ",").replace(",left", ","))
    image = nib.load(images["axial"])
    for x, said in ((0, "ok"), (200, "warned")):
        far = image.affine.copy()
        far[0, 3] += x
        nib.save(nib.Nifti1Image(np.asarray(image.dataobj), far), tmp_path / "axial.nii.gz")
        (case,) = diagnose(manifest, tmp_path / f"{said}.csv", model=diagnosis.path, device="cpu")
        assert (case.status, "its series lie apart" in case.reason) == (said, x > 0)
    manifest.write_text("\n".join(lines).replace("P,S,b", "P,T,b"))
    cases = diagnose(manifest, tmp_path / "b.csv", model=diagnosis.path, device="cpu")
    assert [(one.study_id, one.status) for one in cases] == [("S", "ok"), ("T", "ok")]
