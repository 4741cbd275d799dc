"""Surface scores against MONAI's own metrics and against every pair of surface voxels."""

import numpy as np
import pytest
import torch
from monai.metrics import compute_average_surface_distance, compute_hausdorff_distance, compute_surface_dice

from orthodx.evaluation.surfaces import surface_scores


def blobs(seed, shape=(12, 14, 9)):
    rng = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1)
    out = []
    for _ in range(2):
        centre, radii = np.array(shape) / 2 + rng.normal(0, 1, 3), rng.uniform(2, 4, 3)
        out.append((((grid - centre) / radii) ** 2).sum(-1) < 1)
    return out


def every_pair(a, b, spacing):
    """Directed distances by the definition, no tree and no transform."""

    def surface(mask):
        padded = np.pad(mask, 1)
        inner = padded.copy()
        for axis in range(3):
            inner &= np.roll(padded, 1, axis) & np.roll(padded, -1, axis)
        return np.argwhere((padded & ~inner)[1:-1, 1:-1, 1:-1]) * spacing

    distance = np.linalg.norm(surface(a)[:, None] - surface(b)[None], axis=-1)
    return distance.min(1), distance.min(0)


@pytest.mark.filterwarnings("ignore:.*always_return_as_numpy:FutureWarning")  # MONAI 1.6 warns of its own call
@pytest.mark.parametrize("seed", range(6))
def test_scores_equal_monai_and_brute_force_on_thick_slices(seed):
    a, b = blobs(seed)
    spacing = np.array([0.5, 0.7, 3.0])
    found = surface_scores(a, b, spacing, 1.0)
    there, back = every_pair(a, b, spacing)
    assert found.hd95_mm == pytest.approx(max(np.percentile(there, 95), np.percentile(back, 95)), abs=1e-6)
    assert found.assd_mm == pytest.approx(np.concatenate([there, back]).mean(), abs=1e-6)
    assert found.nsd == pytest.approx((np.concatenate([there, back]) <= 1.0).mean(), abs=1e-6)
    one, two = (torch.tensor(x)[None, None].float() for x in (a, b))
    how = {"include_background": True, "spacing": spacing.tolist()}
    hausdorff = compute_hausdorff_distance(one, two, percentile=95, **how).item()
    assert found.hd95_mm == pytest.approx(hausdorff, abs=1e-5)  # its quantile is single precision
    mean = compute_average_surface_distance(one, two, symmetric=True, **how).item()
    assert found.assd_mm == pytest.approx(mean, abs=1e-6)
    dice = compute_surface_dice(one, two, class_thresholds=[1.0], **how).item()
    assert found.nsd == pytest.approx(dice, abs=1e-6)


def test_a_shift_of_one_thick_slice_is_that_far():
    a = np.zeros((20, 20, 10), bool)
    a[5:15, 5:15, 3:6] = True
    moved = surface_scores(np.roll(a, 1, 2), a, np.array([0.5, 0.5, 4.0]), 1.0)
    assert moved.hd95_mm == pytest.approx(4.0)
    assert surface_scores(a, a, np.array([0.5, 0.5, 4.0]), 1.0).nsd == 1.0


def test_an_empty_mask_has_no_surface():
    with pytest.raises(ValueError, match="empty"):
        surface_scores(np.zeros((9, 9, 9), bool), np.ones((9, 9, 9), bool), np.ones(3), 1.0)
