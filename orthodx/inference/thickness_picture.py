"""The picture of a study's cartilage: its thickness in colours, on the bones as they are seen from outside."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from orthodx.inference.lettering import plain_lettering
from orthodx.measuring.of_study import LayerMap
from orthodx.measuring.surface_view import PIXEL_MM, SurfaceView, views_of
from orthodx.studies.writing import atomic

COLOURS, LEAST_MM = "viridis", 3.0  # the scale ends here, or above
BAR_MM = 20.0
WIDE, HEAD = 3.8, 1.1  # inches: of a view, and of the words above
ROOM_MM = 4.0


@plain_lettering()
def write_thickness_picture(path: Path, layers: Sequence[LayerMap], title: str) -> bool:
    """Each layer from where most of it is seen, one scale in mm for all, as PNG, written atomically.

    Returns whether there was anything to draw.
    """
    shown = [(layer, view) for layer in layers for view in views_of(layer)]
    if not shown:
        return False
    most = max(float(np.nanpercentile(view.mm, 97)) for _, view in shown)
    scale = Normalize(0, max(LEAST_MM, float(np.ceil(most))))
    span = np.max([view.mm.shape for _, view in shown], 0)[::-1] * PIXEL_MM + 2 * ROOM_MM  # one scale of length for all
    tall, wide = WIDE * span[1] / span[0], len(shown) * WIDE + 1.0
    figure = Figure(figsize=(max(wide, 6.5), tall + HEAD), facecolor="black")
    FigureCanvasAgg(figure)
    for i, (layer, view) in enumerate(shown):
        first = i == 0 or shown[i - 1][0] is not layer
        ax = figure.add_axes((i * WIDE / wide, 0.0, WIDE / wide, tall / (tall + HEAD)))
        _draw(ax, view, scale, span)
        words = _words(layer, view, first)
        place = ((i + 0.5) * WIDE / wide, (tall + HEAD - 0.42) / (tall + HEAD))
        figure.text(*place, words, color="white", fontsize=11, ha="center", va="top", linespacing=1.4)
    bar_ax = figure.add_axes((1 - 0.72 / wide, 0.12, 0.16 / wide, 0.6))
    bar = figure.colorbar(ScalarMappable(scale, COLOURS), cax=bar_ax)
    bar.ax.tick_params(colors="white", labelsize=9)
    bar.ax.set_title("mm", color="white", fontsize=10)
    figure.text(0.5, 0.98, title, color="white", fontsize=12, ha="center", va="top")
    with atomic(path) as temporary:
        figure.savefig(temporary, dpi=80, format="png", pil_kwargs={"compress_level": 3})
    return True


def _words(layer: LayerMap, view: SurfaceView, with_means: bool) -> str:
    """What is seen, and the mean thickness of each plate."""
    name = f"{layer.side} {layer.name.replace('_', ' ')}".lstrip()
    head = f"{name}, from {view.seen_from}".replace("from in front", "from the front")
    known = {name: thick.mean_mm for name, thick in layer.plates.items() if thick is not None}
    means = [f"{name} {mm:.1f}" for name, mm in known.items() if not np.isnan(mm)]
    if not with_means or not means:
        return head
    return "\n".join([head, f"mean of the {means[0]} mm", ", ".join(means[1:])])


def _draw(ax: Axes, view: SurfaceView, scale: Normalize, span: np.ndarray) -> None:
    """One view: the bone in grey, the layer in colours, letters at its edges, a bar. span: of the box, mm (2,)."""
    height, width = np.array(view.mm.shape) * PIXEL_MM
    extent = (-width / 2, width / 2, -height / 2, height / 2)
    ax.set_axis_off()
    ax.imshow(np.ma.masked_invalid(view.bone), cmap="gray", vmin=0, vmax=1, origin="lower", extent=extent)
    ax.imshow(np.ma.masked_invalid(view.mm), cmap=COLOURS, norm=scale, origin="lower", extent=extent)
    ax.set_xlim(-span[0] / 2, span[0] / 2)
    ax.set_ylim(-span[1] / 2, span[1] / 2)
    style: dict[str, Any] = {
        "color": "#ffe66d",
        "fontsize": 10,
        "va": "center",
        "linespacing": 1.6,  # the outline of one line must not cover a letter of the other: an L would be an I
        "path_effects": [withStroke(linewidth=2, foreground="black")],
    }
    (left, right, down, up), (at_left, at_right) = view.edges, view.sides
    ax.text(-span[0] / 2 + 2, 0, f"{left}\n{at_left}".strip(), ha="left", **style)
    ax.text(span[0] / 2 - 2, 0, f"{right}\n{at_right}".strip(), ha="right", **style)
    ax.text(0, height / 2, up, ha="center", **style)
    ax.text(0, -height / 2, down, ha="center", **style)
    x, y = -span[0] / 2 + 3, -span[1] / 2 + 3
    ax.plot((x, x + BAR_MM), (y, y), color="white", linewidth=2, solid_capstyle="butt")
    ax.text(x + BAR_MM / 2, y + 1, f"{BAR_MM:.0f} mm", color="white", fontsize=9, ha="center", va="bottom")
