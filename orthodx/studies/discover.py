"""What a STUDY argument holds: a manifest, a folder of DICOM or NIfTI, one file, or several of these.

Folders named `truth`, `masks` or `previews` and hidden ones are results, not images, and are passed over.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from orthodx.errors import StudyError
from orthodx.joints import View
from orthodx.studies import dicom
from orthodx.studies.manifest import read_manifest
from orthodx.studies.nifti import is_nifti, read_volume
from orthodx.studies.series import Found, Series
from orthodx.studies.view import OBLIQUE_DEGREES, view_of

RESULT_FOLDERS = {"truth", "masks", "previews"}
MANIFEST = "manifest.csv"


def find_series(paths: Sequence[Path], view: View | None = None) -> Found:
    """All series under `paths`, images unread; a bad input is listed in `refused` and the others go on.

    view: take every series as this view, whatever its slice normal says (isotropic volumes).
    """
    series: list[Series] = []
    refused: list[tuple[str, str]] = []
    passed_over = 0
    for path in paths:
        if not path.exists():
            refused.append((str(path), "no such file or folder"))
            continue
        table = path if path.suffix.lower() == ".csv" else path / MANIFEST
        if table.is_file():
            more, bad = _from_manifest(table)
            other = 0
        else:
            more, bad, other = _from_files(path)
        series += more
        refused += bad
        passed_over += other
    if view is not None:
        series = [replace(s, view=view) for s in series]
    return Found(_unique(series), refused, passed_over)


def files_under(root: Path) -> Iterator[Path]:
    """Files at any depth in a fixed order, without hidden ones and results; a file is itself."""
    if root.is_file():
        yield root
        return
    for folder, names, files in os.walk(root, followlinks=False):
        names[:] = sorted(n for n in names if n.lower() not in RESULT_FOLDERS and not n.startswith("."))
        for name in sorted(files):
            if not name.startswith("."):
                yield Path(folder) / name


def _from_files(root: Path) -> tuple[list[Series], list[tuple[str, str]], int]:
    images: list[Path] = []
    rest: list[Path] = []
    for path in files_under(root):
        (images if is_nifti(path) else rest).append(path)
    series, refused, other = dicom.series_in(rest)
    for path in images:
        try:
            series.append(nifti_series(path))
        except StudyError as error:
            refused.append((str(path), _line(error)))
    if root.is_file() and not series and not refused:
        refused.append((str(root), "neither NIfTI nor DICOM"))
    return series, refused, other


def _line(error: StudyError) -> str:
    return f"{error}; {error.hint}" if error.hint else str(error)


def nifti_series(path: Path, study_id: str | None = None) -> Series:
    """A NIfTI file as a series; its header is read now, its voxels when loaded."""
    name = safe_name(re.sub(r"\.nii(\.gz)?$", "", path.name, flags=re.IGNORECASE))
    study = study_id or safe_name(path.resolve().parent.name) or "study"
    try:
        image: Any = nib.load(path)
        view, angle = view_of(np.asarray(image.affine, float), image.shape)
        oblique = bool(angle > OBLIQUE_DEGREES)
    except Exception:  # whatever is wrong is said in full, and once, when the volume is read
        view, oblique = View.SAGITTAL, False
    return Series(study, study, name, path, view, oblique, load=_loader(path))


def _loader(path: Path) -> Callable:
    def load():
        volume = read_volume(path)
        volume.require_contrast()
        return volume

    return load


def safe_name(text: str) -> str:
    """A file name of letters, digits, dot, dash and underscore, without leading dots."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", text).lstrip(".")[:120] or "unnamed"


def _from_manifest(table: Path) -> tuple[list[Series], list[tuple[str, str]]]:
    series, refused = [], []
    root = table.resolve().parent
    for row in read_manifest(table):
        path = (root / str(row["path"])).resolve()
        if not path.is_relative_to(root):
            refused.append((str(row["path"]), f"leads out of the folder of {table.name}; move the images below it"))
            continue
        if not path.exists():
            refused.append((str(row["path"]), f"named in {table.name} but not there"))
            continue
        view = View(row["view"]) if row.get("view") in set(View) else None
        if is_nifti(path):
            one = nifti_series(path)
        else:
            inside, bad, _ = dicom.series_in(files_under(path))
            refused += bad
            if len(inside) != 1:
                refused.append((str(row["path"]), f"holds {len(inside)} DICOM series, not one"))
                continue
            one = inside[0]
        series.append(
            replace(
                one,
                patient_id=safe_name(str(row["patient_id"])),
                study_id=safe_name(str(row["study_id"])),
                series_id=safe_name(str(row["series_id"])),
                view=view or one.view,
                row={**one.row, **row},
            )
        )
    return series, refused


def _unique(series: list[Series]) -> list[Series]:
    """Series with the same id get their study's name in front, and a number if that is not enough."""
    counts: dict[str, int] = {}
    for s in series:
        counts[s.series_id] = counts.get(s.series_id, 0) + 1
    taken: set[str] = set()
    out = []
    for s in series:
        name = s.series_id if counts[s.series_id] == 1 else f"{s.study_id}_{s.series_id}"
        candidate, n = name, 2
        while candidate in taken:
            candidate, n = f"{name}-{n}", n + 1
        taken.add(candidate)
        out.append(replace(s, series_id=candidate))
    return out
