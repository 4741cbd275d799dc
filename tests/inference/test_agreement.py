"""Quality is how far two looks agree: 1 for what follows the image, 0 for what follows the place in it."""

import csv

import numpy as np
import pytest
import torch
from torch.nn import functional

from orthodx.grid.canonical import GridImage
from orthodx.inference.predict import Segmenter
from orthodx.inference.segment import segment
from orthodx.joints import View

FEMUR, TIBIA = 1, 2


def follows_image_and_place(self, features, image):
    """Logits (1, 12, D, H, W): bright is femur; the rest is tibia, firmly in every second stripe of 8 columns only."""
    bright = image[:, 0] > 0
    stripe = (torch.arange(image.shape[-1]) // 8 % 2 == 0).expand_as(bright)
    p = torch.full((1, 12, *image.shape[2:]), 1e-4)
    p[:, FEMUR] = torch.where(bright, 0.9, 1e-4)
    p[:, TIBIA] = torch.where(bright, 1e-4, torch.where(stripe, 0.9, 0.4))
    p[:, 0] = torch.where(bright, 0.1, torch.where(stripe, 0.1, 0.6))
    return p.log()


@pytest.fixture
def told(bundle, images, tmp_path, monkeypatch):
    """The case of a series, and its rows of volumes.csv by structure."""
    monkeypatch.setattr(type(bundle.head("segment")), "forward", follows_image_and_place)
    (case,) = segment([images["sagittal"]], tmp_path, model=bundle.path, device="cpu", preview=False)
    with (tmp_path / "volumes.csv").open(newline="") as file:
        return case, {row["structure"]: row for row in csv.DictReader(file)}


def test_volumes_tell_the_agreement_of_each_structure_that_was_found(told):
    _, rows = told
    assert float(rows["femur"]["quality"]) == 1
    assert float(rows["tibia"]["quality"]) == 0
    assert all(int(rows[name]["voxels"]) > 0 for name in ("femur", "tibia"))
    assert rows["acl"]["quality"] == ""


def test_a_reader_is_warned_of_the_structure_on_which_two_looks_disagree(told):
    case, _ = told
    assert case.status == "warned"
    assert "tibia is unsure (agreement 0.00)" in case.reason
    assert "femur" not in case.reason


def follows_surroundings(self, features, image):
    """Logits: femur where the mean of 9 x 9 pixels is bright; beyond the image it goes on as at the edge."""
    around = functional.avg_pool2d(functional.pad(image[:, 0], (4, 4, 4, 4), mode="replicate"), 9, stride=1)
    p = torch.full((1, 12, *image.shape[2:]), 1e-4)
    p[:, FEMUR], p[:, 0] = torch.where(around > 0, 0.9, 1e-4), torch.where(around > 0, 1e-4, 0.9)
    return p.log()


def test_the_edge_of_an_image_does_not_see_the_opposite_edge(bundle, monkeypatch):
    monkeypatch.setattr(type(bundle.head("segment")), "forward", follows_surroundings)
    image = torch.full((6, 32, 32), -1.0)
    image[:, -3:] = 1  # a bone that the field of view cuts
    affine = np.diag([4.0, 1, 1, 1])
    grid = GridImage(image, affine, (0, 1, 2), (False,) * 3, (6, 32, 32), (6, 32, 32), View.SAGITTAL)
    firm = Segmenter(bundle, torch.device("cpu"))(grid).firm
    assert firm[FEMUR].agreement > 0.99
