"""The picture of one positive label: in each view the slice where its evidence is strongest."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import nibabel as nib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patheffects import withStroke

from orthodx.inference.lettering import plain_lettering
from orthodx.studies.writing import atomic

if TYPE_CHECKING:
    from orthodx.inference.explanation import Panel

MOST_OPAQUE = 0.4  # the anatomy below must stay readable
_OPPOSITE = {"L": "R", "R": "L", "P": "A", "A": "P", "I": "S", "S": "I"}
_COLOURS = [(0.0, "#4a3a10"), (0.25, "#ffd23f"), (0.6, "#ff7a2f"), (1.0, "#e8243c")]


@plain_lettering()
def write_heat_picture(path: Path, panels: Sequence[Panel], title: str, model: str, unit: str) -> None:
    """Grey slices with the heat over them, one colour scale in `unit` for all views, as PNG; written atomically."""
    figure = Figure(
        figsize=(max(4.3 * len(panels) + 0.9, 7.0), 6.1), facecolor="black", layout=ConstrainedLayoutEngine(h_pad=0.12)
    )
    FigureCanvasAgg(figure)
    scale = Normalize(0, max(float(p.heat.max()) for p in panels) or 1.0)
    colours = LinearSegmentedColormap.from_list("heat", _COLOURS)
    axs = figure.subplots(1, len(panels), squeeze=False)[0]
    for ax, panel in zip(axs, panels, strict=True):
        ax.set_axis_off()
        low, high = np.percentile(panel.plane, [1, 99.7])
        _, row_mm, column_mm = np.linalg.norm(panel.affine[:3, :3], axis=0)
        shape = {"aspect": row_mm / column_mm}
        ax.imshow(panel.plane, cmap="gray", vmin=low, vmax=max(high, low + 1e-3), interpolation="bicubic", **shape)
        part = scale(panel.heat)
        over = colours(part)
        over[..., 3] = MOST_OPAQUE * np.clip(2 * part, 0, 1)
        ax.imshow(over, interpolation="bilinear", **shape)
        _letters(ax, panel.affine)
        ax.set_title(panel.title, color="white", fontsize=11)
    bar = figure.colorbar(ScalarMappable(scale, colours), ax=list(axs), fraction=0.03, pad=0.01, aspect=30)
    bar.set_label(unit, color="white", fontsize=9)
    bar.ax.tick_params(colors="white", labelsize=8)
    figure.suptitle(title, color="white", fontsize=11)
    figure.supxlabel(f"{model}. Not for clinical use.", color="#9a9a9a", fontsize=8)
    with atomic(path) as temporary:
        figure.savefig(temporary, dpi=100, format="png")


def _letters(ax, affine: np.ndarray) -> None:
    """The world directions of the picture's four edges."""
    _, down, right = nib.aff2axcodes(affine)
    style = {"color": "#ffe66d", "fontsize": 10, "transform": ax.transAxes, "ha": "center", "va": "center",
             "path_effects": [withStroke(linewidth=2, foreground="black")]}  # fmt: skip
    for x, y, letter in (
        (0.03, 0.5, _OPPOSITE[right]),
        (0.97, 0.5, right),
        (0.5, 0.97, _OPPOSITE[down]),
        (0.5, 0.03, down),
    ):
        ax.text(x, y, letter, **style)
