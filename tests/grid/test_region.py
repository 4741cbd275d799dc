"""The region read for a diagnosis: one size for every series, and each of its cells where it is in the world."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from orthodx.grid.region import RegionSpec, joint_region
from orthodx.grid.spec import AXES, GridSpec
from orthodx.joints import View
from orthodx.studies.volume import Volume

GRID = GridSpec(pixel_mm=2.0)
SPEC = RegionSpec(slices=10, rows=32, columns=48, min_slice_mm=3.0)
SMALLER, LARGER, ONE_LESS, ONE_MORE = (6, 24, 20), (25, 60, 70), (9, 31, 47), (11, 33, 49)


def volume(view, shape, slice_mm=4.0, tilt=0.0, flipped=False):
    """Slices, rows and columns of a view whose intensity is a plane in the world: 10 + 2 x + 3 y - z."""
    affine = np.eye(4)
    for array, (world, sign) in enumerate(AXES[view]):
        affine[:3, array] = 0
        affine[world, array] = sign * (slice_mm if array == 0 else 2.0) * (-1 if flipped else 1)
    a = np.deg2rad(tilt)
    turn = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    affine[:3, :3] = turn @ affine[:3, :3]
    affine[:3, 3] = (11, -7, 40)
    return Volume(intensity(world_of(affine, np.ones(shape, bool))).reshape(shape).astype(np.float32), affine, "x")


def world_of(affine, mask):
    """World positions (n, 3) of the marked indices."""
    return np.argwhere(mask) @ affine[:3, :3].T + affine[:3, 3]


def intensity(world):
    return 10 + world @ np.array([2.0, 3.0, -1.0])


@pytest.mark.parametrize("flipped", [False, True])
@pytest.mark.parametrize("tilt", [0.0, 18.0])
@pytest.mark.parametrize("shape", [SMALLER, LARGER, ONE_LESS, ONE_MORE])
@pytest.mark.parametrize("view", list(View))
def test_every_cell_shows_its_own_place_in_the_world(view, shape, tilt, flipped):
    source = volume(view, shape, tilt=tilt, flipped=flipped)
    region = joint_region(source, GRID, view, SPEC)
    assert region.image.shape == SPEC.shape
    shown = (region.image > -1) & (region.image < 1)  # neither padding nor beyond the percentiles
    assert shown.sum() > 0.9 * np.prod(np.minimum(shape, SPEC.shape))
    expected = intensity(world_of(region.affine, shown.numpy()))
    found = region.image[shown].numpy()
    gain, offset = np.polyfit(found, expected, 1)
    assert gain > 0
    assert np.abs(gain * found + offset - expected).max() < 0.01 * np.ptp(expected)


@pytest.mark.parametrize("view", list(View))
@pytest.mark.parametrize("shape", [SMALLER, LARGER, ONE_LESS, ONE_MORE])
def test_the_region_is_the_middle_of_the_series(view, shape):
    source = volume(view, shape)
    region = joint_region(source, GRID, view, SPEC)
    middles = [a[:3, :3] @ ((np.array(n) - 1) / 2) + a[:3, 3] for a, n in
               ((source.affine, shape), (region.affine, SPEC.shape))]  # fmt: skip
    assert np.abs(middles[0] - middles[1]).max() <= 2.0 + 1e-6  # half a cell of 4 mm where one is odd, one is even
    for part, n, want in zip(region.inside, shape, SPEC.shape, strict=True):
        assert min(n, want) <= part.stop - part.start <= want
    outside = torch.ones(SPEC.shape, dtype=torch.bool)
    outside[region.inside] = False
    assert (region.image[outside] == -1).all()


@pytest.mark.parametrize("view", list(View))
@pytest.mark.parametrize("shape", [SMALLER, LARGER, (9, 24, 20), (11, 60, 70)])
def test_a_closer_look_is_at_the_same_places(view, shape):
    source = volume(view, shape)
    plain, closer = (joint_region(source, GRID, view, replace(SPEC, detail=n)) for n in (1, 2))
    assert closer.image.shape == (10, 64, 96)
    for index in ((0, 0, 0), (9, 31, 47), (4, 20, 13)):  # a grid's pixel is the mean of four of the region's
        d, h, w = index
        inner = np.mean([closer.affine @ (d, 2 * h + i, 2 * w + j, 1) for i in (0, 1) for j in (0, 1)], 0)
        assert np.abs(inner - plain.affine @ (*index, 1)).max() < 1e-6
    shown = (closer.image > -1) & (closer.image < 1)
    expected = intensity(world_of(closer.affine, shown.numpy()))
    found = closer.image[shown].numpy()
    gain, offset = np.polyfit(found, expected, 1)
    assert np.abs(gain * found + offset - expected).max() < 0.02 * np.ptp(expected)


def test_thin_slices_are_averaged_to_the_least_thickness():
    source = volume(View.SAGITTAL, (120, 32, 32), slice_mm=0.5)
    region = joint_region(source, GRID, View.SAGITTAL, SPEC)
    assert np.linalg.norm(region.affine[:3, 0]) == pytest.approx(3.0)
    inner = region.image[:, 8:24, 16:32]
    shown = (inner > -1) & (inner < 1)
    affine = region.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ (0, 8, 16)
    expected = intensity(world_of(affine, shown.numpy()))
    gain, offset = np.polyfit(inner[shown].numpy(), expected, 1)
    assert np.abs(gain * inner[shown].numpy() + offset - expected).max() < 0.01 * np.ptp(expected)


def test_thick_slices_are_never_mixed():
    source = volume(View.CORONAL, LARGER)
    source.data[12] += 1000
    region = joint_region(source, GRID, View.CORONAL, SPEC)
    bright = region.image.mean((1, 2)) > 0.5
    assert bright.sum() == 1
    where = region.affine[:3, :3] @ (int(bright.nonzero()), 0, 0) + region.affine[:3, 3]
    assert where[1] == pytest.approx((source.affine @ (12, 0, 0, 1))[1])


@pytest.mark.parametrize("view", list(View))
@pytest.mark.parametrize("shape", [SMALLER, LARGER, ONE_LESS, ONE_MORE])
def test_whole_slices_are_resized_and_still_known_in_the_world(view, shape):
    source = volume(view, shape, slice_mm=1.0)
    source.data[(0, -1), :, :] = 1e6 if shape is LARGER else source.data[(0, -1), :, :]  # not among the middle slices
    region = joint_region(source, GRID, view, replace(SPEC, whole=True))
    assert region.image.shape == SPEC.shape
    assert [part.stop - part.start for part in region.inside] == [min(shape[0], 10), 32, 48]
    pixel = [n * 2.0 / new for n, new in zip(shape[1:], SPEC.shape[1:], strict=True)]
    np.testing.assert_allclose(np.linalg.norm(region.affine[:3, :3], axis=0), [1.0, *pixel])
    shown = region.image[region.inside]
    assert (float(shown.min()), float(shown.max())) == (-1, 1)
    inner = np.zeros(SPEC.shape, bool)
    inner[region.inside[0], 2:-2, 2:-2] = True  # edges repeat what is beyond them
    expected, found = intensity(world_of(region.affine, inner)), region.image[torch.from_numpy(inner)].numpy()
    gain, offset = np.polyfit(found, expected, 1)
    assert gain > 0
    assert np.abs(gain * found + offset - expected).max() < 0.02 * np.ptp(expected)


def test_a_constant_image_is_dark_when_whole():
    source = volume(View.AXIAL, SMALLER)
    source.data[:] = 7
    assert (joint_region(source, GRID, View.AXIAL, replace(SPEC, whole=True)).image == -1).all()
