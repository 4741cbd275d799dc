"""Series of one study help each other: at the same place in the world, and only where that place is the same."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from orthodx.grid.canonical import to_grid
from orthodx.grid.spec import AXES, GridSpec
from orthodx.inference.fuse_views import displacement, fused
from orthodx.inference.predict import Prediction
from orthodx.inference.sights import Sight, seen_from
from orthodx.joints import View
from orthodx.studies.volume import Volume

SPEC = GridSpec(pixel_mm=2.0)
CENTRE = np.array([8.0, -3.0, 14.0])  # of the thigh bone, off the middle in every direction
EGGS = ((CENTRE, (18, 14, 18)), ((2.0, 4.0, -24.0), (20, 12, 16)), ((-14.0, -22.0, 4.0), (9, 8, 12)))  # mm, mm


def lump(world, at=CENTRE):
    """Probability of structure 1: high in three eggs, the first round `at`, falling smoothly."""
    eggs = [np.linalg.norm((world - middle - (at - CENTRE)) / np.array(radii), axis=-1) for middle, radii in EGGS]
    return 1 / (1 + np.exp(9 * (np.min(eggs, axis=0) - 1)))


def slope(world, at=None):
    """A probability that is linear in the world, so that interpolation is exact."""
    return 0.5 + world @ np.array([0.003, -0.002, 0.001])


def sight(view, of=lump, tilt=0.0, flipped=False, moved=(0, 0, 0), strangeness=None, shape=(25, 50, 52)):
    """A series of a view, slices 4 mm and pixels 2 mm, that sees `of` where it is, or `moved` by so many mm."""
    affine = np.eye(4)
    for array, (world, sign) in enumerate(AXES[view]):
        affine[:3, array] = 0
        affine[world, array] = sign * (4.0 if array == 0 else 2.0) * (-1 if flipped else 1)
    a = np.deg2rad(tilt)
    turn = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    affine[:3, :3] = turn @ affine[:3, :3]
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    grid = to_grid(Volume(np.ones(shape, np.float32), affine, "x"), SPEC, view)
    cells = np.stack(np.meshgrid(*map(np.arange, grid.image.shape), indexing="ij"), -1)
    p = of(cells @ grid.affine[:3, :3].T + grid.affine[:3, 3] - np.array(moved))
    probabilities = torch.from_numpy(np.stack([1 - p, p])).half()
    return Sight(f"{view}-{tilt}-{flipped}-{moved}", grid, Prediction(probabilities, {}, strangeness, {}))


@pytest.mark.parametrize("flipped", [False, True])
@pytest.mark.parametrize("tilt", [0.0, 20.0])
@pytest.mark.parametrize("view", list(View))
@pytest.mark.parametrize("other", list(View))
def test_another_series_is_seen_at_its_own_place(view, other, tilt, flipped):
    one, two = sight(view, slope), sight(other, slope, tilt=tilt, flipped=flipped)
    p, shown = seen_from(one.grid, two)
    cells = np.argwhere(shown.numpy())
    assert len(cells) > 2000
    world = cells @ one.grid.affine[:3, :3].T + one.grid.affine[:3, 3]
    inside = np.abs((world - two.grid.affine[:3, 3]) @ np.linalg.inv(two.grid.affine[:3, :3]).T)  # cells of the other
    d = two.grid.size[0]
    assert inside[:, 0].max() <= d - 0.5 + 1e-3
    known = torch.from_numpy(slope(world)).float()
    far = torch.from_numpy((inside[:, 0] > 0) & (inside[:, 0] < d - 1))
    error = (p[1][shown] - known).abs()
    assert error[far].median() < 1e-3  # half precision
    assert error.max() < 0.03  # beyond the middle of its outermost cells it is taken as there


@pytest.mark.parametrize("view", list(View))
def test_what_one_series_misses_the_others_give_back(view):
    whole = {v: sight(v) for v in View}
    own = whole.pop(view)
    spoiled = own.prediction.probabilities.clone()
    middle = own.grid.image.shape[0] // 2
    spoiled[0, middle : middle + 2], spoiled[1, middle : middle + 2] = 0.9, 0.1  # two slices fail
    poor = replace(own, prediction=replace(own.prediction, probabilities=spoiled))
    out = fused(poor, list(whole.values()))
    assert (out.helped, out.apart) == (2, {})
    truth = own.prediction.probabilities.max(0).indices
    before, after = (int((p.max(0).indices != truth).sum()) for p in (spoiled, out.probabilities))
    assert after < before / 2
    assert torch.equal(own.prediction.probabilities, sight(view).prediction.probabilities)  # inputs stay


@pytest.mark.parametrize("view", list(View))
@pytest.mark.parametrize("other", list(View))
@pytest.mark.parametrize("moved", [(0, 0, 0), (7, -6, 4)])
def test_a_patient_who_moved_is_moved_back(view, other, moved):
    own, two = sight(view), sight(other, moved=moved)
    motion = displacement(own, two)
    at = motion[:3, :3] @ CENTRE + motion[:3, 3]  # where the lump lies in the other series
    assert np.abs(at - (CENTRE + moved)).max() < 0.7
    assert np.linalg.det(motion[:3, :3]) == pytest.approx(1, abs=1e-5)
    helped = fused(own, [two])
    truth = own.prediction.probabilities.max(0).indices
    assert helped.helped == 1
    assert (helped.probabilities.max(0).indices != truth).float().mean() < 0.02 * (truth > 0).float().mean()


def test_a_turn_is_found_too():
    def turned(world):
        a = np.deg2rad(15)
        back = np.array([[np.cos(a), np.sin(a), 0], [-np.sin(a), np.cos(a), 0], [0, 0, 1]])
        return lump(world @ back.T)

    own, two = sight(View.SAGITTAL), sight(View.AXIAL, of=turned)
    motion = displacement(own, two)
    known = np.deg2rad(15)
    at = np.array([[np.cos(known), -np.sin(known), 0], [np.sin(known), np.cos(known), 0], [0, 0, 1]]) @ CENTRE
    assert np.abs(motion[:3, :3] @ CENTRE + motion[:3, 3] - at).max() < 0.6


def test_a_series_of_something_else_and_a_strange_one_lend_nothing():
    own, strange = sight(View.SAGITTAL), sight(View.AXIAL, strangeness=1.2)
    other = sight(View.CORONAL, of=lambda world: lump(world[..., [2, 0, 1]]))
    out = fused(own, [other, strange])
    assert torch.equal(out.probabilities, own.prediction.probabilities)
    assert out.helped == 0
    assert list(out.apart) == [other.series_id]
    assert 0 < out.apart[other.series_id] < 0.7
    assert fused(own, [sight(View.AXIAL, strangeness=0.9)]).helped == 1


def test_series_that_do_not_overlap_have_nothing_to_do_with_each_other():
    own, far = sight(View.SAGITTAL), sight(View.AXIAL)
    affine = far.grid.affine.copy()
    affine[0, 3] += 400  # the other knee
    out = fused(own, [replace(far, grid=replace(far.grid, affine=affine))])
    assert (out.helped, out.apart) == (0, {})
    assert torch.equal(out.probabilities, own.prediction.probabilities)
