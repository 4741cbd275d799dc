"""Calibration rates the masks that `orthodx segment` writes."""

import numpy as np
import pytest
import torch

from orthodx.evaluation.overlap import dice_by_structure
from orthodx.grid.canonical import to_grid
from orthodx.inference.predict import Segmenter
from orthodx.inference.segment import segment
from orthodx.inference.sights import Sight
from orthodx.joints import KNEE, View
from orthodx.studies.discover import find_series
from orthodx.studies.mask_files import read_labels_file
from orthodx.studies.nifti import read_volume, write_image
from orthodx.studies.truths import truths_of
from orthodx.studies.volume import Volume
from orthodx.trials.rated_masks import rated

AFFINES = {"thin": np.diag([1.5, 1.0, 1.0, 1.0]), "thick": np.diag([4.0, 1.0, 1.0, 1.0])}  # sagittal


@pytest.mark.parametrize("kind", AFFINES)
def test_a_series_is_rated_by_the_mask_that_segment_writes(bundle, tmp_path, kind):
    rng = np.random.default_rng(0)
    image, affine = rng.integers(1, 900, (24, 32, 32)).astype(np.int16), AFFINES[kind]
    write_image(tmp_path / "in/one.nii.gz", image, affine)
    volume = read_volume(tmp_path / "in/one.nii.gz")
    truth = Volume(rng.integers(0, 12, image.shape).astype(np.uint8), volume.affine, "truth")
    (case,) = segment(tmp_path / "in", tmp_path / "m", model=bundle.path, preview=False, device="cpu", workers=0)
    written = read_labels_file(next((tmp_path / "m").glob("*.nii.gz")))
    segmenter = Segmenter(bundle, torch.device("cpu"))
    with torch.inference_mode():
        grid = to_grid(volume, segmenter.grid, View.SAGITTAL)
        found = rated(segmenter, Sight(case.series_id, grid, segmenter(grid)), volume, truth)
    expected = dice_by_structure(written.data, truth.data, KNEE.names)
    assert len(found) > 3
    assert found == pytest.approx({value: expected[value] for value in found})


def test_series_of_one_name_in_two_folders_have_their_own_truth(tmp_path):
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        write_image(folder / "knee.nii.gz", np.ones((6, 9, 9), np.int16), AFFINES["thick"])
        write_image(folder / "truth/knee.nii.gz", np.ones((6, 9, 9), np.uint8), AFFINES["thick"])
    series = find_series(folders).series
    assert len({one.series_id for one in series}) == 2
    assert truths_of(folders, series) == {
        one.series_id: ("knee", one.path.parent / "truth/knee.nii.gz") for one in series
    }
