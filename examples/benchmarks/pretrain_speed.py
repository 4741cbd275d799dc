"""How fast pretraining steps are: volumes and GFLOP a second, and the share of a matrix product's rate.

    python examples/benchmarks/pretrain_speed.py [--encoder ortho] [--presets small base] [--batch 4] [--steps 5]

One step is what `orthodx pretrain` does with a batch: noise, forward, backward, guarded AdamW step, weight average;
images are drawn once, so making them is not part of it. Presets are interleaved, medians. Work counts convolutions
and products, forward and backward; the peak is the best of some square matrix products in the step's precision.
"""

import argparse
import os
import statistics
import time

import torch
from torch.utils.flop_counter import FlopCounterMode

from orthodx.networks import ENCODERS
from orthodx.networks.device import pick_device
from orthodx.networks.precision import autocast, native_bf16
from orthodx.training.denoising.fit import draw
from orthodx.training.denoising.objective import Denoise
from orthodx.training.ema import Ema
from orthodx.training.optimise import guarded_step


class Trainer:
    """One preset with its optimiser; calling it makes one step."""

    def __init__(self, encoder: str, preset: str, images: torch.Tensor) -> None:
        torch.manual_seed(0)
        cls = ENCODERS.get(encoder)
        self.model = cls(cls.preset(preset)).to(images.device)
        self.objective, self.images, self.done = Denoise(self.model).to(images.device), images, 0
        self.ema = Ema({"encoder": self.model}, 0.999)
        self.optimizer = torch.optim.AdamW(self.objective.parameters(), lr=4e-4, weight_decay=0.01)

    def __call__(self) -> None:
        t, noise = draw(0, self.done, self.images)
        self.optimizer.zero_grad(set_to_none=True)
        with autocast(self.images.device):
            loss = self.objective(self.images, [(t.to(self.images.device, non_blocking=True), noise)])["loss"]
        loss.mean().backward()
        guarded_step(self.optimizer, {"loss": loss})
        self.ema.update(self.done)
        self.done += 1


def seconds(step: Trainer, device: torch.device) -> float:
    """Wall time of one step."""
    began = time.perf_counter()
    step()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - began


def product_rate(device: torch.device, n: int = 3072) -> float:
    """GFLOP/s of the best of some n x n matrix products in the step's precision."""
    dtype = torch.bfloat16 if native_bf16(device) else torch.float32
    a, best = torch.randn(n, n, device=device).to(dtype), float("inf")
    for _ in range(4):
        began = time.perf_counter()
        (a @ a)[0, 0].item()
        best = min(best, time.perf_counter() - began)
    return 2 * n**3 / 1e9 / best


def main() -> None:
    """Count, time, print Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--encoder", default="ortho")
    parser.add_argument("--presets", nargs="+", default=["small", "base"])
    parser.add_argument("--crop", type=int, nargs=3, default=(16, 112, 112))
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    device = pick_device(options.device)
    torch.manual_seed(0)
    images = torch.rand(options.batch, 1, *options.crop, device=device) * 2 - 1
    trainers = {preset: Trainer(options.encoder, preset, images) for preset in options.presets}
    work, times = {}, {preset: [] for preset in trainers}
    for preset, step in trainers.items():
        with FlopCounterMode(display=False) as counter:
            step()  # also the warm-up
        work[preset] = counter.get_total_flops() / 1e9
    rates = []
    for _ in range(options.steps):
        for preset, step in trainers.items():
            times[preset].append(seconds(step, device))
        rates.append(product_rate(device))
    peak = statistics.median(rates)
    where = (
        torch.cuda.get_device_name() if device.type == "cuda" else f"{torch.get_num_threads()} of {os.cpu_count()} CPUs"
    )
    print(f"{options.encoder}, batch {options.batch} of {' x '.join(map(str, options.crop))}, {where}, medians of")
    print(f"{options.steps} interleaved steps. Matrix product: {peak:.0f} GFLOP/s\n")
    print("| preset | parameters | GFLOP a step | s a step | volumes/s | GFLOP/s | share of the product |")
    print("|---|---|---|---|---|---|---|")
    for preset, step in trainers.items():
        second = statistics.median(times[preset])
        count, rate = sum(p.numel() for p in step.model.parameters()) / 1e6, work[preset] / second
        print(f"| {preset} | {count:.1f} M | {work[preset]:.0f} | {second:.2f} | {options.batch / second:.2f} "
              f"| {rate:.0f} | {rate / peak:.0%} |")  # fmt: skip


if __name__ == "__main__":
    main()
