"""The area that a layer covers, on planes and spheres whose area is known, however they lie."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from orthodx.measuring.thickness import thickness

VOXELS = ((0.4, 0.4, 3.0), (0.5, 0.5, 0.5), (0.7, 0.7, 0.7))


def points(spacing, size=44):
    axes = [np.arange(int(size / s)) * s - size / 2 for s in spacing]
    return np.stack(np.meshgrid(*axes, indexing="ij"))


@pytest.mark.parametrize("spacing", VOXELS)
@pytest.mark.parametrize("turn", [(0, 0, 0), (30, 0, 0), (35, 20, 25)])
def test_a_disc_of_cartilage_on_a_plane(spacing, turn):
    x, y, z = np.tensordot(Rotation.from_euler("xyz", turn, degrees=True).as_matrix(), points(spacing), 1)
    layer = (y >= 0) & (y < 2.5) & (np.hypot(x, z) < 12)
    found = thickness(layer, y < 0, np.array(spacing))
    assert found.area_mm2.sum() == pytest.approx(np.pi * 12**2, rel=0.08 if max(spacing) < 1 else 0.16)


@pytest.mark.parametrize("spacing", VOXELS)
def test_a_shell_round_a_ball(spacing):
    far = np.linalg.norm(points(spacing), axis=0) - 14
    found = thickness((far >= 0) & (far < 2.5), far < 0, np.array(spacing))
    assert found.area_mm2.sum() == pytest.approx(4 * np.pi * 14**2, rel=0.03)


def test_parts_of_a_layer_have_its_area_together():
    far = np.linalg.norm(points((0.6, 0.6, 0.6)), axis=0) - 14
    found = thickness((far >= 0) & (far < 2.5), far < 0, np.full(3, 0.6))
    left, covered_left = found.places[:, 0] < 36.5, found.covered[:, 0] < 36.5
    parts = found.at(left, covered_left), found.at(~left, ~covered_left)
    assert sum(part.area_mm2.sum() for part in parts) == pytest.approx(found.area_mm2.sum())
    assert parts[0].area_mm2.sum() == pytest.approx(parts[1].area_mm2.sum(), rel=0.08)
