"""Thickness of layers that are known: slabs and shells on voxels of every shape."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from orthodx.measuring.thickness import thickness

VOXELS = ((0.4, 0.4, 3.5), (3.0, 0.5, 0.5), (0.7, 0.7, 0.7))


def points(spacing, middle=(0.0, 0.0, 0.0)):
    """World points (3, I, J, K) of a cube of 36 mm round `middle`."""
    axes = [np.arange(int(36 / s)) * s - 18 for s in spacing]
    return np.stack(np.meshgrid(*axes, indexing="ij")) - np.reshape(middle, (3, 1, 1, 1))


def slab(spacing, mm, turn=(0, 0, 0)):
    """A layer of `mm` on a flat bone, tilted by Euler angles."""
    above = np.tensordot(Rotation.from_euler("xyz", turn, degrees=True).apply([0, 1, 0]), points(spacing), 1)
    return (above >= 0) & (above < mm), above < 0


@pytest.mark.parametrize("spacing", VOXELS)
@pytest.mark.parametrize("mm", [1.5, 2.5, 4.0])
@pytest.mark.parametrize("turn", [(7, -5, 3), (20, -15, 10), (35, 20, 25)])
def test_a_slab_is_as_thick_as_it_is_however_it_lies(spacing, mm, turn):
    found = thickness(*slab(spacing, mm, turn), np.array(spacing))
    assert found.mean_mm == pytest.approx(mm, abs=0.2)
    assert found.p5_mm == pytest.approx(mm, abs=0.5)


@pytest.mark.parametrize("spacing", VOXELS)
def test_a_shell_round_a_condyle(spacing):
    far = np.linalg.norm(points(spacing, (0.3, -0.4, 0.2)), axis=0) - 12
    found = thickness((far >= 0) & (far < 2.5), far < 0, np.array(spacing))
    assert found.mean_mm == pytest.approx(2.5, abs=0.4 if max(spacing) > 1 else 0.1)


def test_a_loss_of_a_tenth_of_a_millimetre_shows():
    spacing = (0.4, 0.4, 3.5)
    was, now = (thickness(*slab(spacing, mm, (12, 8, 0)), np.array(spacing)).mean_mm for mm in (2.4, 2.3))
    assert now - was == pytest.approx(-0.1, abs=0.05)


def test_a_dark_seam_between_bone_and_layer_is_the_bones_side():
    layer, bone = slab((0.5, 0.5, 0.5), 4.0)
    above = points((0.5, 0.5, 0.5))[1]
    found = thickness(layer & (above >= 1.0), bone, np.array((0.5, 0.5, 0.5)))
    assert found.mean_mm == pytest.approx(3.0, abs=0.15)


def test_where_a_layer_ends_it_is_not_thin():
    layer, bone = slab((0.5, 0.5, 0.5), 2.0)  # four voxels
    x = points((0.5, 0.5, 0.5))[0]
    found = thickness(layer & (np.abs(x) < 8), bone, np.array((0.5, 0.5, 0.5)))
    assert found.mean_mm == pytest.approx(2.0, abs=0.1)
    assert found.p5_mm == pytest.approx(2.0, abs=0.1)


def test_a_thin_place_is_found_by_the_fifth_percentile():
    layer, bone = slab((0.5, 0.5, 0.5), 3.0)
    x, above, _ = points((0.5, 0.5, 0.5))
    worn = thickness(layer & ((np.abs(x) > 3) | (above < 1.0)), bone, np.array((0.5, 0.5, 0.5)))
    assert worn.p5_mm == pytest.approx(1.0, abs=0.15)
    assert 2.4 < worn.mean_mm < 2.9


def test_places_are_voxels_of_the_mask_on_the_bones_side():
    spacing = (0.5, 1.0, 2.0)
    layer, bone = slab(spacing, 3.0)
    found = thickness(layer, bone, np.array(spacing))
    assert ((found.places >= 0) & (found.places <= np.array(layer.shape) - 1)).all()
    assert np.abs(found.places[:, 1] * 1.0 - 18).max() < 1.5  # the bone ends at y = 0


@pytest.mark.parametrize("empty", [0, 1])
def test_no_layer_or_no_bone_has_no_thickness(empty):
    masks = list(slab((1.0, 1.0, 1.0), 3.0))
    masks[empty] = np.zeros_like(masks[empty])
    found = thickness(*masks, np.ones(3))
    assert np.isnan([found.mean_mm, found.p5_mm]).all()
    assert not len(found.mm)


def test_a_layer_far_from_the_bone_has_none():
    above = points((1.0, 1.0, 1.0))[1]
    assert not len(thickness((above > 6) & (above < 9), above < 0, np.ones(3)).mm)
