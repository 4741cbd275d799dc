"""The fast reading of features against the plain one, same weights, same blocks.

    python examples/benchmarks/features.py [--size 256] [--repeat 5] [--encoder published]

Three ways, interleaved, medians: "whole, plain" runs the whole U-Net in fp32, eager, channels-first, and reads the
block (as the released code does); "stopped, plain" is the same but stops behind the block; "fast" is what
`orthodx` does (`Reader`: stops, channels-last, bf16 where the hardware multiplies it, no gradients).
Work counts convolutions and products of the path to the block; its rate stands beside that of a matrix product.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable
from types import SimpleNamespace

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from orthodx.joints import View
from orthodx.networks import ENCODERS, ViewEncoder
from orthodx.networks.device import pick_device
from orthodx.networks.precision import native_bf16
from orthodx.networks.reading import Reader

BLOCKS = {"published": "mid_2", "ortho": "up_0"}


def filled(name: str) -> ViewEncoder:
    """The encoder's first preset, every weight random: speed and rounding do not depend on what it has learned."""
    torch.manual_seed(0)
    cls = ENCODERS.get(name)
    encoder = cls(next(iter(cls.presets.values()))).eval()
    for parameter in encoder.parameters():
        if parameter.ndim > 1:
            nn.init.normal_(parameter, std=parameter[0].numel() ** -0.5)
    return encoder


def seconds(call: Callable[[], object], device: torch.device) -> float:
    """Wall time of one call."""
    began = time.perf_counter()
    call()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - began


def product_peak(dtype: torch.dtype, device: torch.device, n: int = 3072) -> float:
    """GFLOP/s of the best of some n x n matrix products."""
    a = torch.randn(n, n, device=device).to(dtype)
    return 2 * n**3 / 1e9 / min(seconds(lambda: a @ a, device) for _ in range(4))


def main() -> None:
    """Build twice, check that both read the same, time, print Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--encoder", choices=BLOCKS, default="published")
    parser.add_argument("--slices", type=int, default=16)
    parser.add_argument("--size", type=int, default=256, help="rows and columns")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    device, name = pick_device(options.device), BLOCKS[options.encoder]
    plain = filled(options.encoder).to(device)
    for parameter in plain.parameters():
        parameter.data = parameter.data.contiguous()
    reader, head = Reader(lambda _: filled(options.encoder), device), SimpleNamespace(blocks=(name,), detail=1)
    x = torch.rand(1, 1, options.slices, options.size, options.size, device=device) * 2 - 1
    t = torch.zeros(1, dtype=torch.long, device=device)
    with torch.no_grad():
        ways: dict[str, Callable[[], torch.Tensor]] = {
            "whole, plain": lambda: plain.run(x, t)[0][name],
            "stopped, plain": lambda: plain.features(x, blocks=[name])[name],
            "fast": lambda: reader.blocks(View.SAGITTAL, x, head)[name],
        }
        work = {}
        for way in ("whole, plain", "stopped, plain"):
            with FlopCounterMode(display=False) as counter:
                block = ways[way]()
            work[way] = counter.get_total_flops() / 1e9
        cosine = torch.cosine_similarity(ways["fast"]().float().flatten(), block.float().flatten(), 0)
        times: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(options.repeat):
            for way, call in ways.items():
                times[way].append(seconds(call, device))
    dtypes = (torch.float32, torch.bfloat16) if native_bf16(device) else (torch.float32,)
    peaks = {str(d).removeprefix("torch."): product_peak(d, device) for d in dtypes}
    amx = torch.cpu._is_amx_tile_supported()
    print(f"{options.encoder}, block {name}, {options.slices} x {options.size} x {options.size}, {device}")
    print(f"{torch.get_num_threads()} threads on {os.cpu_count()} CPUs, AMX {'yes' if amx else 'no'}, medians of")
    print(
        f"{options.repeat} interleaved. Matrix product: {', '.join(f'{k} {v:.0f} GFLOP/s' for k, v in peaks.items())}\n"
    )
    print("| way | GFLOP | s | GFLOP/s | against whole, plain | against stopped, plain |\n|---|---|---|---|---|---|")
    medians = {way: statistics.median(values) for way, values in times.items()}
    for way, median in medians.items():
        flops = work.get(way, work["stopped, plain"])
        gains = " | ".join(f"{medians[k] / median:.2f}" for k in ("whole, plain", "stopped, plain"))
        print(f"| {way} | {flops:.0f} | {median:.2f} | {flops / median:.0f} | {gains} |")
    print(f"\nCosine similarity of the features, fast against plain: {float(cosine):.6f}")


if __name__ == "__main__":
    main()
