"""3D series are read in three planes of one world, whichever way their arrays run; thick ones in their own."""

from dataclasses import dataclass, field
from itertools import permutations, product
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from orthodx.grid.canonical import to_grid
from orthodx.grid.spec import GridSpec
from orthodx.inference.predict import Look, Prediction
from orthodx.inference.sights import THIN_MM, Sight, can_be_cut, in_all_planes, see
from orthodx.joints import View
from orthodx.studies.volume import Volume

SPEC = GridSpec(pixel_mm=1.5)
MIDDLES, RADII = ((6.0, -4.0, 9.0), (-12.0, 8.0, -10.0)), ((14, 9, 11), (7, 12, 8))  # mm


@dataclass
class Bright:
    """Takes what is bright for structure 1; remembers what it was shown."""

    views: tuple[View, ...] = tuple(View)
    shown: list = field(default_factory=list)
    grid = SPEC

    @property
    def bundle(self):
        return SimpleNamespace(info=SimpleNamespace(encoders=dict.fromkeys(self.views)))

    def look(self, image, view, blocks=()):
        self.shown.append((view, tuple(image.shape)))
        p = (image + 1) / 2
        return Look(torch.stack([1 - p, p]).half(), {})

    def __call__(self, grid, blocks=(), *, twice=True):
        self.shown.append("twice" if twice else "once")
        return Prediction(self.look(grid.image, grid.view).probabilities, {1: "firm"}, 0.7, {})


def eggs(order=(0, 1, 2), signs=(1, 1, 1), tilt=0.0, mm=(1.5, 0.8, 0.8), shape=(44, 84, 80)):
    """A volume that is bright in two eggs of the world; array axis a runs along world axis order[a]."""
    affine = np.eye(4)
    affine[:3, :3] = 0
    for array, world in enumerate(order):
        affine[world, array] = signs[array] * mm[array]
    a = np.deg2rad(tilt)
    affine[:3, :3] = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]]) @ affine[:3, :3]
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    world = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1) @ affine[:3, :3].T + affine[:3, 3]
    far = [np.linalg.norm((world - m) / np.array(r), axis=-1) for m, r in zip(MIDDLES, RADII, strict=True)]
    return Volume((1000 / (1 + np.exp(6 * (np.min(far, axis=0) - 1)))).astype(np.float32), affine, "eggs")


@pytest.mark.parametrize("tilt", [0.0, 20.0])
@pytest.mark.parametrize(
    ("order", "signs"), [(o, s) for o, s in product(permutations(range(3)), product((1, -1), repeat=3)) if s[0] == s[1]]
)
def test_the_planes_show_one_world_whichever_way_the_array_runs(order, signs, tilt):
    volume, reads = eggs(order, signs, tilt), Bright()
    view = (View.SAGITTAL, View.CORONAL, View.AXIAL)[order[0]]
    sight = see(reads, SimpleNamespace(series_id="s", view=view), volume)
    assert sight.planes == 3
    assert {one[0] for one in reads.shown if one != "twice"} == set(View)
    own = (sight.grid.image + 1) / 2
    apart = (sight.prediction.probabilities[1] - own).abs()
    inside = own > 0.02
    assert inside.sum() > 2000
    assert float(apart[inside].mean()) < 0.03  # a voxel's shift would make it 0.1
    assert float(apart.max()) < 0.25
    assert (sight.prediction.firm, sight.prediction.strangeness) == ({1: "firm"}, 0.7)


def test_one_look_in_its_own_plane_where_time_is_short():
    reads = Bright()
    sight = see(reads, SimpleNamespace(series_id="s", view=View.SAGITTAL), eggs(), fast=True)
    assert (sight.planes, reads.shown[0], len(reads.shown)) == (1, "once", 2)


def test_a_model_of_one_view_reads_one_plane_and_one_of_two_reads_two():
    for views in ((View.SAGITTAL,), (View.SAGITTAL, View.AXIAL)):
        sight = see(Bright(views), SimpleNamespace(series_id="s", view=View.SAGITTAL), eggs())
        assert sight.planes == len(views)


@pytest.mark.parametrize(
    ("mm", "shape", "thin"),
    [
        ((THIN_MM, 0.4, 0.4), (9, 20, 20), True),
        ((THIN_MM + 0.1, 0.4, 0.4), (9, 20, 20), False),
        ((1.0, 1.0, 1.0), (20, 20, 20), True),
        ((1.0, 0.4, 0.4), (1, 20, 20), False),
    ],
)
def test_only_thin_slices_are_cut_anew(mm, shape, thin):
    volume = eggs(mm=mm, shape=shape)
    assert can_be_cut(volume, to_grid(volume, SPEC, View.SAGITTAL)) == thin


def test_a_view_that_contradicts_the_world_stays_alone():
    volume = eggs()
    grid = to_grid(volume, SPEC, View.AXIAL)  # said by the user, of slices that lie sagittal in the world
    assert not can_be_cut(volume, grid)


def test_what_no_other_plane_shows_is_told_by_its_own():
    volume, reads = eggs(), Bright()
    grid = to_grid(volume, SPEC, View.SAGITTAL)
    own = Sight("s", grid, reads(grid))
    mean = in_all_planes(reads, own, volume).prediction.probabilities
    top = (grid.image.shape[1] - grid.size[1]) // 2
    assert top > 1
    assert torch.equal(mean[:, :, : top - 1], own.prediction.probabilities[:, :, : top - 1])  # beyond the volume
    assert torch.allclose(mean.sum(0).float(), torch.ones(mean.shape[1:]), atol=0.01)
