"""Segmentation end to end with an untrained network: files, geometry, failures, resume."""

import csv
import json
import shutil
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
import torch

from orthodx.bundles.model_json import QualityCurve
from orthodx.errors import NoInputError, UsageError
from orthodx.inference.plausibility import as_anatomy, warnings_for
from orthodx.inference.predict import Segmenter
from orthodx.inference.segment import segment
from orthodx.joints import KNEE, Joint
from orthodx.networks.device import pick_device
from orthodx.studies.discover import find_series
from orthodx.studies.label_tables import LABEL_TABLES
from orthodx.synth.dicom_writer import write_dicom_series


def table(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_each_series_gets_a_mask_on_its_own_grid(bundle, cohort, tmp_path):
    cases = segment([cohort], tmp_path, model=bundle.path, device="cpu")
    assert len(cases) == 3
    for row in table(cohort / "manifest.csv"):
        mask, image = nib.load(tmp_path / f"{row['series_id']}.nii.gz"), nib.load(cohort / row["path"])
        np.testing.assert_array_equal(mask.affine, image.affine)
        assert mask.shape == image.shape
        assert mask.get_data_dtype() == np.uint8
        assert (tmp_path / "previews" / f"{row['series_id']}.png").stat().st_size > 10_000
    volumes = table(tmp_path / "volumes.csv")
    assert len(volumes) == 33
    for row in volumes:
        mask = np.asarray(nib.load(tmp_path / f"{row['series_id']}.nii.gz").dataobj)
        value = {"femur": 1, "pcl": 11}.get(row["structure"])
        if value:
            assert int(row["voxels"]) == (mask == value).sum()
    measures = table(tmp_path / "measures.csv")
    assert {row["measure"] for row in measures} >= {"volume_ml", "thickness_mm", "extrusion_mm"}
    assert {row["center"] for row in (*measures, *volumes)} == {"Riverside"}
    of_femur = {row["series_id"]: row["ml"] for row in volumes if row["structure"] == "femur"}
    (best,) = (row for row in measures if (row["structure"], row["measure"]) == ("femur", "volume_ml"))
    assert best["value"] == of_femur[best["series_id"]]
    record = json.loads((tmp_path / "run.json").read_text())
    assert record["model"]["name"] == "tiny"
    assert len(record["inputs"]) == 3


def test_a_bad_case_is_reported_and_the_others_go_on(bundle, cohort, tmp_path):
    study = tmp_path / "study"
    study.mkdir()
    image = next(cohort.glob("*/*-axial.nii.gz"))
    shutil.copy(image, study / "good.nii.gz")
    (study / "cut.nii.gz").write_bytes(image.read_bytes()[:5000])
    nib.save(
        nib.Nifti1Image(np.full((20, 20, 9), 7.0, np.float32), np.diag([0.5, 0.5, 3, 1])),
        study / "flat.nii.gz",
    )
    segment([study], tmp_path / "out", model=bundle.path, device="cpu", preview=False)
    status = {row["series_id"]: row for row in table(tmp_path / "out/status.csv")}
    assert status["good"]["status"] in ("ok", "warned")
    assert status["cut"]["status"] == status["flat"]["status"] == "failed"
    assert "all voxels equal" in status["flat"]["reason"]
    assert not (tmp_path / "out/flat.nii.gz").exists()
    assert not (tmp_path / "out/previews").exists()


@pytest.mark.parametrize("gone", [0, None])
def test_what_convert_warns_of_is_told_here_too(bundle, cohort, tmp_path, monkeypatch, gone):
    monkeypatch.setenv("ORTHODX_KEY", str(tmp_path / "key"))
    (row, *_) = table(cohort / "manifest.csv")
    image = nib.load(cohort / row["path"])
    row = {**row, "field_strength": 3.0, "fat_suppressed": False}
    folder = write_dicom_series(tmp_path / "dcm", np.asarray(image.dataobj).astype(np.int16), image.affine, row, 7)
    if gone is not None:
        sorted(folder.iterdir())[gone].unlink()
    (case,) = segment([folder], tmp_path / "out", model=bundle.path, device="cpu", preview=False)
    assert ("InstanceNumber begins at 2: the first slices may be missing" in case.reason) == (gone is not None)


def test_no_image_is_written_over(bundle, cohort, tmp_path):
    image, study = next(cohort.glob("*/*-axial.nii.gz")), tmp_path / "study"
    study.mkdir()
    for name in ("k", "not_listed"):
        shutil.copy(image, study / f"{name}.nii.gz")
    rows = "patient_id,study_id,series_id,path\np,s,not_listed,k.nii.gz\n"
    (tmp_path / "manifest.csv").write_text(rows.replace("k.nii.gz", "study/k.nii.gz"))
    for given in (study, study / "k.nii.gz", tmp_path / "manifest.csv"):
        with pytest.raises(UsageError, match="is no result of ours"):
            segment([given], study, model=bundle.path, device="cpu", preview=False)
    with pytest.raises(UsageError, match="holds a cohort"):  # its run.json and receipts are another command's
        segment([study], tmp_path, model=bundle.path, device="cpu", preview=False)
    assert sorted(p.name for p in study.iterdir()) == ["k.nii.gz", "not_listed.nii.gz"]
    assert all(p.read_bytes() == image.read_bytes() for p in study.iterdir())


@pytest.mark.parametrize("where", ["study", "study/results", "elsewhere"])
def test_masks_are_never_read_as_images(bundle, cohort, tmp_path, where):
    study, out = tmp_path / "study", tmp_path / where
    study.mkdir()
    shutil.copy(next(cohort.glob("*/*-axial.nii.gz")), study / "k.nii.gz")
    (tmp_path / "m.csv").write_text("patient_id,study_id,series_id,path\np,study,other,study/k.nii.gz\n")
    for _ in range(2):
        cases = segment([tmp_path / "m.csv"], out, model=bundle.path, device="cpu", preview=False, resume=True)
        assert [c.series_id for c in cases] == ["other"]
    assert [one.series_id for one in find_series([study]).series] == ["k"]


@pytest.mark.parametrize("name", LABEL_TABLES)
def test_label_tables_lie_beside_masks_are_no_one_elses_and_are_not_read_again(bundle, cohort, tmp_path, name):
    study, out = tmp_path / "study", tmp_path / "out"
    study.mkdir()
    shutil.copy(next(cohort.glob("*/*-axial.nii.gz")), study / "k.nii.gz")
    line = {"model": bundle.path, "device": "cpu", "preview": False}
    out.mkdir()
    (out / name).write_text("mine")
    with pytest.raises(UsageError, match=f"{name} is there and is no result of"):
        segment([study], out, **line)
    assert [path.name for path in out.iterdir()] == [name]
    (out / name).unlink()
    segment([study], out, **line)
    made = (out / name).read_bytes()
    (out / name).unlink()
    segment([study], out, **line, resume=True)
    assert (out / name).read_bytes() == made
    found = find_series([study, out])
    assert ([one.series_id for one in found.series], found.refused) == (["k"], [])


def test_an_image_too_large_for_the_memory_fails_alone(bundle, cohort, tmp_path, monkeypatch):
    answer = Segmenter.__call__

    def call(self, grid, **how):
        if grid.view == "axial":
            torch.empty(10**15)  # torch's own error, no MemoryError
        return answer(self, grid, **how)

    monkeypatch.setattr(Segmenter, "__call__", call)
    cases = segment([cohort], tmp_path, model=bundle.path, device="cpu", preview=False)
    assert sorted(c.status == "failed" for c in cases) == [False, False, True]
    assert [c.reason for c in cases if c.status == "failed"] == [
        "out of memory; close other programs or crop the image"
    ]


def test_resume_keeps_finished_cases_only_of_the_same_model(bundle, cohort, tmp_path):
    image = next(cohort.glob("*/*-axial.nii.gz"))
    segment([image], tmp_path, model=bundle.path, device="cpu", preview=False)
    mask = next(tmp_path.glob("*.nii.gz"))
    before = mask.stat().st_mtime_ns
    segment([image], tmp_path, model=bundle.path, device="cpu", preview=False, resume=True)
    assert mask.stat().st_mtime_ns == before
    receipt = next((tmp_path / ".done").iterdir())
    receipt.write_text(receipt.read_text().replace(bundle.digest, "0" * 64))
    segment([image], tmp_path, model=bundle.path, device="cpu", preview=False, resume=True)
    assert mask.stat().st_mtime_ns > before


def test_resume_does_an_image_again_that_has_changed(bundle, cohort, tmp_path):
    image = tmp_path / "knee.nii.gz"
    axial, coronal = (next(cohort.glob(f"*/*-{view}.nii.gz")) for view in ("axial", "coronal"))
    shutil.copy(axial, image)
    segment([image], tmp_path / "out", model=bundle.path, device="cpu", preview=False)
    shutil.copy(coronal, image)
    segment([image], tmp_path / "out", model=bundle.path, device="cpu", preview=False, resume=True)
    assert nib.load(tmp_path / "out/knee.nii.gz").shape == nib.load(coronal).shape


def test_nothing_usable_is_an_error(bundle, tmp_path):
    (tmp_path / "notes.txt").write_text("no image here")
    with pytest.raises(NoInputError):
        segment([tmp_path], tmp_path / "out", model=bundle.path, device="cpu")
    (tmp_path / "bad.nii.gz").write_text("no image here")
    with pytest.raises(NoInputError, match="no case"):
        segment([tmp_path / "bad.nii.gz"], tmp_path / "out", model=bundle.path, device="cpu")


def test_a_device_that_is_not_there_is_refused():
    for name in ("cuda:93", "abacus"):
        with pytest.raises(UsageError):
            pick_device(name)
    assert pick_device("cpu").type == "cpu"


MM = np.ones(3)  # voxels of 1 mm


def test_islands_go_and_large_second_pieces_of_cartilage_stay():
    labels = np.zeros((30, 30, 10), np.uint8)
    labels[2:26, 2:12, 1] = 1
    labels[2:12, 2:12, 2:8] = 5
    labels[16:26, 2:10, 2:8] = 5
    labels[27:29, 27:29, 4] = 5
    kept = as_anatomy(labels, MM, KNEE)
    assert (kept[16:26] == 5).sum() == 480
    assert (kept[27:] == 5).sum() == 0


@pytest.mark.parametrize(("value", "bone", "stays"), [(5, 1, True), (8, 2, True), (10, 1, False)])
def test_a_small_piece_of_cartilage_or_meniscus_stays_where_one_of_a_ligament_goes(value, bone, stays):
    labels = np.zeros((30, 30, 10), np.uint8)
    labels[2:26, 2:12, 1] = bone
    labels[2:12, 2:12, 2:8] = value
    labels[20:26, 2:7, 2] = value  # 5 % of it
    assert (as_anatomy(labels, MM, KNEE)[20:] == value).any() == stays


def test_a_bone_is_one_piece_unless_the_edge_of_the_image_cuts_it():
    labels = np.zeros((40, 30, 10), np.uint8)
    labels[5:20, 5:20, 2:8] = 1  # away from every edge
    labels[24:34, 5:20, 2:8] = 1
    assert set(np.unique(as_anatomy(labels, MM, KNEE)[21:])) == {0}
    labels[24:40, 5:20, 2:8] = 1  # two condyles, the notch open at the edge
    labels[5:20, 0:20, 2:8] = 1
    np.testing.assert_array_equal(as_anatomy(labels, MM, KNEE), labels)
    labels[24:40] = 0
    labels[36:40, 5:12, 2:8] = 1  # at the edge, but a crumb beside the bone
    assert set(np.unique(as_anatomy(labels, MM, KNEE)[21:])) == {0}


@pytest.mark.parametrize(
    ("bone", "neck", "stays"),
    [("patella", 3, False), ("patella", 6, False), ("patella", 10, True), ("fibula", 8, True)],
)
@pytest.mark.parametrize("mm", [0.4, 1.0])
def test_what_hangs_on_a_bone_by_a_neck_goes(bone, neck, stays, mm):
    (value,) = (s.value for s in KNEE.structures if s.name == bone)
    labels = np.zeros((60, 30, 30), np.uint8)
    labels[4:28, 4:26, 4:26] = value
    labels[28:32, 10 : 10 + neck, 10 : 10 + neck] = value
    labels[32:46, 8:22, 8:22] = value  # the tongue of a patella in the fat pad, but a fibula has a neck of its own
    fine = labels.repeat(round(1 / mm), 0).repeat(round(1 / mm), 1)
    kept = as_anatomy(fine, np.array([1 / round(1 / mm), 1 / round(1 / mm), 1.0]), KNEE)
    assert bool(kept[32 * round(1 / mm) :].any()) == stays
    body = slice(0, 28 * round(1 / mm))
    np.testing.assert_array_equal(kept[body], fine[body])


def test_specks_that_only_a_tongue_joined_to_the_bone_go_with_it():
    labels = np.zeros((60, 30, 30), np.uint8)
    labels[4:28, 4:26, 4:26] = 4
    labels[28:32, 10:13, 10:13] = 4
    labels[32:46, 8:22, 8:22] = 4
    labels[29:32, 15:22, 10:20] = 4  # a flap of the tongue, nearer to the core of the bone than to its own
    kept = as_anatomy(labels, MM, KNEE)
    assert not kept[29:, 15:].any()
    np.testing.assert_array_equal(kept[:28], labels[:28])
    np.testing.assert_array_equal(as_anatomy(kept, MM, KNEE), kept)


@pytest.mark.parametrize(("length", "stays"), [(8, True), (24, False)])
def test_a_long_strand_goes_and_a_bump_stays(length, stays):
    labels = np.zeros((60, 30, 30), np.uint8)
    labels[4:28, 4:26, 4:26] = 4
    labels[28 : 28 + length, 12:16, 12:16] = 4  # under 3 % of the bone, thinner than any core
    kept = as_anatomy(labels, MM, KNEE)
    assert bool(kept[27 + length].any()) == stays
    np.testing.assert_array_equal(kept[:32], labels[:32])
    labels[28:60, 12:16, 12:16] = 4  # it leaves the image: who knows what it is
    np.testing.assert_array_equal(as_anatomy(labels, MM, KNEE), labels)


def test_a_part_that_the_edge_of_the_image_cuts_may_hang_by_a_neck():
    labels = np.zeros((46, 30, 30), np.uint8)
    labels[4:28, 4:26, 4:26] = 1
    labels[28:32, 11:14, 11:14] = 1
    labels[32:46, 8:22, 8:22] = 1
    np.testing.assert_array_equal(as_anatomy(labels, MM, KNEE), labels)


def test_what_lies_on_nothing_goes_however_large():
    labels = np.zeros((40, 30, 10), np.uint8)
    labels[5:20, 5:12, 2:8] = 4
    labels[5:20, 13:15, 2:8] = 7  # behind one dark voxel
    labels[24:40, 5:25, 2:8] = 7  # in the fat pad, larger than the true one
    labels[22:23, 5:25, 2:8] = 10  # a ligament that no bone holds
    kept = as_anatomy(labels, MM, KNEE)
    np.testing.assert_array_equal(kept[:21], labels[:21])
    assert not kept[21:].any()


@pytest.mark.parametrize(("gap_mm", "stays"), [(1.5, True), (6.0, False)])
def test_nearness_counts_in_mm_along_every_axis(gap_mm, stays):
    for axis in range(3):
        spacing = np.array([0.5, 0.5, 0.5])
        labels = np.zeros((40, 40, 40), np.uint8)
        bone, layer = [slice(5, 20)] * 3, [slice(5, 20)] * 3
        first = 20 + round(gap_mm / 0.5)
        layer[axis] = slice(first, first + 4)
        labels[tuple(bone)], labels[tuple(layer)] = 2, 6
        assert (as_anatomy(labels, spacing, KNEE) == 6).any() == stays


def test_readers_are_warned_of_empty_odd_and_unsure_masks():
    joint = Joint("knee", tuple(replace(s, lies_on=()) for s in KNEE.structures if s.value in (1, 8)))
    assert warnings_for({1: (0, 0.0), 8: (0, 0.0)}, {}, joint) == ["the mask is empty: is this a knee?"]
    assert warnings_for({1: (9, 200.0), 8: (9, 3.0)}, {1: 0.99, 8: 0.9}, joint) == []
    notes = warnings_for({1: (9, 9.0), 8: (9, 3.0)}, {1: 0.99, 8: 0.4}, joint)
    assert "implausible" in notes[0]
    assert "unsure" in notes[1]
    assert warnings_for({1: (0, 0.0), 8: (9, 3.0)}, {8: 0.9}, joint) == ["no femur found"]
    assert warnings_for({1: (0, 0.0), 8: (9, 3.0)}, None, joint) == ["no femur found"]
    assert "agreement 0.00" in warnings_for({1: (9, 200.0), 8: (9, 3.0)}, {1: 0.99}, joint)[0]
    curves = {"medial_meniscus": QualityCurve(weights=(0.0, 0.0, 1.0, 0.0), unsure_below=0.5)}
    assert warnings_for({1: (9, 200.0), 8: (9, 3.0)}, {1: 0.99, 8: 0.6}, joint, curves) == []
    (note,) = warnings_for({1: (9, 200.0), 8: (9, 3.0)}, {1: 0.99, 8: 0.4}, joint, curves)
    assert note == "medial_meniscus is unsure (expected Dice 0.40, limit 0.50)"
