"""What a STUDY argument holds: a manifest, a folder of DICOM or NIfTI, one file, or several of these.

Folders of results (`RESULT_FOLDERS`) and hidden ones hold no images and are passed over.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import nibabel as nib
import numpy as np

from orthodx.errors import NoInputError, StudyError, UsageError
from orthodx.joints import View
from orthodx.studies import dicom
from orthodx.studies.keys import file_name, study_key
from orthodx.studies.manifest import MANIFEST, read_manifest
from orthodx.studies.mask_files import VOLUMES, stem_of
from orthodx.studies.nifti import is_nifti, read_volume
from orthodx.studies.receipts import DONE
from orthodx.studies.series import Series
from orthodx.studies.study import Study, studies_of
from orthodx.studies.tables import read_table
from orthodx.studies.view import OBLIQUE_DEGREES, view_of

RESULT_FOLDERS = {"truth", "masks", "previews", "labelstr", "labelsts"}  # the last two are nnU-Net's
NNUNET_IMAGES = {"imagestr", "imagests", "imagesval"}


class Refused(NamedTuple):
    """An input that cannot be used: where it is, why, and its study where that is known."""

    source: str
    reason: str
    study_id: str = ""


@dataclass
class Found:
    """What a search found.

    studies: sound ones, in order. refused: inputs and studies left out. notes: what is worth a warning. passed_over:
    how many files were neither image nor table.
    """

    studies: list[Study] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    passed_over: int = 0

    @property
    def series(self) -> list[Series]:
        """The series of all studies, in the order of the studies."""
        return [series for study in self.studies for series in study.series]


def find_series(paths: Sequence[Path], view: View | None = None) -> Found:
    """All studies under `paths`, images unread; a bad input is listed in `refused` and the others go on.

    view: take every series as this view, whatever its slice normal says (isotropic volumes). A study_id under which
    several patients have series is refused as a whole.
    """
    found = Found()
    series: list[Series] = []
    for path in map(Path, paths):
        if not path.exists():
            found.refused.append(Refused(str(path), "no such file or folder"))
            continue
        table = path if path.suffix.lower() == ".csv" else path / MANIFEST
        try:
            series += _from_manifest(table, found) if table.is_file() else _from_files(path, found)
        except StudyError as error:  # a table no one can read costs only itself
            found.refused.append(Refused(str(table), error.line))
    if view is not None:
        series = [replace(s, view=view) for s in series]
    found.studies, mixed = studies_of(_unique(series))
    first = {s.study_id: str(s.path) for s in reversed(series)}
    found.refused += [Refused(first[study], reason, study) for study, reason in mixed.items()]
    return found


def among(found: Found, table: Path | None) -> Found:
    """What was found of the studies that a table names (`named_in`); all of it without a table.

    Raises `UsageError` where none of them was found.
    """
    if table is None:
        return found
    wanted = named_in(table)
    kept = [study for study in found.studies if study_key(study.study_id) in wanted]
    refused = [bad for bad in found.refused if study_key(bad.study_id) in wanted]
    if not kept and not refused:
        raise UsageError(f"--only: no study here is in {table.name}", hint="use the study_id of the manifest")
    return replace(found, studies=kept, refused=refused)


def named_in(table: Path) -> set[str]:
    """The studies in a table's column study_id, as `study_key`; raises `UsageError` where there is none."""
    if not table.is_file():
        raise UsageError(f"--only: {table} is not there", hint="check the path")
    rows = read_table(table, ("study_id",))
    if "study_id" not in rows.columns:
        raise UsageError(f"--only: {table.name} has no column 'study_id'", hint="name the studies in one")
    return {study_key(study) for study in rows["study_id"]} - {""}


def require_any(found: Found, paths: Sequence[Path]) -> None:
    """Raise `NoInputError` where a search found nothing at all, not even something to refuse."""
    if not found.studies and not found.refused:
        raise NoInputError(
            f"no MR series in {', '.join(map(str, paths))}", hint="give a folder of DICOM or NIfTI, or a manifest.csv"
        )


def files_under(root: Path) -> Iterator[Path]:
    """Files at any depth in a fixed order, without hidden ones and results; a file is itself."""
    if root.is_file():
        yield root
        return
    for folder, names, files in os.walk(root, followlinks=False):
        names[:] = sorted(n for n in names if n.lower() not in RESULT_FOLDERS and not n.startswith("."))
        for name in sorted(files):
            if not name.startswith(".") and not _is_mask_of_ours(Path(folder) / name):
                yield Path(folder) / name


def _is_mask_of_ours(path: Path) -> bool:
    """Whether `segment` wrote this file: its receipt lies beside it."""
    folder = path.parent
    return is_nifti(path) and (folder / VOLUMES).is_file() and (folder / DONE / f"{stem_of(path)}.json").is_file()


def _from_files(root: Path, found: Found) -> list[Series]:
    images: list[Path] = []
    rest: list[Path] = []
    for path in files_under(root):
        (images if is_nifti(path) else rest).append(path)
    series, refused, other = dicom.series_in(rest)
    for path in images:
        try:
            series.append(nifti_series(path))
        except StudyError as error:
            refused.append((str(path), error.line))
    if root.is_file() and not series and not refused:
        refused.append((str(root), "neither NIfTI nor DICOM"))
    found.refused += [Refused(*item) for item in refused]
    found.passed_over += other
    return series


def nifti_series(path: Path) -> Series:
    """A NIfTI file as a series of the study that its folder is; its header is read now, its voxels when loaded.

    In nnU-Net's folders of images every case is a study.
    """
    name = study_key(stem_of(path))
    folder = path.resolve().parent
    case = re.fullmatch(r"(.+)_\d{4}", name) if folder.name.casefold() in NNUNET_IMAGES else None
    name = case[1] if case else name
    study = name if case else study_key(folder.name) or "study"
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
        volume.require_image()
        return volume

    return load


def _from_manifest(table: Path, found: Found) -> list[Series]:
    series: list[Series] = []
    rows, faults = read_manifest(table)
    found.refused += [Refused(f"{table.name} row {row}", reason) for row, reason in faults]
    nameless = {row["study_id"] for row in rows if not row["patient_id"]}
    if nameless:
        found.notes.append(
            f"{table.name}: {len(nameless)} studies name no patient; each counts as a patient of its own"
        )
    for row in rows:
        one = _listed(row, table, found)
        if one is not None:
            series.append(one)
    return series


def _listed(row: dict[str, Any], table: Path, found: Found) -> Series | None:
    """The series that a row of a manifest means; None where it cannot be used."""
    root = table.resolve().parent
    path = (root / str(row["path"])).resolve()
    wrong = ""
    if not path.is_relative_to(root):
        wrong = f"leads out of the folder of {table.name}; move the images below it"
    elif not path.exists():
        wrong = f"named in {table.name} but not there"
    elif is_nifti(path):
        one = nifti_series(path)
    else:
        inside, bad, _ = dicom.series_in(files_under(path))
        found.refused += [Refused(*item) for item in bad]
        if len(inside) == 1:
            one = inside[0]
        else:
            wrong = f"holds {len(inside)} DICOM series, not one"
    if wrong:
        found.refused.append(Refused(str(row["path"]), wrong, row["study_id"]))
        return None
    view = View(row["view"]) if row.get("view") in set(View) else one.view
    ids = {name: row[name] for name in ("patient_id", "study_id", "series_id")}
    return replace(one, **ids, view=view, row={**one.row, **row})


def _unique(series: list[Series]) -> list[Series]:
    """Series whose files would have one name get their study's in front, and a number if that is not enough."""
    counts = Counter(s.file_name.casefold() for s in series)
    taken: set[str] = set()
    out = []
    for s in series:
        name = s.series_id if counts[s.file_name.casefold()] == 1 else f"{s.study_id}_{s.series_id}"
        candidate, n = name, 2
        while file_name(candidate).casefold() in taken:
            candidate, n = f"{name}-{n}", n + 1
        taken.add(file_name(candidate).casefold())
        out.append(replace(s, series_id=candidate))
    return out
