"""What orthodx does itself, beside what MONAI and torch have for it: processor time, and how far results differ.

    OMP_NUM_THREADS=1 python examples/benchmarks/libraries.py

One line a comparison: seconds of processor time (of calls the least of three), then the difference. What follows from
it stands in docs/design.md.
"""

import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np
import torch
from monai.inferers import sliding_window_inference
from monai.losses import DiceCELoss
from monai.metrics import compute_dice
from monai.networks.schedulers import DDPMScheduler
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from orthodx.bundles.bundle import open_bundle
from orthodx.evaluation.overlap import dice_by_structure
from orthodx.grid.windows import blend, windows
from orthodx.networks.diffusion import T, cosine_abar
from orthodx.networks.heads.skip_segment import dice_and_cross_entropy
from orthodx.training.ema import Ema

SLICES, OVERLAP, CLASSES = 16, 6, 12


def least(work: Callable[[], object], times: int = 3) -> float:
    """Processor seconds of this process for one call."""
    found = []
    for _ in range(times):
        start = time.process_time()
        work()
        found.append(time.process_time() - start)
    return min(found)


def imports() -> None:
    """What a command would wait for at its start."""
    line = "import time, torch; s = time.process_time(); import {}; print(time.process_time() - s)"
    for module in ("monai.inferers", "monai.losses", "monai.metrics", "orthodx.inference.predict"):
        command = [sys.executable, "-c", line.format(module)]
        seconds = subprocess.run(command, capture_output=True, check=True, text=True).stdout
        print(f"import {module}, after torch: {float(seconds):.2f} s")


def sliding() -> None:
    """Windows over slices, a network that costs nothing."""
    image = torch.rand(40, 256, 256)
    weight = torch.rand(CLASSES)

    def network(x: torch.Tensor) -> torch.Tensor:
        return torch.softmax(x * weight[None, :, None, None, None], 1)

    def own() -> torch.Tensor:
        total = torch.zeros((CLASSES, *image.shape), dtype=torch.float16)
        share = torch.zeros(image.shape[0])
        for part in windows(image.shape[0], SLICES, OVERLAP):
            p = network(image[part][None, None])[0]
            w = blend(p.shape[1])
            total[:, part] += (p * w[:, None, None]).half()
            share[part] += w
        return total.div_(share[:, None, None].half())

    def monai() -> torch.Tensor:
        roi = (SLICES, *image.shape[1:])
        return sliding_window_inference(image[None, None], roi, 1, network, OVERLAP / SLICES, mode="gaussian")[0]

    print(f"windows: own {least(own):.2f} s, MONAI {least(monai):.2f} s")
    seen: list[tuple[int, ...]] = []
    sliding_window_inference(
        image[None, None, :9], (SLICES, 256, 256), 1, lambda x: seen.append(tuple(x.shape[2:])) or x
    )
    print(f"windows: 9 slices reach the network as {seen[0][0]} slices by MONAI, as 9 by own")


def losses() -> None:
    """Soft Dice + cross-entropy of one sample in which one structure is absent, forward and backward."""
    torch.manual_seed(0)
    logits = torch.randn(1, CLASSES, 8, 128, 128, requires_grad=True)
    target = torch.randint(0, CLASSES - 1, (1, 8, 128, 128))
    monai = DiceCELoss(include_background=False, to_onehot_y=True, softmax=True, batch=True)

    def both(loss: Callable[[], torch.Tensor]) -> float:
        return least(lambda: loss().backward())

    ours, theirs = lambda: dice_and_cross_entropy(logits, target), lambda: monai(logits, target[:, None])
    print(f"loss: own {both(ours):.3f} s, {ours().item():.4f}; MONAI {both(theirs):.3f} s, {theirs().item():.4f}")


def averages() -> None:
    """The mean of an encoder's weights after three steps."""
    encoder = open_bundle("knee-small").encoder("sagittal")
    own = Ema({"encoder": encoder}, 0.999)
    averaged = AveragedModel(encoder, multi_avg_fn=get_ema_multi_avg_fn(0.999))
    with torch.no_grad():
        for step in range(3):
            for p in encoder.parameters():
                p.add_(0.01)
            own.update(step)
            averaged.update_parameters(encoder)
    twin = own.twin("encoder")
    apart = max(
        float((a - b).abs().max()) for a, b in zip(twin.parameters(), averaged.module.parameters(), strict=True)
    )
    own_s, torch_s = least(lambda: own.update(9)), least(lambda: averaged.update_parameters(encoder))
    print(f"EMA: own {1000 * own_s:.1f} ms, AveragedModel {1000 * torch_s:.1f} ms a step, apart {apart:.4f}")


def schedules() -> None:
    """The signal that is left at each timestep."""
    theirs = DDPMScheduler(num_train_timesteps=T, schedule="cosine").alphas_cumprod
    print(f"cosine schedule: apart {float((cosine_abar().float() - theirs).abs().max()):.1e}")


def dice() -> None:
    """Dice of eleven structures in a series of 24 x 512 x 512."""
    rng = np.random.default_rng(0)
    a, b = (rng.integers(0, CLASSES, (24, 512, 512)).astype(np.uint8) for _ in range(2))
    values = range(1, CLASSES)

    def monai() -> torch.Tensor:
        one_hot = (torch.from_numpy(np.stack([one == v for v in values]))[None] for one in (a, b))
        return compute_dice(*one_hot)

    apart = float(np.abs(np.array([*dice_by_structure(a, b, values).values()]) - monai().numpy()[0]).max())
    own_s, monai_s = least(lambda: dice_by_structure(a, b, values)), least(monai)
    print(f"Dice: own {own_s:.2f} s, MONAI {monai_s:.2f} s, apart {apart:.1e}")


if __name__ == "__main__":
    for compare in (imports, sliding, losses, averages, schedules, dice):
        compare()
