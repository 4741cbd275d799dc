"""A picture of one patient's visits: a slice of the first scan, the later ones laid on it by a bone, and what changed.

Outlines of the first visit are dashed on the later ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from scipy import ndimage

from orthodx.errors import StudyError
from orthodx.evaluation.gallery import ACROSS, hung
from orthodx.evaluation.measures import MEAN, PROBABILITY, VOLUME, bone_motions
from orthodx.evaluation.notices import Notices
from orthodx.evaluation.visits import Followed, Visit
from orthodx.joints import Joint, View
from orthodx.studies.keys import file_name
from orthodx.studies.mask_files import read_labels_file
from orthodx.studies.nifti import is_nifti, read_volume
from orthodx.studies.view import axis_of_view, slice_axis
from orthodx.studies.volume import Volume
from orthodx.studies.writing import atomic

MOST = 4  # visits side by side: the first one and the last ones
SHOWN = {VOLUME: "volume", MEAN: "thickness"}
LESS, MORE, SAME = "#e07a2f", "#3a80d2", "#8c939b"


@dataclass(frozen=True, eq=False)
class PatientPictures:
    """Draws patients into `folder`. rows: of the manifest, whose paths start at `root`. masks: series -> file."""

    folder: Path
    joint: Joint
    root: Path
    rows: Sequence[Mapping[str, Any]]
    masks: Mapping[str, Path]

    def draw(self, joint: Followed, changes: Sequence[Mapping[str, Any]], notices: Notices) -> None:
        """Write `<patient>.png`, or `<patient>_<side>.png`; a mask that cannot be read is named, the rest is drawn."""
        who = (joint.patient_id, joint.laterality)
        patient = "_".join(filter(None, who))
        changes = [row for row in changes if (row["patient_id"], row["laterality"]) == who]
        shown = [joint.visits[0], *joint.visits[1:][-(MOST - 1) :]]
        views = [v for v in View if all(str(v) in visit.series for visit in shown)]
        wanted = str(views[0]) if views else ""
        height = 0.9 + 0.24 * len(_lines(changes, shown[-1], wanted))
        with mpl.rc_context({"text.parse_math": False, "font.size": 9}):
            figure = Figure(figsize=(3.4 * max(len(shown), 2), 3.6 + height), layout="constrained", facecolor="white")
            FigureCanvasAgg(figure)
            grid = figure.add_gridspec(2, len(shown), height_ratios=(3.4, height))
            try:
                if views:
                    self._scans([figure.add_subplot(grid[0, i]) for i in range(len(shown))], shown, views[0])
            except StudyError as error:
                notices.refuse(f"picture of {patient}: {error}", error.hint)
            _forest(figure.add_subplot(grid[1, :]), _lines(changes, shown[-1], wanted))
            figure.suptitle(f"{', '.join(filter(None, who))}: {shown[0].study_id} to {shown[-1].study_id}", fontsize=10)
            with atomic(self.folder / f"{file_name(patient)}.png") as temporary:
                figure.savefig(temporary, format="png", dpi=110)

    def _scans(self, axes: Sequence[Axes], visits: Sequence[Visit], view: View) -> None:
        labels = [read_labels_file(self.masks[file_name(v.series[str(view)])]) for v in visits]
        first = labels[0]
        axis = slice_axis(first.affine, first.shape)
        soft = np.isin(first.data, [s.value for s in self.joint.structures if s.lies_on])
        at = int(np.argmax(soft.sum(tuple(a for a in range(3) if a != axis))))
        down, along = (first.spacing_mm[axis_of_view(first.affine, across)] for across in ACROSS[view])
        for ax, visit, own in zip(axes, visits, labels, strict=True):
            motion = np.eye(4)
            if own is not first:
                moved = bone_motions(first, own, self.joint)
                motion = next(iter(moved.values())).matrix if moved else motion
            image = self._image(visit.series[str(view)]) or Volume((own.data > 0) * 1.0, own.affine, own.source)
            plane = _seen(image, first, motion, axis, at, view, 1)
            low, high = np.percentile(plane, [1, 99.5])
            ax.imshow(plane, cmap="gray", vmin=low, vmax=max(high, low + 1e-6), aspect=down / along)
            here, before = (_seen(v, first, m, axis, at, view, 0) for v, m in ((own, motion), (first, np.eye(4))))
            for s in self.joint.structures:
                for mask, style in ((before, "dashed"), (here, "solid")):
                    if (mask == s.value).any() and not (own is first and style == "dashed"):
                        ax.contour(mask == s.value, [0.5], colors=s.colour, linewidths=1.0, linestyles=style)
            ax.set_axis_off()
            when = "" if visit.days is None else f", day {visit.days:g}" if own is not first else ", day 0"
            ax.set_title(f"{visit.study_id}{when}", fontsize=8)

    def _image(self, series: str) -> Volume | None:
        """The image of a series; None for DICOM, for paths out of the manifest's folder, and for unreadable files."""
        row = next(row for row in self.rows if row["series_id"] == series)
        path = self.root / str(row["path"])
        if ".." in path.parts or not is_nifti(path) or not path.is_file():
            return None
        try:
            return read_volume(path)
        except StudyError:
            return None


def _seen(volume: Volume, first: Volume, motion: np.ndarray, axis: int, at: int, view: View, order: int) -> np.ndarray:
    """A volume on slice `at` of the first scan, as radiologists hang it. motion: its world -> the first one's."""
    shape = tuple(1 if a == axis else n for a, n in enumerate(first.shape))
    index = np.indices(shape).reshape(3, -1).astype(float)
    index[axis] += at
    back = np.linalg.inv(motion @ volume.affine) @ first.affine
    place = back[:3, :3] @ index + back[:3, 3:]
    seen = ndimage.map_coordinates(volume.data.astype(np.float32), place, order=order, mode="constant")
    return np.asarray(hung(seen.reshape(shape), first.affine, view)[0])


def _lines(changes: Sequence[Mapping[str, Any]], last: Visit, view: str) -> list[Mapping[str, Any]]:
    """What the chart shows: volumes and thickness of one view in %, and probabilities, at the last visit."""
    return [
        row for row in changes
        if row["study_id"] == last.study_id and row["view"] in (view, "")
        and (row["measure"] == PROBABILITY or (row["measure"] in SHOWN and "percent" in row))
    ]  # fmt: skip


def _forest(ax: Axes, lines: Sequence[Mapping[str, Any]]) -> None:
    """Change with its interval, a line each; coloured where it is more than the measurement error."""
    names = []
    for y, row in enumerate(lines):
        chance = row["measure"] == PROBABILITY
        value, low, high = (
            [100 * row[k] for k in ("change", "low", "high")]
            if chance
            else [row[k] for k in ("percent", "percent_low", "percent_high")]
        )
        colour = {"less": LESS, "more": MORE}.get(row["beyond_error"], SAME)
        ax.plot([low, high], [y, y], color=colour, lw=1.4)
        ax.plot([value], [y], "o", color=colour, ms=4)
        what = "probability, points" if chance else SHOWN[row["measure"]]
        names.append(f"{row['target'].replace('_', ' ')} {what}")
    ax.axvline(0, color="#1c2024", lw=0.8)
    ax.set_yticks(range(len(names)), names)
    ax.set(ylim=(max(len(names), 1) - 0.5, -0.5), xlabel="change with its 95 % interval, % (probabilities: points)")
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    ax.grid(axis="x", alpha=0.25)
