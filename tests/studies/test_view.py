"""The view comes from the world, whatever order and direction the array axes have."""

import itertools

import numpy as np
import pytest

from orthodx.joints import View
from orthodx.studies.view import view_of

ORIENTATIONS = list(itertools.product(itertools.permutations(range(3)), itertools.product((1, -1), repeat=3)))


def oriented(permutation, signs, spacing=(0.5, 0.5, 3.0)):
    """Affine whose array axis a runs along world axis permutation[a]."""
    affine = np.eye(4)
    affine[:3, :3] = 0
    for array, (world, sign) in enumerate(zip(permutation, signs, strict=True)):
        affine[world, array] = sign * spacing[array]
    return affine


@pytest.mark.parametrize(("permutation", "signs"), ORIENTATIONS)
def test_the_slice_normal_decides(permutation, signs):
    wanted = (View.SAGITTAL, View.CORONAL, View.AXIAL)[permutation[2]]
    view, angle = view_of(oriented(permutation, signs), (200, 200, 20))
    assert view is wanted
    assert angle == pytest.approx(0)


def test_an_oblique_series_tells_its_angle():
    a = np.deg2rad(40)
    affine = np.eye(4)
    affine[:3, :3] = np.array([[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]]) @ np.diag(
        [0.5, 0.5, 4]
    )
    view, angle = view_of(affine, (100, 100, 20))
    assert view is View.AXIAL
    assert angle == pytest.approx(40)


def test_an_isotropic_volume_counts_as_sagittal():
    assert view_of(np.diag([0.6, 0.6, 0.6, 1]), (200, 220, 240))[0] is View.SAGITTAL
