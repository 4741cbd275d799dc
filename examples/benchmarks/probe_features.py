"""Which features of one encoder hold the anatomy? A held-out linear probe, several ways of reading.

    orthodx synth fitted/ --bank --studies 12 --seed 301
    orthodx synth scored/ --bank --studies 12 --seed 302
    python examples/benchmarks/probe_features.py encoder_sagittal.safetensors --fit fitted/ --score scored/ \
        [--beside NAME=FILE ...]

For every way of reading a linear classifier of the 11 structures is fitted on voxels of images of the first bank
and scored on images of the second: mean F1, with 95 % bootstrap intervals over the scored images, and the paired
difference from the first row (one block, t = 100, fresh noise at each call, as published). Passes are of the
encoder. --beside: other encoders, read clean on the same voxels: a second table has their difference from the first.
--brief: the clean ways only, the first row being that of the middle.
"""

import argparse
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from feature_mix import FeatureMix, FeatureMixConfig, noisy_features, standardised
from torch import Tensor, nn
from torch.nn import functional

from orthodx.grid.spec import GridSpec
from orthodx.joints import View
from orthodx.networks import ENCODERS, ViewEncoder
from orthodx.networks.diffusion import cosine_abar, q_sample
from orthodx.networks.precision import autocast
from orthodx.synth.anatomy_bank import AnatomyBank
from orthodx.synth.source import SyntheticSource
from orthodx.training.checkpoint import start_from
from orthodx.training.denoising.probe import Known, Sites, at_sites, fit_and_count, mean_f1, sites_of

PUBLISHED_TIME, TIMES, EPOCHS = 100, (0, 50, 150, 250), 60
At = dict[str, Tensor]  # block -> (N, C) at the sites of one image


def at_all(read: Callable[[Tensor], Mapping[str, Tensor]], images: list[Sites]) -> tuple[list[At], list[At]]:
    """One reading of every image, kept at its sites only: as it is, and each map standardised as a mix reads it."""
    plain, standard = [], []
    for one in images:
        with torch.inference_mode(), autocast(torch.device("cpu")):
            maps = read(one.image[None])
        for kept, change in ((plain, Tensor.float), (standard, standardised)):
            kept.append(
                {k: at_sites({k: change(m)}, one.image.shape[1:], one.indices).clone() for k, m in maps.items()}
            )
    return plain, standard


def side_by_side(at: list[At], *blocks: str) -> list[np.ndarray]:
    """(N, C) an image, of some blocks or of all."""
    return [torch.cat([one[k] for k in blocks or one], 1).double().numpy() for one in at]


def mixed(config: FeatureMixConfig, at: list[dict[tuple[str, int], Tensor]], fitted: list[Sites]) -> list[np.ndarray]:
    """What a `FeatureMix` gives at the sites of all images, once it has learned on the first ones (`fitted`).

    A mix works voxel by voxel, so that the sites, laid out as a small map, are enough. It learns to be read by a
    linear layer, which is then thrown away.
    """
    torch.manual_seed(0)
    mix, readout = FeatureMix(config), nn.Linear(config.width, 12)
    maps = [{k: m.T[None, :, None, None] for k, m in one.items()} for one in at]
    true = [torch.from_numpy(one.structures).long() for one in fitted]
    rarity = 1 / torch.cat(true).bincount(minlength=12).clamp_min(1)  # as the probe weighs structures
    optimizer = torch.optim.Adam([*mix.parameters(), *readout.parameters()], lr=3e-3)
    for epoch in range(EPOCHS):
        optimizer.param_groups[0]["lr"] = 3e-3 * (1 - epoch / EPOCHS)
        for wanted, one in zip(true, maps, strict=False):
            optimizer.zero_grad()
            functional.cross_entropy(readout(mix(one)[0, :, 0, 0].T), wanted, rarity).backward()
            optimizer.step()
    weights = dict(zip([(b, t) for b in config.blocks for t in config.timesteps], mix.weights().flatten(), strict=True))
    top = sorted(weights, key=lambda key: -float(weights[key].detach()))[:5]
    print("largest weights of the mix: " + ", ".join(f"{b} t = {t}: {weights[b, t].detach():.2f}" for b, t in top))
    with torch.no_grad():
        return [mix(one)[0, :, 0, 0].T.double().numpy() for one in maps]


def load(path: Path, name: str, preset: str) -> ViewEncoder:
    """A pretrained encoder."""
    cls = ENCODERS.get(name)
    encoder = cls(cls.preset(preset))
    start_from(encoder, path)
    return encoder.eval()


def ways_of(
    encoder: ViewEncoder, block: str, images: list[Sites], fitted: list[Sites]
) -> dict[str, tuple[int, list[np.ndarray]]]:
    """What a way of reading is called: passes of the encoder, features at the sites of every image."""
    t, at = torch.tensor([PUBLISHED_TIME]), f"t = {PUBLISHED_TIME}"
    everything = FeatureMixConfig.of(encoder, tuple(encoder.block_channels))
    four, none = (FeatureMixConfig.of(encoder, (block,), draws=n) for n in (4, 0))
    fresh = at_all(lambda x: encoder.features(q_sample(x, t, torch.randn_like(x), cosine_abar()), t), images)[0]
    still = [at_all(lambda x, c=c: noisy_features(encoder, x, PUBLISHED_TIME, c), images)[0] for c in (four, none)]
    timed = {when: at_all(lambda x, w=when: noisy_features(encoder, x, w, everything), images) for when in TIMES}
    n = len(images)
    standard = [{(b, w): m for w in TIMES for b, m in timed[w][1][i].items()} for i in range(n)]
    over = [{f"{b} {w}": m for w in TIMES for b, m in timed[w][0][i].items()} for i in range(n)]
    return {
        f"{block}, {at}, fresh noise (published way)": (1, side_by_side(fresh, block)),
        f"mid, {at}, fresh noise (published way and block)": (1, side_by_side(fresh, "mid")),
        f"{block}, {at}, mean of 4 fixed noises": (4, side_by_side(still[0])),
        f"{block}, {at}, no noise": (1, side_by_side(still[1])),
        **clean(timed[0][0], block),
        "all blocks, clean, learned mix": (1, mixed(everything, standard, fitted)),
        f"all blocks x t = {TIMES}": (len(TIMES), side_by_side(over)),
        f"all blocks x t = {TIMES}, learned mix": (
            len(TIMES), mixed(replace(everything, timesteps=TIMES), standard, fitted),
        ),
    }  # fmt: skip


def clean(at: list[At], block: str) -> dict[str, tuple[int, list[np.ndarray]]]:
    """The ways without noise: the middle, one block, all blocks."""
    return {
        "mid, clean": (1, side_by_side(at, "mid")),
        f"{block}, clean": (1, side_by_side(at, block)),
        "all blocks, clean": (1, side_by_side(at)),
    }


def main() -> None:
    """Draw the images, read them every way, print Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("weights", type=Path)
    parser.add_argument("--fit", type=Path, required=True, help="bank of anatomies")
    parser.add_argument("--score", type=Path, required=True, help="bank of other anatomies")
    parser.add_argument("--beside", metavar="NAME=FILE", action="append", default=[])
    parser.add_argument("--brief", action="store_true")
    parser.add_argument("--view", type=View, default=View.SAGITTAL)
    parser.add_argument("--encoder", default="ortho")
    parser.add_argument("--preset", default="small")
    parser.add_argument("--block", default="up_1", help="the single block")
    parser.add_argument("--images", type=int, default=24, help="scored; as many are fitted on")
    options = parser.parse_args()
    beside = dict(item.partition("=")[::2] for item in options.beside)
    if missing := [path or name for name, path in beside.items() if not Path(path).is_file()]:
        parser.error(f"--beside {missing[0]}: give NAME=FILE of a file that is there")
    torch.manual_seed(0)
    sources = [SyntheticSource(AnatomyBank(p), GridSpec(), (16, 96, 96), seed=5) for p in (options.fit, options.score)]
    fitted, scored = ([sites_of(source, options.view, i) for i in range(options.images)] for source in sources)
    images, block = fitted + scored, options.block
    drawn = np.random.default_rng(0).integers(0, len(scored), (2000, len(scored)))  # bootstrap over images

    def bootstrapped(features: list[np.ndarray]) -> tuple[float, np.ndarray]:
        known: list[Known] = [(x, one.structures) for x, one in zip(features, images, strict=True)]
        counts = fit_and_count(known[: len(fitted)], known[len(fitted) :])
        return mean_f1(counts.sum(0)), np.array([mean_f1(counts[pick].sum(0)) for pick in drawn])

    def read(path: Path) -> dict[str, tuple[int, list[np.ndarray]]]:
        return clean(at_all(load(path, options.encoder, options.preset).features, images)[0], block)

    if options.brief:
        ways = read(options.weights)
    else:
        ways = ways_of(load(options.weights, options.encoder, options.preset), block, images, fitted)
    own = {label: bootstrapped(features) for label, (_, features) in ways.items()}
    base = next(iter(own.values()))[1]
    print("\n| features | passes | numbers a voxel | mean F1 (95 % interval) | against the first row |")
    print("|---|---|---|---|---|")
    for label, (passes, features) in ways.items():
        score, scores = own[label]
        row = [label, str(passes), str(features[0].shape[1]), f"{score:.3f} ({interval(scores)})"]
        print("| " + " | ".join([*row, "" if scores is base else difference(scores - base)]) + " |")
    if options.beside:
        print("\n| encoder | features | mean F1 (95 % interval) | against the same of the first encoder |")
        print("|---|---|---|---|")
    for name, path in beside.items():
        for label, (_, features) in read(Path(path)).items():
            score, scores = bootstrapped(features)
            print(f"| {name} | {label} | {score:.3f} ({interval(scores)}) | {difference(scores - own[label][1])} |")
    banks = [len(source.anatomies) for source in sources]
    print(f"\n{options.images} {options.view} images of {banks[0]} anatomies to fit, as many of {banks[1]} to score.")


def interval(scores: np.ndarray, form: str = ".3f", between: str = "-") -> str:
    """The 95 % interval of bootstrapped scores."""
    low, high = np.percentile(scores, [2.5, 97.5])
    return f"{low:{form}}{between}{high:{form}}"


def difference(scores: np.ndarray) -> str:
    """The mean of paired differences and their 95 % interval."""
    return f"{np.mean(scores):+.3f} ({interval(scores, '+.3f', ' to ')})"


if __name__ == "__main__":
    main()
