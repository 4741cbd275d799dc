"""A cohort is what a center would send: three series of one knee, with truth on each grid."""

import json
from functools import partial

import nibabel as nib
import numpy as np
import pytest

from orthodx.errors import UsageError
from orthodx.studies.discover import find_series
from orthodx.studies.manifest import COLUMNS, read_manifest
from orthodx.studies.nifti import read_volume
from orthodx.studies.volume import turned_like
from orthodx.synth.knee.procedural import random_knee
from orthodx.synth.study_writer import write_cohort


def load(path):
    image = nib.load(path)
    return np.asarray(image.dataobj), image.affine


def test_the_three_series_show_one_knee_in_one_world(cohort):
    centres = []
    for row in read_manifest(cohort / "manifest.csv")[0]:
        assert set(row) == set(COLUMNS)
        image, affine = load(cohort / row["path"])
        truth, truth_affine = load(cohort / "truth" / f"{row['series_id']}.nii.gz")
        assert image.shape == truth.shape
        np.testing.assert_array_equal(affine, truth_affine)
        index = np.argwhere(truth == 8).mean(0)  # the medial meniscus is wholly inside every field of view
        centres.append(affine[:3, :3] @ index + affine[:3, 3])
    assert len(centres) == 3
    assert np.ptp(np.array(centres), axis=0).max() < 3.0


def test_the_manifest_is_found_and_views_agree_with_the_images(cohort):
    found = find_series([cohort])
    assert not found.refused
    assert sorted(str(s.view) for s in found.series) == ["axial", "coronal", "sagittal"]
    for s in found.series:
        assert str(s.view) == s.row["view"]
        s.load()


def test_a_record_is_kept_and_cohorts_are_not_overwritten(cohort):
    (record,) = cohort.glob("*/study.json")
    kept = json.loads(record.read_text())
    assert kept["side"] in ("left", "right")
    assert kept["anatomy"]["femoral_cartilage"] > 1
    with pytest.raises(UsageError, match="already holds"):
        write_cohort(cohort)


def never(rng):
    raise AssertionError("drawn anew")


def test_a_cohort_keeps_its_settings_and_whole_studies(tmp_path, knee):
    same = dict(seed=5, centers=("Outpost",), anatomy=lambda rng: knee)
    write_cohort(tmp_path, studies=2, **same)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and ".done" not in path.parts}
    write_cohort(tmp_path, studies=1, resume=True, **{**same, "anatomy": never})  # fewer lose nothing
    assert {path: path.read_bytes() for path in before} == before
    for name, value in (("seed", 6), ("formats", ("dicom",)), ("lesions", True), ("centers", ()), ("anatomy", None)):
        with pytest.raises(UsageError, match=rf"other options \(.*{name}.*\)"):
            write_cohort(tmp_path, studies=2, resume=True, **{**same, name: value})
    truth = next(tmp_path.glob("truth/knee-0005-0001-*.nii.gz"))
    for broken in (before[truth][:-7], b"x" * len(before[truth])):
        truth.write_bytes(broken)
        write_cohort(tmp_path, studies=2, resume=True, **same)
        assert {path: path.read_bytes() for path in before} == before


def test_wrong_wishes_are_named(tmp_path):
    for wish in ({"joint": "elbow"}, {"centers": ("Atlantis",)}, {"studies": 0}):
        with pytest.raises(UsageError):
            write_cohort(tmp_path, **wish)


def test_dicom_and_nifti_of_a_series_are_one_image(tmp_path):
    write_cohort(tmp_path, studies=1, seed=5, centers=("Outpost",), formats=("nifti", "dicom"))
    found = find_series([tmp_path / "dicom"])
    assert not found.refused
    rows = {r["view"]: r for r in read_manifest(tmp_path / "manifest.csv")[0]}
    assert sorted(rows) == sorted(str(s.view) for s in found.series)
    for series in found.series:
        row, volume = rows[str(series.view)], series.load()
        data, affine = load(tmp_path / row["path"])
        index = np.linalg.inv(affine) @ volume.affine
        corner = np.array(volume.shape) - 1
        for ijk in ([0, 0, 0], [1, 2, 3], corner):
            there = (index @ [*ijk, 1])[:3]
            np.testing.assert_allclose(there, np.rint(there), atol=0.01)
            assert volume.data[tuple(ijk)] == data[tuple(np.rint(there).astype(int))]
        assert float(series.row["field_strength"]) == 0.3
        assert series.row["center"] == "Outpost"


def test_truth_of_a_dicom_cohort_lies_voxel_by_voxel_on_its_images(tmp_path):
    knee = partial(random_knee, spacing_mm=1.6)
    for kind in ("nifti", "dicom"):
        options = dict(studies=1, seed=3, centers=("Outpost",), formats=(kind,), lesions=True, anatomy=knee)
        write_cohort(tmp_path if kind == "dicom" else tmp_path / "nifti", **options)
    for series in find_series([tmp_path / "manifest.csv"]).series:
        image = series.load()
        for kind in ("truth", "lesions"):
            mask = read_volume(tmp_path / kind / f"{series.series_id}.nii.gz")
            assert mask.shape == image.shape
            np.testing.assert_allclose(mask.affine, image.affine, atol=1e-3)
            other = read_volume(tmp_path / "nifti" / kind / f"{series.series_id}.nii.gz")
            np.testing.assert_array_equal(mask.data, turned_like(other, image).data)


def test_a_dicom_only_cohort_segments_from_its_manifest(tmp_path):
    write_cohort(tmp_path, studies=1, seed=6, centers=("Outpost",), formats=("dicom",))
    assert not list(tmp_path.glob("knee-*/*.nii.gz"))
    found = find_series([tmp_path / "manifest.csv"])
    assert not found.refused
    assert sorted(s.series_id for s in found.series) == sorted(
        r["series_id"] for r in read_manifest(tmp_path / "manifest.csv")[0]
    )
    with pytest.raises(UsageError, match="format"):
        write_cohort(tmp_path / "x", formats=("bmp",))
