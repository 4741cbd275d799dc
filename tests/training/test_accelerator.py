"""A step on an accelerator: what is copied to it, how often it is waited for, what it could not hold.

The meta device stands for one: it takes every operation, and what is read from it is counted here.
"""

import os

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from orthodx.joints import DEFAULT_JOINT, View
from orthodx.networks.device import pick_device
from orthodx.networks.diffusion import cosine_abar
from orthodx.networks.encoders.ortho import OrthoConfig, OrthoEncoder
from orthodx.networks.heads.evidence import EvidenceConfig, EvidenceHead
from orthodx.networks.heads.skip_segment import dice_and_cross_entropy
from orthodx.networks.reading import Noising, Reader
from orthodx.training import checkpoint, loop, optimise
from orthodx.training.denoising.fit import Denoising, PretrainConfig, draw
from orthodx.training.denoising.objective import Align, Denoise, Distil
from orthodx.training.denoising.samples import write_samples
from orthodx.training.distributed import Team
from orthodx.training.ema import Ema
from orthodx.training.masks.fit import DenseLesson, MasksConfig
from orthodx.training.masks.tasks import JointTask, SegmentTask
from orthodx.training.optimise import feed

DEVICE = torch.device("meta")
TEAM = Team(DEVICE)
TINY = OrthoConfig(channels=(8, 8, 8, 8), time_channels=8)
CROP = (4, 32, 32)


class Accelerator(TorchDispatchMode):
    """Keeps what is copied to the device and from it; refuses what MPS refuses, and to wait for a single number."""

    def __init__(self):
        super().__init__()
        self.to, self.back = [], []

    def __torch_dispatch__(self, call, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        there = any(isinstance(a, torch.Tensor) and a.device == DEVICE for a in args)
        name = call.overloadpacket.__name__
        assert not (there and name in ("_local_scalar_dense", "nonzero", "masked_select", "unique_dim")), call
        if name == "_to_copy" and there and kwargs.get("device") == torch.device("cpu"):
            self.back.append(args[0].shape)
            return torch.zeros(args[0].shape, dtype=kwargs.get("dtype") or args[0].dtype)
        if name == "_to_copy" and not there and kwargs.get("device") == DEVICE:
            self.to.append((tuple(args[0].shape), bool(kwargs.get("non_blocking"))))
        out = call(*args, **kwargs)
        for one in out if isinstance(out, (tuple, list)) else [out]:
            if isinstance(one, torch.Tensor) and one.device == DEVICE:
                assert one.dtype is not torch.float64, f"{call} makes float64 on the device"
        return out


class Images:
    """Structures, or structures and lesions, of noise."""

    def __init__(self, truths=()):
        self.truths = truths

    def __getitem__(self, key):
        return torch.zeros(1, *CROP), torch.zeros(*self.truths, *CROP, dtype=torch.uint8)


@pytest.fixture
def seeded(monkeypatch):
    """Devices of the generators that are made; the meta device has none of its own."""
    real, devices = torch.Generator, []

    class Generator:
        def __new__(cls, device="cpu"):
            devices.append(torch.device(device).type)
            return real()

    monkeypatch.setattr(torch, "Generator", Generator)
    monkeypatch.setitem(OrthoEncoder.presets, "tiny", TINY)
    monkeypatch.setattr(checkpoint, "save", lambda *_: None)
    return devices


def trained(lesson, tmp_path, steps):
    """The accelerator that has made so many steps."""
    schedule = loop.Schedule(steps=steps, end=steps, warmup=1, seed=0, log_every=1, save_every=100)
    state = tmp_path / "checkpoint.safetensors"
    with Accelerator() as device:
        loop.train(lesson, schedule, state, {}, team=TEAM, resume=False, say=lambda _: None)
    return device


def denoising(objective, tmp_path, **more):
    config = PretrainConfig(view=View.SAGITTAL, preset="tiny", steps=3, batch=2, **more)
    ema = Ema({"encoder": objective.encoder})
    return Denoising(config, objective, ema, Images(), None, tmp_path, team=TEAM, workers=0)


def objectives():
    encoder = OrthoEncoder(TINY)
    yield Denoise(encoder)
    yield Distil(encoder, OrthoEncoder(TINY).to(DEVICE), 1.0)
    yield Align(encoder, OrthoEncoder(TINY).to(DEVICE), 1.0)


@pytest.mark.parametrize("number", range(3))
def test_a_pretraining_step_waits_once_and_copies_images_and_timesteps_only(tmp_path, seeded, number):
    objective = list(objectives())[number].to(DEVICE)
    device = trained(denoising(objective, tmp_path, accumulate=2), tmp_path, steps=3)
    assert len(device.back) == 3  # gradient and losses together, for the guard
    batch = [((2, 1, *CROP), True), *[((2,), True)] * objective.draws]
    assert device.to == batch * 2 * 3
    assert seeded.count("meta") == objective.draws * 2 * 2 * 3  # noise is drawn on the device


@pytest.mark.parametrize(("task", "truths"), [(SegmentTask(DEFAULT_JOINT), ()), (JointTask(DEFAULT_JOINT), (2,))])
def test_a_step_from_masks_waits_once(tmp_path, seeded, task, truths):
    config = MasksConfig(views=(View.SAGITTAL,), preset="tiny", steps=3, crop=CROP)
    lesson = DenseLesson(config, task, Images(truths), None, {}, {}, tmp_path, team=TEAM, workers=0)
    device = trained(lesson, tmp_path, steps=3)
    assert len(device.back) == 3
    assert all(non_blocking for _, non_blocking in device.to)
    assert device.to[:2] == [((2, 1, *CROP), True), ((2, *truths, *CROP), True)]


def test_reading_and_drawing_leave_no_float64_on_the_device(tmp_path, seeded):
    with Accelerator() as device:
        encoder = OrthoEncoder(TINY)
        reader = Reader(lambda _: encoder, DEVICE, Noising(timestep=50))
        head = EvidenceHead(EvidenceConfig(block_channels=(8, 8, 8, 8))).to(DEVICE)
        reader(View.SAGITTAL, torch.zeros(1, 1, *CROP), head)
        write_samples(tmp_path / "a.png", reader.encoder(View.SAGITTAL), cosine_abar(), CROP, steps=2, device=DEVICE)
    assert len(device.back) == 1
    assert (tmp_path / "a.png").is_file()


@pytest.mark.parametrize(("cuda", "taken"), [(True, "cuda"), (False, "cpu")])
def test_mps_is_taken_only_where_it_is_asked_for(monkeypatch, cuda, taken):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert pick_device("auto").type == taken
    assert pick_device("mps").type == "mps"


def test_no_network_that_is_trained_brings_float64_to_the_device():
    with Accelerator():
        for objective in objectives():
            assert next(objective.to(DEVICE).parameters()).device == DEVICE


def test_the_cpu_draws_timesteps_and_noise_of_a_sample_from_one_generator():
    t, noise = draw(7, 10, torch.zeros(2, 1, *CROP))
    generator = torch.Generator().manual_seed(7 * 1_000_003 + 11)
    assert torch.equal(t[1], torch.randint(0, 1000, (), generator=generator))
    assert torch.equal(noise[1], torch.randn(1, *CROP, generator=generator))


@pytest.mark.parametrize(("device", "pinned"), [("cpu", False), ("cuda", True), ("mps", False)])
def test_batches_for_cuda_lie_in_pinned_memory(monkeypatch, device, pinned):
    asked = []
    monkeypatch.setattr(optimise, "DataLoader", lambda *_, **options: asked.append(options) or [])
    assert list(feed(Images(), 0, 0, 1, [], 0, team=Team(torch.device(device)))) == []
    assert asked[0]["pin_memory"] is pinned


class Workers:
    def __getitem__(self, key):
        return torch.zeros(1, *CROP), torch.tensor(os.getpid())


def test_the_same_workers_prepare_the_first_and_the_last_step():
    order = [View.SAGITTAL, View.AXIAL] * 4
    batches = feed(Workers(), 0, 8, 2, order, 2, team=Team(torch.device("cpu")))
    workers = {int(one) for _, _, truth in batches for one in truth}
    assert len(workers) == 2
    assert os.getpid() not in workers


@pytest.mark.parametrize("classes", [(0, 1, 3), (0,), (0, 1, 2, 3, 4)])
def test_the_gradient_of_the_dice_is_to_the_bit_that_of_the_structures_present(classes):
    torch.manual_seed(0)
    target = torch.tensor(classes)[torch.randint(len(classes), (2, *CROP))]
    logits = torch.randn(2, 5, *CROP, requires_grad=True)
    found = dice_and_cross_entropy(logits, target)
    (gradient,) = torch.autograd.grad(found, logits)
    p, truth = logits.softmax(1), torch.nn.functional.one_hot(target, 5).movedim(-1, 1).float()
    dice = (2 * (p * truth).sum((0, 2, 3, 4)) + 1) / (p.sum((0, 2, 3, 4)) + truth.sum((0, 2, 3, 4)) + 1)
    plain, present = torch.nn.functional.cross_entropy(logits, target), [c for c in classes if c]
    plain = 1 - dice[present].mean() + plain if present else plain
    torch.testing.assert_close(found, plain)
    assert torch.equal(gradient, torch.autograd.grad(plain, logits)[0])
