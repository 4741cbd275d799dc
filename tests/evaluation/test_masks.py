"""Masks against truth: empty cases told apart, other grids refused, finished cases kept."""

import json

import numpy as np
import pytest

from orthodx.errors import NoInputError
from orthodx.evaluation import masks
from orthodx.evaluation.inputs import Inputs, read_attributes
from orthodx.evaluation.masks import pair_masks, score_masks
from orthodx.evaluation.notices import Notices
from orthodx.evaluation.rows import find
from orthodx.evaluation.segmentation import score_segment_groups, score_segmentation
from orthodx.joints import KNEE
from orthodx.requests.evaluation import Settings
from orthodx.studies.run_record import sha256

from .conftest import cube, write_map


def score(folder, notices=None, workers=0, resume=False):
    notices = notices or Notices()
    attributes = read_attributes(Inputs(None, None, None, None, folder / "manifest.csv", None), Notices())
    cases = pair_masks(folder / "masks", folder / "truth", attributes, notices)
    return score_masks(
        cases,
        KNEE.names,
        1.0,
        folder / ".done",
        workers=workers,
        resume=resume,
        notices=notices,
        progress=lambda *_: None,
    )


def femur(scores):
    return scores[scores["structure"] == "femur"].set_index("series_id")


def test_missed_false_and_both_empty_are_told_apart(segmented):
    table = femur(score(segmented))
    assert table["state"].to_dict() == {"a": "scored", "b": "scored", "c": "missed", "d": "false"}
    assert table["dice"].tolist() == pytest.approx([1.0, 0.8, 0.0, 0.0])
    assert table["nsd"].tolist()[2:] == [0.0, 0.0]
    assert table["hd95_mm"].isna().tolist() == [False, False, True, True]
    assert table.loc["b", "hd95_mm"] == pytest.approx(1.0)  # two voxels of 0.5 mm
    assert table.loc["c", "volume_error_percent"] == -100.0
    assert np.isnan(table.loc["d", "volume_error_percent"])
    assert table.loc["a", "truth_ml"] == pytest.approx(4 * 10 * 10 * 4 * 0.5 * 0.5 / 1000)


def test_a_missed_structure_lowers_dice_and_detection_and_leaves_hd95_alone(segmented):
    rows = {r.metric: r for r in find(score_segmentation(score(segmented), Settings(resamples=200)), target="femur")}
    assert rows["dice"].value == pytest.approx((0.9 + 0.0) / 2)  # two patients, each a mean of two series
    assert rows["dice"].n == 2
    assert rows["hd95_mm"].n == 1
    assert rows["detection_rate"].value == pytest.approx(2 / 3)
    assert [rows[m].value for m in ("missed", "false", "both_empty")] == [1, 1, 0]


def test_structures_in_no_mask_and_no_truth_are_not_reported(segmented):
    rows = score_segmentation(score(segmented), Settings(resamples=200))
    assert {r.target for r in rows} == {"femur", "all structures"}


def test_another_grid_is_refused_and_the_others_go_on(segmented):
    moved = np.diag([4.0, 0.5, 0.5, 1])
    moved[0, 3] = 2.0
    write_map(segmented / "masks/b.nii.gz", cube(), moved)
    notices = Notices()
    assert set(score(segmented, notices)["series_id"]) == {"a", "c", "d"}
    (line,) = notices.refused
    assert line.startswith("b.nii.gz: the mask's grid")
    assert "resample one onto the other" in line


def test_unreadable_unknown_and_unpaired_files_are_named(segmented):
    (segmented / "masks/a.nii.gz").write_bytes(b"\x1f\x8b broken")
    write_map(segmented / "masks/b.nii.gz", cube(value=77))
    write_map(segmented / "masks/extra.nii.gz", cube())
    (segmented / "masks/c.nii.gz").unlink()
    notices = Notices()
    table = femur(score(segmented, notices))
    assert set(table.index) == {"b", "d"}
    assert "a.nii.gz" in notices.refused[0]
    text = "\n".join(notices.notes)
    assert "masks/b.nii.gz: values [77] are no known structure" in text
    assert "masks: 1 file has no truth: extra" in text
    assert "truth: 1 file has no mask, missing from all numbers: c" in text


def test_a_mask_that_may_not_be_read_is_named_and_the_others_are_scored(segmented, monkeypatch):
    def forbidden(path):
        if path == segmented / "masks/a.nii.gz":
            raise PermissionError(13, "Permission denied", str(path))
        return sha256(path)

    monkeypatch.setattr(masks, "sha256", forbidden)  # root may read anything
    notices = Notices()
    assert set(femur(score(segmented, notices)).index) == {"b", "c", "d"}
    assert notices.refused == ["a: Permission denied -> check its files and their permissions"]


def test_no_pair_at_all_is_no_input(segmented):
    for path in (segmented / "truth").iterdir():
        path.unlink()
    with pytest.raises(NoInputError, match="no mask in"):
        score(segmented)


def test_workers_and_no_workers_agree_and_finished_cases_are_kept(segmented):
    alone = score(segmented)
    assert score(segmented, workers=2).equals(alone)
    receipt = segmented / ".done/a.json"
    kept = json.loads(receipt.read_text())
    kept["result"]["structures"][0]["dice"] = 0.123
    receipt.write_text(json.dumps(kept))
    assert femur(score(segmented, resume=True)).loc["a", "dice"] == 0.123
    (segmented / ".done/b.json").write_text('{"key": ')  # killed half way
    write_map(segmented / "masks/a.nii.gz", cube(2))  # another mask: its receipt no longer counts
    assert femur(score(segmented, resume=True))["dice"].tolist()[:2] == pytest.approx([0.8, 0.8])


def test_small_groups_get_no_number(segmented):
    table = score(segmented)
    group = np.where(table["patient_id"] == "x", "one", "two").astype(object)
    rows = score_segment_groups(table, {"center": group}, Settings(resamples=200))
    assert {r.note for r in find(rows, target="femur")} == {"n too small: 1 patient"}
    assert all(np.isnan(r.value) for r in find(rows, target="femur"))
