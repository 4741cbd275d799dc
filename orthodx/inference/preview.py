"""The picture a reader looks at first: slices with structure outlines, two cuts across, a legend."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from contourpy import contour_generator
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from orthodx.grid.canonical import canonical_axes
from orthodx.grid.spec import AXES
from orthodx.inference.lettering import plain_lettering
from orthodx.joints import Joint, View
from orthodx.studies.label_tables import rgb
from orthodx.studies.volume import Volume
from orthodx.studies.writing import atomic

SIZE, COLUMNS = (16, 9.2), 4  # inches
_ENDS = (("L", "R"), ("P", "A"), ("I", "S"))  # names of the low and high end of world x, y, z
_OTHERS = {
    View.SAGITTAL: (View.CORONAL, View.AXIAL),
    View.CORONAL: (View.SAGITTAL, View.AXIAL),
    View.AXIAL: (View.SAGITTAL, View.CORONAL),
}


@plain_lettering()
def write_preview(path: Path, volume: Volume, labels: np.ndarray, view: View, joint: Joint, title: str) -> None:
    """Montage of six acquired slices, and one cut in each of the other planes, as PNG; written atomically."""
    axes, flips = canonical_axes(volume.affine, volume.shape, view)
    turn = tuple(slice(None, None, -1 if f else 1) for f in flips)
    image, mask = np.transpose(volume.data, axes)[turn], np.transpose(labels, axes)[turn]
    spacing = volume.spacing_mm[list(axes)]
    low, high = np.percentile(image[::2, ::4, ::4], [1, 99.5])
    drawn = np.flatnonzero((mask > 0).any((1, 2)))
    first, last = (drawn[0], drawn[-1]) if len(drawn) else (0, len(mask) - 1)
    picks = np.unique(np.linspace(first, last, 6).round().astype(int))
    figure = Figure(figsize=SIZE, facecolor="black")
    FigureCanvasAgg(figure)
    shown = [(image[i], mask[i], spacing[1:], view, f"{view} {i + 1}/{len(image)}") for i in picks]
    middle = [int(np.median(np.flatnonzero((mask > 0).any(o)))) if len(drawn) else n // 2
              for o, n in (((0, 1), mask.shape[2]), ((0, 2), mask.shape[1]))]  # fmt: skip
    shown += _across(image, mask, spacing, view, middle)
    colours = np.zeros((256, 4))
    for s in joint.structures:
        colours[s.value] = (*(part / 255 for part in rgb(s.colour)), 1)
    for place, one in enumerate(shown):
        _draw(_axes(figure, place), *one, joint=joint, colours=ListedColormap(colours), window=(low, high))
    present = [s for s in joint.structures if (labels == s.value).any()]
    handles = [Patch(color=s.colour, label=s.name.replace("_", " ")) for s in present]
    if handles:
        style = {"labelcolor": "white", "facecolor": "black", "edgecolor": "black", "fontsize": 10}
        figure.legend(handles=handles, loc="lower center", bbox_to_anchor=(0.5, 0.0), ncols=6, **style)
    figure.text(0.5, 0.985, title, color="white", fontsize=12, ha="center", va="top")
    with atomic(path) as temporary:
        figure.savefig(temporary, dpi=80, format="png", pil_kwargs={"compress_level": 3})


def _axes(figure: Figure, place: int) -> Axes:
    """The box of a picture, two rows of four; fixed, for a layout that is worked out draws everything twice."""
    row, column = divmod(place, COLUMNS)
    box = (column / COLUMNS + 0.004, 0.515 - 0.44 * row, 1 / COLUMNS - 0.008, 0.415)
    ax = figure.add_axes(box)
    ax.set_axis_off()
    return ax


def _draw(
    ax: Axes,
    plane: np.ndarray,
    truth: np.ndarray,
    mm: np.ndarray,
    view: View,
    name: str,
    *,
    joint: Joint,
    colours: ListedColormap,
    window: tuple[float, float],
) -> None:
    """One plane, its structures tinted and outlined. mm: of a row and a column."""
    extent = (0, plane.shape[1] * mm[1], plane.shape[0] * mm[0], 0)
    ax.imshow(plane, cmap="gray", vmin=window[0], vmax=window[1], extent=extent, interpolation="bilinear")
    tint = np.ma.masked_equal(truth, 0)
    ax.imshow(tint, cmap=colours, vmin=0, vmax=255, alpha=0.22, extent=extent, interpolation="nearest")
    x, y = ((np.arange(n) + 0.5) * size for n, size in zip(plane.shape[::-1], mm[::-1], strict=True))
    for s in joint.structures:
        inside = truth == s.value
        if inside.any() and min(inside.shape) > 2:
            lines: list[Any] = [*contour_generator(x, y, inside.astype(float)).lines(0.5)]
            ax.add_collection(LineCollection(lines, colors=s.colour, linewidths=1.1), autolim=False)
    _letters(ax, view)
    ax.text(0.5, 1.015, name, color="white", fontsize=10, transform=ax.transAxes, ha="center", va="bottom")


def _across(
    image: np.ndarray, mask: np.ndarray, spacing: np.ndarray, view: View, middle: list[int]
) -> list[tuple[np.ndarray, np.ndarray, np.ndarray, View, str]]:
    """The two planes that were not acquired, cut through the joint, turned as a radiologist hangs them."""
    out = []
    for other in _OTHERS[view]:
        source = [next(i for i, (w, _) in enumerate(AXES[view]) if w == world) for world, _ in AXES[other]]
        signs = [AXES[view][i][1] * sign for i, (_, sign) in zip(source, AXES[other], strict=True)]
        at = middle[0] if source[0] == 2 else middle[1]
        plane, truth = (np.take(a, at, source[0]) for a in (image, mask))
        if source[1] > source[2]:
            plane, truth = plane.T, truth.T
        turn = tuple(slice(None, None, s) for s in signs[1:])
        out.append((plane[turn], truth[turn], spacing[source[1:]], other, f"{other} cut (interpolated)"))
    return out


def _letters(ax: Axes, view: View) -> None:
    (_, _), (rows, down), (columns, right) = AXES[view]
    style: dict[str, Any] = {
        "color": "#ffe66d",
        "fontsize": 10,
        "transform": ax.transAxes,
        "ha": "center",
        "va": "center",
    }
    ax.text(0.03, 0.5, _ENDS[columns][0 if right > 0 else 1], **style)
    ax.text(0.97, 0.5, _ENDS[columns][1 if right > 0 else 0], **style)
    ax.text(0.5, 0.96, _ENDS[rows][0 if down > 0 else 1], **style)
    ax.text(0.5, 0.04, _ENDS[rows][1 if down > 0 else 0], **style)
