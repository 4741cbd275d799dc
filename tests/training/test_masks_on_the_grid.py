"""Masks of studies lie on the model's grid exactly where their image lies."""

import nibabel as nib
import numpy as np
import pytest
import torch

from orthodx.grid.spec import GridSpec, axis_matrix
from orthodx.joints import KNEE, View
from orthodx.studies.nifti import write_image
from orthodx.training.sources import open_source

FEMUR, ORIGIN = 1, (-3.3, 40.0, 12.5)


def study(folder, mask, view, pixel_mm, flips=(1, 1, 1)):
    """A series of `view` whose structure is bright, 4 mm slices, its array axes (slice, row, column); and its truth."""
    affine = np.eye(4)
    affine[:3, :3] = axis_matrix(view) * (4, pixel_mm, pixel_mm) * flips
    affine[:3, 3] = ORIGIN
    write_image(folder / "knee.nii.gz", (100 + 800 * mask).astype(np.int16), affine)
    write_image(folder / "truth/knee.nii.gz", mask.astype(np.int16) * FEMUR, affine)
    return folder


def sample(folder, view, crop):
    """Image in [-1, 1] and truth (D, H, W) of the whole series on a grid of 1 mm."""
    source = open_source([folder], GridSpec(pixel_mm=1.0), crop, 0, joint=KNEE, truth=True)
    image, truth = source[0, view]
    return image[0], truth


def centres(weights):
    """Centre of mass (d, h, w)."""
    index = torch.stack(torch.meshgrid(*(torch.arange(n, dtype=torch.float64) for n in weights.shape), indexing="ij"))
    return (index * weights).sum((1, 2, 3)) / weights.sum()


@pytest.mark.parametrize("view", list(View))
@pytest.mark.parametrize("flips", [(1, 1, 1), (-1, -1, -1), (1, -1, 1)])
@pytest.mark.parametrize("pixels", [2, 3])  # of the grid along a voxel: shifted against it by half a pixel, or not
def test_a_structure_of_one_voxel_fills_the_pixels_that_its_image_fills(tmp_path, view, flips, pixels):
    mask = np.zeros((6, 16, 16), bool)
    mask[1::2, 1::3, 3::4] = True
    crop = (6, 16 * pixels, 16 * pixels)
    image, truth = sample(study(tmp_path, mask, view, float(pixels), flips), view, crop)
    turned = mask[tuple(slice(None, None, sign) for sign in flips)]
    assert torch.equal(truth == FEMUR, torch.from_numpy(turned.repeat(pixels, 1).repeat(pixels, 2)))
    assert image[truth == FEMUR].min() > image[truth == 0].max()


@pytest.mark.parametrize("pixel_mm", [0.25, 0.4, 0.5, 0.75, 1.25, 1.6])
@pytest.mark.parametrize("flips", [(1, 1, 1), (1, -1, -1)])
def test_a_structure_lies_where_its_image_is_bright_whatever_the_pixels(tmp_path, pixel_mm, flips):
    n = round(96 / pixel_mm)
    row, column = np.indices((n, n)) * pixel_mm
    disc = (row - 41) ** 2 + (column - 53) ** 2 < 24**2
    mask = np.stack([disc] * 4)
    image, truth = sample(study(tmp_path, mask, View.SAGITTAL, pixel_mm, flips), View.SAGITTAL, (4, 96, 96))
    where = centres(truth == FEMUR)
    torch.testing.assert_close(where, centres((image + 1).double()), atol=0.15, rtol=0)


@pytest.mark.parametrize("turn", [[[0, -1], [1, 1], [2, 1]], [[2, 1], [0, -1], [1, 1]]])
def test_a_mask_whose_axes_run_another_way_lies_where_it_lay(tmp_path, turn):
    mask = np.random.default_rng(0).random((6, 16, 24)) < 0.2
    folder = study(tmp_path, mask, View.SAGITTAL, 1.0)
    _, before = sample(folder, View.SAGITTAL, (6, 16, 24))
    path = folder / "truth/knee.nii.gz"
    nib.save(nib.load(path).as_reoriented(turn), path.with_name("turned.nii.gz"))
    path.with_name("turned.nii.gz").replace(path)
    _, after = sample(folder, View.SAGITTAL, (6, 16, 24))
    assert (before == FEMUR).any()
    assert torch.equal(before, after)
