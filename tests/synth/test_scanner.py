"""The scanner: physics that holds, images that replay, truth that lies where the tissue is."""

import numpy as np
import pytest
import torch

from orthodx.grid.spec import GridSpec
from orthodx.joints import View
from orthodx.synth.artefacts import rician
from orthodx.synth.deformation import NO_DEFORMATION, random_deformation
from orthodx.synth.knee.tissues import TISSUES
from orthodx.synth.scanner import make_plane, render, sample_scan
from orthodx.synth.signals import mr_like_signal, random_signal, sequence_signal
from orthodx.synth.source import SyntheticSource


def of(signal, name):
    return signal[TISSUES[name]]


def test_contrasts_order_tissues_as_in_life():
    t1 = sequence_signal(TISSUES, "T1", 600, 12, 1.5, False)
    t2 = sequence_signal(TISSUES, "T2", 4000, 80, 1.5, False)
    pdfs = sequence_signal(TISSUES, "PD", 3000, 30, 3.0, True)
    assert of(t1, "fat") > of(t1, "muscle") > of(t1, "fluid")
    assert of(t2, "fluid") > of(t2, "femoral_cartilage") > of(t2, "muscle") > of(t2, "medial_meniscus")
    assert of(pdfs, "fluid") > of(pdfs, "femoral_cartilage") > of(pdfs, "femur")
    for signal in (t1, t2, pdfs):
        assert max(of(signal, "patellar_tendon"), of(signal, "femur_cortex")) < 0.2


def test_random_contrasts_colour_every_tissue():
    rng = np.random.default_rng(0)
    for make in (random_signal, mr_like_signal):
        signal = make(rng, TISSUES)
        assert all(signal[v] > 0 for name, v in TISSUES.items() if name != "air")


def scan(knee, view, seed=0, deformation=NO_DEFORMATION, angles=(0, 0, 0)):
    rng = np.random.default_rng(seed)
    plane = make_plane(view, (24, 96, 96), (4.0, 1.5), 3.5, np.zeros(3), angles)
    params = sample_scan(rng, plane, sequence_signal(TISSUES, "PD", 3000, 30, 1.5, False), 0.01)
    image, truth = render(torch.from_numpy(knee.tissues), knee.affine, params, deformation, TISSUES)
    return image, truth, plane


@pytest.mark.parametrize("view", list(View))
def test_truth_lies_where_the_anatomy_is(knee, view):
    _, truth, plane = scan(knee, view, angles=(5, -4, 3))
    for value in (1, 2, 4):
        index = np.argwhere(truth.numpy() == value)
        world = index @ plane.affine[:3, :3].T + plane.affine[:3, 3]
        voxel = np.rint((world - knee.affine[:3, 3]) / knee.spacing_mm).astype(int)
        assert (TISSUES.structure_of[knee.tissues[tuple(voxel.T)]] == value).mean() > 0.97


def test_an_image_replays_from_its_parameters(knee):
    first, again = scan(knee, View.SAGITTAL), scan(knee, View.SAGITTAL)
    assert torch.equal(first[0], again[0])
    assert not torch.equal(first[0], scan(knee, View.SAGITTAL, seed=1)[0])


def test_bone_is_darker_at_its_cortex_and_air_is_dark(knee):
    image, truth, _ = scan(knee, View.SAGITTAL)
    assert image[truth == 1].median() > 3 * image[:, :2, :2].median()


def test_noise_in_air_is_rayleigh():
    noisy = rician(torch.zeros(8, 64, 64), 0.1, torch.Generator().manual_seed(0))
    assert noisy.mean().item() == pytest.approx(0.1 * np.sqrt(np.pi / 2), rel=0.02)


@pytest.mark.parametrize("seed", range(20))
def test_deformations_are_one_to_one(seed):
    deformation = random_deformation(np.random.default_rng(seed), warp_mm=4)
    axis = torch.linspace(-90, 90, 25)
    world = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), -1)
    moved = deformation(world)
    jacobian = torch.stack([torch.diff(moved, dim=a)[:24, :24, :24] / 7.5 for a in range(3)], -1)
    determinant = torch.linalg.det(jacobian)
    assert (determinant * np.sign(np.linalg.det(deformation.matrix)) > 0.05).all()


def test_the_source_is_a_function_of_seed_number_and_view(knee):
    source = SyntheticSource([(knee.tissues, knee.affine)], GridSpec(), crop=(6, 48, 48), seed=4)
    image, truth = source[7, View.AXIAL]
    assert image.shape == (1, 6, 48, 48)
    assert truth.dtype == torch.uint8
    assert -1 <= image.min() < image.max() <= 1
    assert torch.equal(image, source[7, View.AXIAL][0])
    assert not torch.equal(image, source[8, View.AXIAL][0])
    assert int(truth.max()) <= 11


def test_medial_stays_medial_in_a_mirrored_knee(knee):
    mirrored = random_deformation(np.random.default_rng(0), mirror=True, scale_sd=0, warp_mm=0)
    _, plain, plane = scan(knee, View.CORONAL)
    _, turned, _ = scan(knee, View.CORONAL, deformation=mirrored)

    def offset(truth):
        x = [np.argwhere(truth.numpy() == v).mean(0)[2] for v in (8, 9)]
        return (x[0] - x[1]) * np.sign(plane.affine[0, 2])

    assert offset(plain) * offset(turned) < 0
