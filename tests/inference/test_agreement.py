"""Quality is how far two looks agree: 1 for what follows the image, 0 for what follows the place in it."""

import csv

import pytest
import torch

from orthodx.inference.segment import segment

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
