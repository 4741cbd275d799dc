"""To the grid and back: world positions are sacred."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from orthodx.grid.canonical import from_grid, to_grid
from orthodx.grid.spec import GridSpec, axis_matrix
from orthodx.joints import View
from orthodx.studies.view import view_of
from orthodx.studies.volume import Volume
from orthodx.synth.solids import rotation

SPEC = GridSpec()
ORIENTATIONS = list(itertools.product(itertools.permutations(range(3)), itertools.product((1, -1), repeat=3)))


def affine_of(permutation, signs, spacing):
    """Each array axis along one world axis, (4, 4), with a place of its own in the world."""
    affine = np.zeros((4, 4))
    affine[3, 3] = 1
    for array, (world, sign) in enumerate(zip(permutation, signs, strict=True)):
        affine[world, array] = sign * spacing[array]
    affine[:3, 3] = (7.0, -30.0, 55.0)
    return affine


def ball(permutation, signs, spacing, shape, tilt=(0, 0, 0)):
    """A volume with an off-centre ball, its labels, and the ball's centre in the world."""
    affine = affine_of(permutation, signs, spacing)
    turn = rotation(0, tilt[0]) @ rotation(1, tilt[1]) @ rotation(2, tilt[2])
    affine[:3, :3] = turn @ affine[:3, :3]
    index = np.stack(np.meshgrid(*[np.arange(n) for n in shape], indexing="ij"), -1)
    world = index @ affine[:3, :3].T + affine[:3, 3]
    centre = world.reshape(-1, 3).mean(0) + turn @ np.array([3.0, -5.0, 4.0])
    labels = (np.linalg.norm(world - centre, axis=-1) < 15).astype(np.uint8)
    noise = np.random.default_rng(0).normal(0, 0.01, shape)
    return Volume((labels + noise).astype(np.float32), affine, "ball"), labels, world[labels > 0].mean(0)


def check(volume, labels, centre, view=None):
    view = view or view_of(volume.affine, volume.shape)[0]
    grid = to_grid(volume, SPEC, view)
    found = np.argwhere((grid.image > 0).numpy()).mean(0)
    np.testing.assert_allclose(grid.affine[:3, :3] @ found + grid.affine[:3, 3], centre, atol=0.5)
    p = (grid.image + 1) / 2
    back = from_grid(torch.stack([1 - p, p]), grid)
    assert back.shape == volume.shape
    dice = 2 * (back * labels).sum() / (back.sum() + labels.sum())
    assert dice > 0.93
    return grid


@pytest.mark.parametrize(("permutation", "signs"), ORIENTATIONS)
def test_all_48_orientations_come_back_exactly(permutation, signs):
    grid = check(*ball(permutation, signs, (0.5, 0.6, 4.0), (100, 90, 13)))
    assert ((grid.affine[:3, :3] * axis_matrix(grid.view)).sum(0) > 0).all()


@settings(max_examples=25, deadline=None)
@given(
    orientation=st.sampled_from(ORIENTATIONS),
    pixel=st.floats(0.3, 1.0),
    slice_mm=st.floats(1.6, 5.0),
    tilt=st.tuples(*[st.floats(-25, 25)] * 3),
)
def test_oblique_anisotropic_volumes_keep_world_positions(orientation, pixel, slice_mm, tilt):
    shape = (round(60 / pixel), round(56 / pixel), round(52 / slice_mm))
    check(*ball(*orientation, (pixel, pixel, slice_mm), shape, tilt))


@pytest.mark.parametrize("view", list(View))
@pytest.mark.parametrize("spacing", [0.5, 0.8])
def test_isotropic_volumes_can_be_read_in_any_view(view, spacing):
    shape = (round(52 / spacing), round(50 / spacing), round(56 / spacing))
    grid = check(*ball((2, 0, 1), (1, -1, 1), (spacing,) * 3, shape), view)
    assert grid.size[0] == pytest.approx(np.array(shape).min() * spacing / SPEC.min_slice_mm, abs=4)


def test_thick_slices_are_never_mixed():
    volume, _, _ = ball((0, 1, 2), (1, 1, 1), (1.0, 1.0, 4.0), (64, 64, 12))
    grid = to_grid(volume, SPEC, View.AXIAL)
    assert grid.image.shape == (12, 64, 64)
    plane = volume.data[:, :, 5].T[::-1, ::-1]  # rows from anterior, columns from the patient's right
    assert np.corrcoef(plane.ravel(), grid.image[5].numpy().ravel())[0, 1] > 0.999


def test_normalisation_ignores_units_and_survives_constants():
    from orthodx.grid.intensity import normalise

    x = torch.rand(8, 32, 32) * 3000
    torch.testing.assert_close(normalise(x), normalise(x * 17 + 0.0), atol=1e-4, rtol=0)
    assert normalise(x).min() == -1
    assert normalise(x).max() == 1
    assert (normalise(torch.full((4, 16, 16), 5.0)) == -1).all()


@settings(max_examples=40, deadline=None)
@given(
    orientation=st.sampled_from(ORIENTATIONS),
    rows=st.integers(9, 32).map(lambda n: 2 * n + 1),
    columns=st.integers(9, 32).map(lambda n: 2 * n + 1),
    multiple=st.sampled_from((8, 16, 32)),
    seed=st.integers(0, 99),
)
def test_odd_padding_is_cut_off_where_it_was_put(orientation, rows, columns, multiple, seed):
    shape, affine = (rows, columns, 5), affine_of(*orientation, (1.0, 1.0, 4.0))
    labels = np.random.default_rng(seed).integers(0, 2, shape).astype(np.uint8)  # no two places look alike
    volume = Volume(100 + 800 * labels.astype(np.float32), affine, "pattern")
    grid = to_grid(volume, GridSpec(multiple=multiple), view_of(affine, shape)[0])
    padding = [padded - n for padded, n in zip(grid.image.shape[1:], grid.size[1:], strict=True)]
    assert all(p % 2 == 1 for p in padding)
    bright = (grid.image > 0).float()
    np.testing.assert_array_equal(from_grid(torch.stack([1 - bright, bright]), grid), labels)
    at = np.argwhere(bright.numpy()) @ grid.affine[:3, :3].T + grid.affine[:3, 3]
    voxels = np.rint((at - affine[:3, 3]) @ np.linalg.inv(affine[:3, :3]).T).astype(int)
    assert {tuple(v) for v in voxels.tolist()} == {tuple(v) for v in np.argwhere(labels).tolist()}
