"""Which features of one encoder hold the anatomy? A held-out linear probe, several ways of reading.

    orthodx synth fitted/ --bank --studies 12 --seed 301
    orthodx synth scored/ --bank --studies 12 --seed 302
    python examples/benchmarks/probe_features.py encoder_sagittal.safetensors --fit fitted/ --score scored/ \
        [--distilled FILE] [--control FILE]

For every way of reading a linear classifier of the 11 structures is fitted on voxels of images of the first bank
and scored on images of the second: mean F1, with 95 % bootstrap intervals over the scored images, and the paired
difference from the first row (one block, t = 100, fresh noise at each call, as published). Passes are of the
encoder. --distilled: weights of `orthodx pretrain --distil`; --control: of as many further steps without it.
"""

import argparse
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from orthodx.grid.spec import GridSpec
from orthodx.joints import View
from orthodx.networks import ENCODERS, ViewEncoder
from orthodx.networks.diffusion import cosine_abar, q_sample
from orthodx.networks.feature_mix import FeatureMix, FeatureMixConfig, noisy_features
from orthodx.networks.precision import autocast
from orthodx.synth.source import AnatomyBank, SyntheticSource
from orthodx.training.checkpoint import start_from
from orthodx.training.probe import Known, Sites, at_sites, fit_and_count, mean_f1, sites_of

CPU = torch.device("cpu")
PUBLISHED_TIME, TIMES, EPOCHS = 100, (0, 50, 150, 250), 30
Reading = Callable[[Tensor], Mapping[str, Tensor]]


def known(read: Reading, images: list[Sites]) -> list[Known]:
    """Features and structures at the sites of every image."""
    found = []
    for one in images:
        with torch.inference_mode(), autocast(CPU):
            features = read(one.image[None])
        found.append((at_sites(features, one.image.shape[1:], one.indices).double().numpy(), one.structures))
    return found


def noisy(encoder: ViewEncoder, block: str) -> Reading:
    """The published way: fresh noise at every call."""
    t = torch.tensor([PUBLISHED_TIME])
    return lambda x: encoder.features(q_sample(x, t, torch.randn_like(x), cosine_abar()), t, [block])


def averaged(encoder: ViewEncoder, block: str, draws: int) -> Reading:
    """The same timestep, with noises that are fixed (0: none)."""
    config = FeatureMixConfig.of(encoder, (block,), draws=draws)
    return lambda x: noisy_features(encoder, x, PUBLISHED_TIME, config)


def joined(encoder: ViewEncoder, blocks: tuple[str, ...], times: tuple[int, ...]) -> Reading:
    """Blocks x timesteps side by side, fixed noise."""
    config = FeatureMixConfig.of(encoder, blocks)
    return lambda x: {f"{name} {t}": m for t in times for name, m in noisy_features(encoder, x, t, config).items()}


def mixed(encoder: ViewEncoder, blocks: tuple[str, ...], times: tuple[int, ...], fitted: list[Sites]) -> Reading:
    """A `FeatureMix` that has learned, on the fitted images only, to be read by a linear layer; the layer goes."""
    torch.manual_seed(0)
    mix = FeatureMix(FeatureMixConfig.of(encoder, blocks, timesteps=times))
    keys, readout = [(name, t) for name in blocks for t in times], nn.Linear(mix.config.width, 12)
    at = []  # the mix works voxel by voxel: the sites alone, laid out as a small map, are enough to learn it
    for one in fitted:
        with torch.no_grad(), autocast(CPU):
            maps = mix.read(encoder, one.image[None])
        at.append(
            {k: at_sites({"": m}, one.image.shape[1:], one.indices).T[None, :, None, None] for k, m in maps.items()}
        )
    true = [torch.from_numpy(one.structures).long() for one in fitted]
    rarity = 1 / torch.cat(true).bincount(minlength=12).clamp_min(1)  # as the probe weighs structures
    optimizer = torch.optim.Adam([*mix.parameters(), *readout.parameters()], lr=3e-3)
    for epoch in range(EPOCHS):
        optimizer.param_groups[0]["lr"] = 3e-3 * (1 - epoch / EPOCHS)
        for wanted, read in zip(true, at, strict=True):
            optimizer.zero_grad()
            nn.functional.cross_entropy(readout(mix(read)[0, :, 0, 0].T), wanted, rarity).backward()
            optimizer.step()
    top = sorted(
        ((float(w), key) for w, key in zip(mix.weights().detach().flatten(), keys, strict=True)), reverse=True
    )[:5]
    print("largest weights of the mix: " + ", ".join(f"{name} t = {t}: {w:.2f}" for w, (name, t) in top))
    return lambda x: {"mix": mix(mix.read(encoder, x))}


def load(path: Path, name: str, preset: str) -> ViewEncoder:
    """A pretrained encoder."""
    cls = ENCODERS.get(name)
    encoder = cls(cls.preset(preset))
    start_from(encoder, path)
    return encoder.eval()


def main() -> None:
    """Draw the images, read them every way, print Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("weights", type=Path)
    parser.add_argument("--fit", type=Path, required=True, help="bank of anatomies")
    parser.add_argument("--score", type=Path, required=True, help="bank of other anatomies")
    parser.add_argument("--distilled", type=Path)
    parser.add_argument("--control", type=Path)
    parser.add_argument("--view", type=View, default=View.SAGITTAL)
    parser.add_argument("--encoder", default="ortho")
    parser.add_argument("--preset", default="small")
    parser.add_argument("--block", default="up_1", help="the single block")
    parser.add_argument("--images", type=int, default=24, help="scored; as many are fitted on")
    options = parser.parse_args()
    torch.manual_seed(0)
    sources = [SyntheticSource(AnatomyBank(p), GridSpec(), (16, 96, 96), seed=5) for p in (options.fit, options.score)]
    fitted, scored = ([sites_of(source, options.view, i) for i in range(options.images)] for source in sources)
    encoder, block = load(options.weights, options.encoder, options.preset), options.block
    blocks = tuple(encoder.block_channels)
    at = f"t = {PUBLISHED_TIME}"
    ways: dict[str, tuple[int, Callable[[], Reading]]] = {  # what it is: passes of the encoder, how it is read
        f"{block}, {at}, fresh noise (published way)": (1, lambda: noisy(encoder, block)),
        f"mid, {at}, fresh noise (published way and block)": (1, lambda: noisy(encoder, "mid")),
        f"{block}, {at}, one fixed noise": (1, lambda: averaged(encoder, block, 1)),
        f"{block}, {at}, mean of 4 fixed noises": (4, lambda: averaged(encoder, block, 4)),
        f"{block}, {at}, no noise": (1, lambda: averaged(encoder, block, 0)),
        "mid, clean": (1, lambda: joined(encoder, ("mid",), (0,))),
        f"{block}, clean": (1, lambda: joined(encoder, (block,), (0,))),
        "all blocks, clean": (1, lambda: joined(encoder, blocks, (0,))),
        "all blocks, clean, learned mix": (1, lambda: mixed(encoder, blocks, (0,), fitted)),
        "all blocks x 4 timesteps": (4, lambda: joined(encoder, blocks, TIMES)),
        "all blocks x 4 timesteps, learned mix": (4, lambda: mixed(encoder, blocks, TIMES, fitted)),
    }
    for label, path in (("distilled", options.distilled), ("control", options.control)):
        if path:
            other = load(path, options.encoder, options.preset)
            ways[f"{label}: mid, clean"] = (1, lambda other=other: joined(other, ("mid",), (0,)))
            ways[f"{label}: {block}, clean"] = (1, lambda other=other: joined(other, (block,), (0,)))
            ways[f"{label}: all blocks, clean"] = (1, lambda other=other: joined(other, blocks, (0,)))
    drawn = np.random.default_rng(0).integers(0, len(scored), (2000, len(scored)))  # bootstrap over images
    base: np.ndarray | None = None
    rows = []
    for label, (passes, way) in ways.items():
        began = time.perf_counter()
        read = way()
        train, test = known(read, fitted), known(read, scored)
        counts = fit_and_count(train, test)
        scores = np.array([mean_f1(counts[pick].sum(0)) for pick in drawn])
        base = scores if base is None else base
        low, high = np.percentile(scores, [2.5, 97.5])
        worse, better = np.percentile(scores - base, [2.5, 97.5])
        gain = "" if base is scores else f"{np.mean(scores - base):+.3f} ({worse:+.3f} to {better:+.3f})"
        width = train[0][0].shape[1]
        rows.append(f"| {label} | {passes} | {width} | {mean_f1(counts.sum(0)):.3f} ({low:.3f}-{high:.3f}) | {gain} |")
        print(f"{label}: {rows[-1].split('|')[4].strip()}, {time.perf_counter() - began:.0f} s", flush=True)
    print("\n| features | passes | numbers a voxel | mean F1 (95 % interval) | against the first row |")
    print("\n".join(["|---|---|---|---|---|", *rows]))
    banks = [len(source.anatomies) for source in sources]
    print(f"\n{options.images} {options.view} images of {banks[0]} anatomies to fit, as many of {banks[1]} to score.")


if __name__ == "__main__":
    main()
