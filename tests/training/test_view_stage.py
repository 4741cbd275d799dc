"""Stage I: mirrored knees, kept features, and out-of-fold logits that never saw their patient."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from orthodx.grid.region import RegionSpec, joint_region
from orthodx.grid.spec import GridSpec
from orthodx.joints import View
from orthodx.networks.heads.pooled import PooledConfig, SelfAttentionHead
from orthodx.studies.volume import Volume
from orthodx.training.diagnosis import head_stage, summaries, view_stage
from orthodx.training.diagnosis.fusion_stage import folds_of
from orthodx.training.diagnosis.recipe import StageOne
from orthodx.training.diagnosis.study_cases import SeriesRegion
from orthodx.training.diagnosis.summaries import Summaries

CPU = torch.device("cpu")


def kept(folder, image, content="x"):
    np.save(folder / f"{content}.npy", np.asarray(image, np.float16))
    return SeriesRegion(folder / f"{content}.npy", content)


AFFINES = {
    View.SAGITTAL: [[0, 0, 4, -30], [2, 0, 0, -30], [0, 2, 0, -30], [0, 0, 0, 1]],
    View.CORONAL: [[2, 0, 0, -30], [0, 0, 4, -30], [0, 2, 0, -30], [0, 0, 0, 1]],
    View.AXIAL: [[2, 0, 0, -30], [0, 2, 0, -30], [0, 0, 4, -30], [0, 0, 0, 1]],
}


class Fixed:
    """Random numbers that choose to mirror, and nothing else."""

    def __init__(self, mirror):
        self.first = 0.0 if mirror else 1.0

    def random(self):
        return self.first

    def integers(self, low, high):
        return 0

    def uniform(self, low, high):
        return 0.0

    def normal(self, mean, sd, shape=None):
        return 0.0 if shape is None else np.zeros(shape)


@pytest.mark.parametrize("view", list(View))
def test_a_mirrored_right_knee_is_the_left_knee(tmp_path, monkeypatch, view):
    shape = (32, 32, 16)
    affine = np.array(AFFINES[view], float)
    right = np.random.default_rng(0).random(shape).astype(np.float32)
    x_axis = int(np.abs(affine[0, :3]).argmax())
    left = np.flip(right, x_axis).copy()  # the same knee, seen in a mirror of world x
    spec = RegionSpec(slices=16, rows=32, columns=32)
    regions = [joint_region(Volume(v, affine, "x"), GridSpec(pixel_mm=2), view, spec).image for v in (right, left)]
    monkeypatch.setattr(np.random, "default_rng", lambda key: Fixed(mirror=True))
    mirrored = view_stage.augmented(kept(tmp_path, regions[0]), view, [0])
    torch.testing.assert_close(mirrored, regions[1].half().float(), atol=0.02, rtol=0)


def test_a_shifted_region_ends_in_padding_not_in_its_other_edge():
    image = torch.rand(2, 8, 8)
    moved = view_stage._shifted(image, 2, -3)
    assert (moved[:, :2] == -1).all()
    assert (moved[:, :, -3:] == -1).all()
    assert torch.equal(moved[:, 2:, :-3], image[:, :-2, 3:])
    assert torch.equal(view_stage._shifted(image, 0, 0), image)


@pytest.mark.parametrize("trained", [False, True])
def test_out_of_fold_vectors_do_not_depend_on_the_labels_kept_apart(trained):
    torch.manual_seed(0)
    n = 30
    summaries = torch.randn(n, 16, 2, 3, 3)
    truth = np.arange(n)[:, None] % 2 * 1.0
    begun = SelfAttentionHead(PooledConfig(labels=1, block_channels=16))
    folds = folds_of(np.arange(n), 0)

    def apart(truth):
        head, same = copy.deepcopy(begun), {"seed": 0, "positive_weight": torch.ones(1)}
        samples = view_stage.ViewSamples([None] * n, truth, np.ones(n), np.arange(n))
        if trained:  # with its encoder, on all patients
            head_stage.fit_pooling(head, summaries, samples, **same)
        return head_stage.vectors_apart(head, summaries, samples, folds, trained=trained, **same)

    other = truth.copy()
    other[folds[0][1]] = 1 - other[folds[0][1]]
    before, after = apart(truth), apart(other)
    np.testing.assert_array_equal(before[0], after[0])
    assert not np.array_equal(before[1], after[1])


def test_a_head_fitted_by_descent_learns_and_answers_out_of_fold():
    torch.manual_seed(0)
    n, way = 40, StageOne(descent=30, rate=1e-2)
    truth = np.arange(n)[:, None] % 2 * 1.0
    summaries = torch.randn(n, 16, 1, 2, 2) + 1.5 * torch.from_numpy(truth).float()[:, :, None, None, None]
    folds = folds_of(np.arange(n), 0)

    def fitted(truth, trained=False):
        torch.manual_seed(1)
        head = SelfAttentionHead(PooledConfig(labels=1, block_channels=16, tokens=(1, 2, 2)))
        before = {k: v.clone() for k, v in head.state_dict().items()}
        samples = view_stage.ViewSamples([None] * n, truth, np.ones(n), np.arange(n))
        same = {"seed": 0, "positive_weight": torch.ones(1), "way": way, "trained": trained}
        outside = head_stage.by_descent(head, summaries, samples, folds, **same)
        changed = {k for k, v in head.state_dict().items() if not torch.equal(v, before[k])}
        return outside, changed

    outside, changed = fitted(truth)
    assert ((outside > 0) == (truth == 1)).mean() > 0.9
    assert {"classifier.weight", "pool.q_proj.weight", "pool.out_proj.bias"} <= changed
    assert not {"mean", "sd"} & changed
    other = truth.copy()
    other[folds[0][1]] = 1 - other[folds[0][1]]
    again, _ = fitted(other)
    np.testing.assert_array_equal(outside[folds[0][1]], again[folds[0][1]])  # they were not seen
    assert not np.array_equal(outside[folds[1][1]], again[folds[1][1]])
    kept, untouched = fitted(truth, trained=True)
    np.testing.assert_array_equal(kept, outside)
    assert not untouched


class Reader(nn.Module):
    """An encoder of one block, the image itself, as deep as asked."""

    def features(self, image, timestep, blocks):
        return {"mid": image.repeat(1, 1, 1, 1, 1)}


class Strong(nn.Module):
    blocks, detail = ("mid",), 1

    def summary(self, features, image):
        return features["mid"].amax((2, 3, 4))


class Weak(Strong):
    def summary(self, features, image):
        return features["mid"].amin((2, 3, 4))


class Whole(Strong):
    def summary(self, features, image):
        return features["mid"]


def test_heads_without_weights_do_not_read_each_others_summaries(tmp_path):
    region = kept(tmp_path, np.random.default_rng(0).normal(0, 1, (4, 8, 8)))
    (strong,), (weak,) = (Summaries(tmp_path, Reader(), head(), CPU)([region]) for head in (Strong, Weak))
    assert strong.item() > 0 > weak.item()


class Averaged(Strong):
    def __init__(self, rows):
        super().__init__()
        self.config = PooledConfig(block_channels=1, tokens=(1, rows, rows))

    def summary(self, features, image):
        return torch.nn.functional.adaptive_avg_pool3d(features["mid"], self.config.tokens)


def test_summaries_of_other_positions_are_not_read(tmp_path):
    region = kept(tmp_path, np.random.default_rng(0).normal(0, 1, (4, 8, 8)))
    (coarse,), (fine,) = (Summaries(tmp_path, Reader(), Averaged(rows), CPU)([region]) for rows in (2, 4))
    assert (coarse.shape[-1], fine.shape[-1]) == (2, 4)


def test_a_large_summary_is_the_same_when_it_is_read_again(tmp_path):
    region = kept(tmp_path, np.random.default_rng(0).normal(0, 1, (4, 40, 40)) * 1.0001)
    one, two = (Summaries(tmp_path, Reader(), SimpleWhole(), CPU)([region])[0] for _ in range(2))
    assert torch.equal(one, two)


class SimpleWhole(Whole):
    def summary(self, features, image):
        return features["mid"] / 3


def test_features_of_another_precision_are_computed_anew(tmp_path, monkeypatch):
    region, found = kept(tmp_path, np.ones((2, 4, 4))), []
    for native in (False, True, False):
        monkeypatch.setattr(summaries, "native_bf16", lambda device, native=native: native)
        Summaries(tmp_path / "features", Reader(), SimpleWhole(), CPU)([region])
        found.append(len(list((tmp_path / "features").iterdir())))
    assert found == [1, 2, 2]
