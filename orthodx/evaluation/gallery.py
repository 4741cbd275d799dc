"""The worst cases, with a picture each: where the mask and the truth differ most, or the study that was misread."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import nibabel as nib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from orthodx.errors import StudyError
from orthodx.evaluation.segment_scores import ABSENT
from orthodx.joints import Joint, View
from orthodx.studies.keys import file_name
from orthodx.studies.mask_files import files_by_name
from orthodx.studies.nifti import is_nifti, read_volume
from orthodx.studies.view import axis_of_view, view_of
from orthodx.studies.volume import Volume, turned_like
from orthodx.studies.writing import atomic

if TYPE_CHECKING:
    from orthodx.evaluation.evaluate import Evaluation

# Of a RAS+ array the axis across slices, down and along; down and along run backwards: head, front, right first.
_HUNG = {View.SAGITTAL: (0, 2, 1), View.CORONAL: (1, 2, 0), View.AXIAL: (2, 1, 0)}
ACROSS = {  # views whose normals run down and along
    View.SAGITTAL: (View.AXIAL, View.CORONAL),
    View.CORONAL: (View.AXIAL, View.SAGITTAL),
    View.AXIAL: (View.CORONAL, View.SAGITTAL),
}


@dataclass(frozen=True)
class WorstCase:
    """One card: title, lines of facts, PNG as data URI (blank without an image), what a screen reader says."""

    title: str
    facts: tuple[str, ...]
    picture: str
    alt: str


def worst_masks(e: Evaluation, folder: Path) -> list[WorstCase]:
    """The series with the lowest mean Dice over their structures."""
    m = e.run.masks
    if m is None or e.inputs.segmentation is None:
        return []
    scored = m[m["state"] != ABSENT]
    mean = scored.groupby("series_id")["dice"].mean().nsmallest(e.settings.worst)
    cards = []
    for series, dice in mean.items():
        part = scored[scored["series_id"] == series]
        low = part.nsmallest(3, "dice")
        worst = ", ".join(f"{n.replace('_', ' ')} {d:.2f}" for n, d in zip(low["structure"], low["dice"], strict=True))
        group = [f"{name}: {e.series_groups[name][part.index[0]]}" for name in e.settings.by]
        picture = _masks_picture(e, str(series), folder / f"worst_mask_{len(cards) + 1}.png")
        cards.append(WorstCase(f"{series}: mean Dice {dice:.3f}", (f"lowest: {worst}", *group), picture,
                               f"truth and mask of {series}"))  # fmt: skip
    return cards


def worst_diagnoses(e: Evaluation, folder: Path) -> list[WorstCase]:
    """The labels of studies whose probability is farthest from the truth."""
    d = e.run.diagnoses
    if d is None:
        return []
    miss = np.abs(d.probability - d.truth)
    order = np.argsort(-np.nan_to_num(miss, nan=-1.0), axis=None, kind="stable")[: e.settings.worst]
    cards = []
    for study, label in zip(*np.unravel_index(order, miss.shape), strict=True):
        if np.isnan(miss[study, label]):
            break
        truth = "positive" if d.truth[study, label] == 1 else "negative"
        said = f"predicted {d.probability[study, label]:.3f}, truth {truth}"
        group = [f"{name}: {e.groups[name][study]}" for name in e.settings.by]
        image = _image_of(e, "study_id", str(d.studies[study]))
        path = folder / f"worst_diagnosis_{len(cards) + 1}.png"
        picture = "" if image is None else _draw(path, image, [("", {})], None, e.joint)
        cards.append(WorstCase(f"{d.studies[study]}: {d.labels[label]}", (said, *group), picture,
                               f"middle slice of {d.studies[study]}"))  # fmt: skip
    return cards


def _image_of(e: Evaluation, key: str, value: str) -> tuple[Volume, View] | None:
    """The image of a case by the manifest; None for DICOM, for paths out of its folder and for unreadable files."""
    if e.manifest is None or e.inputs.manifest is None:
        return None
    rows = e.manifest[e.manifest[key] == value]
    root = e.inputs.manifest.resolve().parent
    for row in rows.to_dict("records"):
        path = root / str(row["path"])
        if ".." in path.parts or not is_nifti(path) or not path.is_file():
            continue
        try:
            volume = read_volume(path)
            named = row.get("view")
            return volume, View(named) if named in set(View) else view_of(volume.affine, volume.shape)[0]
        except StudyError:
            continue
    return None


def hung(data: np.ndarray, affine: np.ndarray, view: View) -> np.ndarray:
    """(slices, rows, columns) of a view, turned as a radiologist hangs it."""
    ras = nib.orientations.apply_orientation(data, nib.orientations.io_orientation(affine))
    return np.transpose(ras, _HUNG[view])[:, ::-1, ::-1]


def _masks_picture(e: Evaluation, series: str, path: Path) -> str:
    maps = [read_volume(files_by_name(folder)[file_name(series)]) for folder in e.inputs.segmentation or ()]
    found, truth = (Volume(v.data.astype(np.uint8), v.affine, v.source, v.codes) for v in maps)
    found = turned_like(found, truth)
    image = _image_of(e, "series_id", series)
    if image is None or image[0].shape != truth.shape:
        blank = Volume(np.zeros(truth.shape, np.float32), truth.affine, series)
        image = blank, view_of(truth.affine, truth.shape)[0]
    differs = hung(found.data != truth.data, truth.affine, image[1])
    at = int(np.argmax(differs.sum((1, 2))))
    return _draw(path, image, [("truth", {"map": truth}), ("mask", {"map": found})], at, e.joint)


def _draw(
    path: Path, image: tuple[Volume, View], panels: list[tuple[str, dict[str, Volume]]], at: int | None,
    joint: Joint,
) -> str:  # fmt: skip
    """Slice `at` (None: the middle one) once a panel with the outlines of its label map; the PNG as data URI."""
    volume, view = image
    stack = hung(volume.data, volume.affine, view)
    at = len(stack) // 2 if at is None else at
    plane = stack[at]
    down, along = (volume.spacing_mm[axis_of_view(volume.affine, across)] for across in ACROSS[view])
    figure = Figure(figsize=(3.1 * len(panels), 3.3), facecolor="black", layout="constrained")
    FigureCanvasAgg(figure)
    low, high = np.percentile(plane, [1, 99.5])
    for ax, (title, layers) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        ax.imshow(plane, cmap="gray", vmin=low, vmax=max(high, low + 1e-6), aspect=down / along)
        for labels in layers.values():
            slab = hung(labels.data, labels.affine, view)[at]
            for s in joint.structures:
                if (slab == s.value).any():
                    ax.contour(slab == s.value, [0.5], colors=s.colour, linewidths=1.1)
        ax.set_axis_off()
        ax.set_title(f"{title}  slice {at + 1}".strip(), color="white", fontsize=9)
    with atomic(path) as temporary:
        figure.savefig(temporary, dpi=90, format="png")
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()
