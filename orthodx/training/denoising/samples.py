"""Pictures a diffusion model draws from noise: what it has understood of its images, at a glance."""

from __future__ import annotations

from pathlib import Path

import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from orthodx.networks.diffusion import Denoiser, ddim
from orthodx.networks.precision import autocast
from orthodx.studies.writing import atomic

SLICES = 5


def write_samples(
    path: Path, denoise: Denoiser, abar: torch.Tensor, shape: tuple[int, ...], *,
    count: int = 2, steps: int = 30, seed: int = 0, device: torch.device,
) -> None:  # fmt: skip
    """Draw `count` images of `shape` (D, H, W) by DDIM from fixed noise and show five slices of each, as PNG."""
    noise = torch.randn((count, 1, *shape), generator=torch.Generator().manual_seed(seed)).to(device)
    with autocast(device):
        drawn = ddim(denoise, noise, abar, steps)[:, 0].float().cpu().numpy()
    figure = Figure(figsize=(2 * SLICES, 2 * count), facecolor="black", layout="constrained")
    FigureCanvasAgg(figure)
    rows = figure.subplots(count, SLICES, squeeze=False)
    for image, row in zip(drawn, rows, strict=True):
        for ax, k in zip(row, torch.linspace(0, shape[0] - 1, SLICES).round().long(), strict=True):
            ax.imshow(image[k], cmap="gray", vmin=-1, vmax=1)
            ax.set_axis_off()
    with atomic(path) as temporary:
        figure.savefig(temporary, dpi=80, format="png")
