"""What a bundle's encoders draw from noise, under crops of the images they learned from.

    orthodx synth bank/ --bank --studies 2 --seed 301
    python examples/draw_from_noise.py knee-small-pretrained --bank bank/ --out drawn.png

A pair of rows a view: a synthetic image, and one drawn from noise (DDIM, fixed seed), five of its slices each.
"""

import argparse
from pathlib import Path

import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from orthodx.bundles.bundle import open_bundle
from orthodx.networks.diffusion import cosine_abar, ddim
from orthodx.networks.precision import autocast
from orthodx.synth.anatomy_bank import AnatomyBank
from orthodx.synth.source import SyntheticSource

SLICES = 5


def main() -> None:
    """Draw and save."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="shipped bundle or folder")
    parser.add_argument("--bank", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--crop", type=int, nargs=3, default=(16, 64, 64))
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    bundle, shape = open_bundle(options.model), tuple(options.crop)
    source = SyntheticSource(AnatomyBank(options.bank), bundle.info.grid, shape, seed=options.seed)
    noise = torch.randn((1, 1, *shape), generator=torch.Generator().manual_seed(options.seed))
    figure = Figure(figsize=(2 * SLICES, 4.1 * len(bundle.info.encoders)), facecolor="black", layout="constrained")
    FigureCanvasAgg(figure)
    rows = iter(figure.subplots(2 * len(bundle.info.encoders), SLICES, squeeze=False))
    for view in bundle.info.encoders:
        with autocast(torch.device("cpu")):
            drawn = ddim(bundle.encoder(view), noise, cosine_abar(), options.steps)
        for image, what in ((source[0, view][0][0], "synthetic"), (drawn[0, 0].float(), "drawn from noise")):
            row = next(rows)
            row[0].set_title(f"{view}, {what}", color="white", loc="left", fontsize=9)
            for ax, k in zip(row, torch.linspace(0, shape[0] - 1, SLICES).round().long(), strict=True):
                ax.imshow(image[k], cmap="gray", vmin=-1, vmax=1)
                ax.set_axis_off()
    figure.savefig(options.out, dpi=80)


if __name__ == "__main__":
    main()
