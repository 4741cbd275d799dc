"""What a STUDY argument holds: a manifest, a folder of DICOM or NIfTI, one file, or several of these.

Folders of results (`walking.py: RESULT_FOLDERS`) and hidden ones hold no images and are passed over.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from orthodx.errors import NoInputError, StudyError, UsageError
from orthodx.joints import View
from orthodx.requests import GroupBy
from orthodx.studies import dicom
from orthodx.studies.keys import file_name, study_key
from orthodx.studies.manifest import MANIFEST, NAMED, read_manifest
from orthodx.studies.nifti import is_nifti
from orthodx.studies.nifti_studies import Image, listed_image, nifti_studies
from orthodx.studies.readable import counted
from orthodx.studies.series import Series
from orthodx.studies.shards import Shard
from orthodx.studies.study import Study, studies_of
from orthodx.studies.tables import read_table
from orthodx.studies.walking import Passed, Walk

MOST_TOLD = 5  # notes of one kind; more are counted


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


def find_series(
    paths: str | Path | Sequence[str | Path], view: View | None = None, group_by: GroupBy | None = None
) -> Found:
    """All studies under `paths`, images unread; a bad input is listed in `refused` and the others go on.

    paths: one or several. view: take every series as this view, whatever its slice normal says (isotropic volumes).
    group_by: how NIfTI files without a manifest become studies (`nifti_studies`). A study_id under which several
    patients have series is refused as a whole.
    """
    search = _Search()
    for path in map(Path, [paths] if isinstance(paths, (str, Path)) else paths):
        if not os.path.lexists(path):
            search.found.refused.append(Refused(str(path), "no such file or folder"))
            continue
        table = path if path.suffix.lower() == ".csv" else path / MANIFEST
        if not os.path.isfile(table):
            search.walk_through(path)
            continue
        try:
            search.read(table)
        except StudyError as error:  # a table no one can read costs only itself
            search.found.refused.append(Refused(str(table), error.line.removeprefix(f"{table.name}: ")))
    found, series = search.found, search.series
    of_files, said = nifti_studies(search.images, group_by, {one.study_id for one in series})
    series = [*series, *of_files]
    found.notes += [*_told(search.walk.passed), *_told(search.skipped), *([said] if said else [])]
    found.refused += [Refused(*item) for item in search.walk.refused]
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


def of_shard(found: Found, shard: Shard | None) -> Found:
    """What was found of the studies of a shard; inputs of no study are the first one's."""
    if shard is None:
        return found
    kept = [study for study in found.studies if shard.has(study.study_id)]
    notes = [*found.notes, f"shard {shard}: {len(kept)} of {len(found.studies)} studies"]
    return replace(found, studies=kept, refused=[bad for bad in found.refused if shard.has(bad.study_id)], notes=notes)


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
        hint = "; ".join(found.notes) or "give a folder of DICOM or NIfTI, or a manifest.csv"
        raise NoInputError(f"no MR series in {', '.join(map(str, paths))}", hint=hint)


class _Search:
    """One search: images are collected first, for only all of them together tell which are one study."""

    def __init__(self) -> None:
        self.found, self.walk = Found(), Walk()
        self.series: list[Series] = []  # by manifests, and DICOM
        self.images: list[Image] = []
        self.skipped: list[Passed] = []
        self._named_by: dict[str, tuple[Path, str]] = {}  # study -> the manifest that names it, and its patient
        self._tables: set[Path] = set()

    def walk_through(self, root: Path) -> None:
        """Everything below a folder, or one file."""
        given = not root.is_dir()
        rest: list[Path] = []
        before, refused = len(self.images) + len(self.series), len(self.found.refused) + len(self.walk.refused)
        flat = root.absolute()
        for path in self.walk.files(root):
            if path.name == MANIFEST:
                self.walk.passed.append(Passed(str(path), "not read; to use it, name its folder as a STUDY"))
            elif is_nifti(path):
                self.images.append(Image(path, given, given or path.absolute().parent == flat))
            else:
                rest.append(path)
        self.series += self._dicom(rest)
        nothing = len(self.images) + len(self.series) == before
        if given and nothing and len(self.found.refused) + len(self.walk.refused) == refused and not self.skipped:
            self.found.refused.append(Refused(str(root), "neither NIfTI nor DICOM"))

    def _dicom(self, paths: Iterable[Path]) -> list[Series]:
        inside = dicom.series_in(paths)
        self.found.refused += [Refused(*item) for item in inside.refused]
        self.skipped += [Passed(where, f"skipped: {why}") for where, why in inside.skipped]
        self.found.passed_over += inside.foreign
        return inside.series

    def read(self, table: Path) -> None:
        """The series that a manifest lists."""
        if table.resolve() in self._tables:
            self.walk.passed.append(Passed(str(table), "given twice, read once"))
            return
        self._tables.add(table.resolve())
        rows, faults = read_manifest(table, (*NAMED, "path"))
        self.found.refused += [Refused(f"{table} row {row}", reason) for row, reason in faults]
        nameless = {row["study_id"] for row in rows if not row["patient_id"]}
        if nameless:
            many = f"{counted(len(nameless), 'studies name')} no patient; each counts as a patient of its own"
            self.found.notes.append(f"{table}: {many}")
        strangers = {row["study_id"] for row in rows if self._is_strange(row, table)}
        for study in sorted(strangers):
            why = f"study '{study}' is in {self._named_by[study][0]} too, and no patient tells that it is the same one"
            self.found.refused.append(Refused(str(table), f"{why}; give each a study_id of its own", study))
        self.series = [one for one in self.series if one.study_id not in strangers]
        for row in rows:
            if row["study_id"] not in strangers and (one := self._listed(row, table)) is not None:
                self.series.append(one)

    def _is_strange(self, row: dict[str, Any], table: Path) -> bool:
        """Whether another manifest has a study of this id that may be another person's."""
        first, patient = self._named_by.setdefault(row["study_id"], (table, row["patient_id"]))
        return first != table and "" in (patient, row["patient_id"])

    def _listed(self, row: dict[str, Any], table: Path) -> Series | None:
        """The series that a row of a manifest means; None where it cannot be used."""
        one, wrong = self._at(str(row["path"]).strip(), table)
        if one is None:
            if wrong:
                self.found.refused.append(Refused(f"{table}: {row['path']}", wrong, row["study_id"]))
            return None
        told = str(row.get("view", "")).strip().casefold()
        if told and told not in set(View):
            self.found.notes.append(f"{table}: {row['path']}: '{row['view']}' is no view; the image's own counts")
        view = View(told) if told in set(View) else one.view
        ids = {name: row[name] for name in ("patient_id", "study_id", "series_id")}
        return replace(one, **ids, view=view, row={**one.row, **row})

    def _at(self, named: str, table: Path) -> tuple[Series | None, str]:
        """The image at a manifest's path, or what is wrong with it; nothing where that was said already."""
        root = table.resolve().parent
        try:
            path = (root / named).resolve()
            if not path.exists() and "\\" in named:  # written on Windows
                path = (root / named.replace("\\", "/")).resolve()
            if not path.is_relative_to(root):
                return None, f"leads out of the folder of {table.name}; move the images below it"
            if not path.exists():
                return None, f"named in {table.name} but not there"
        except (OSError, RuntimeError, ValueError) as error:
            return None, f"no path that can be followed ({getattr(error, 'strerror', None) or error})"
        walk = Walk()
        files = list(walk.files(path))
        self.walk.passed += walk.passed
        self.found.refused += [Refused(*item) for item in walk.refused]
        if files == [path] and is_nifti(path):
            return listed_image(path), ""
        if walk.refused and not files:
            return None, ""
        inside = self._dicom(files)
        if len(inside) != 1:
            what = "no image" if path.is_file() else f"a folder with {len(inside)} DICOM series, not one"
            return None, f"named in {table.name}, is {what}; name one image a row"
        return inside[0], ""


def _told(passed: Sequence[Passed]) -> list[str]:
    lines = [f"{where}: {why}" for where, why in passed]
    more = [f"and {len(lines) - MOST_TOLD} more passed over"] if len(lines) > MOST_TOLD else []
    return [*lines[:MOST_TOLD], *more]


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
        out.append(replace(s, series_id=candidate, own_id=s.series_id))
    return out
