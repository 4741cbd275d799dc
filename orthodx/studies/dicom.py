"""DICOM as series: the one reader that `convert`, `segment` and every other command share.

files -> headers -> stacks -> named series; voxels are converted and verified when a series is loaded.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from orthodx.errors import StudyError
from orthodx.studies.conversion import check_geometry, convert_stack
from orthodx.studies.dicom_files import candidates
from orthodx.studies.grouping import COPIES, NAMED, LeftOut, Sorted, Stack, sort_files
from orthodx.studies.identity import pseudonym
from orthodx.studies.metadata import describe, number
from orthodx.studies.readable import counted
from orthodx.studies.series import Series
from orthodx.studies.view import OBLIQUE_DEGREES, view_of
from orthodx.studies.volume import Volume


@dataclass(frozen=True)
class Named:
    """A stack and what it is called: ids are keyed hashes; `label` is for the terminal and may name a folder."""

    stack: Stack
    patient_id: str
    study_id: str
    series_id: str
    label: str

    def row(self) -> dict[str, Any]:
        """Manifest columns known before the voxels are read."""
        stack, facts, te = self.stack, self.stack.facts, self.stack.kind.echo_time_ms
        view, angle = view_of(tag_affine(stack), (*stack.kind.matrix[::-1], len(stack.frames)))
        warnings = list(stack.warnings)
        missing = [n for n, id_ in (("PatientID", stack.kind.uids.patient), ("StudyInstanceUID", stack.kind.uids.study))
                   if not id_.strip()]  # fmt: skip
        if missing:
            warnings.append(f"{' and '.join(missing)} blank: joined with nobody")
        if str(facts.get("BurnedInAnnotation", "")).upper() == "YES":
            warnings.append("BurnedInAnnotation is YES: text in the pixels may name the patient")
        return {
            **describe(facts),
            "patient_id": self.patient_id,
            "study_id": self.study_id,
            "series_id": self.series_id,
            "view": str(view),
            "oblique": int(angle > OBLIQUE_DEGREES),
            "te": "" if te is None else te,
            "slices": len(stack.frames),
            "echo": stack.kind.echo.partition("/")[0],
            "part": stack.kind.part,
            "modality": stack.modality,
            "warnings": "; ".join(warnings),
        }


def name_stacks(stacks: Sequence[Stack], key: Path | None = None) -> list[Named]:
    """Unique ids for all stacks of a run. key: the key file, this user's own unless given.

    A blank PatientID stays blank, which is nobody else's. A blank StudyInstanceUID (0020,000D) makes a study of each
    series, a blank SeriesInstanceUID of each folder.
    """
    echoes: dict[str, set[float]] = defaultdict(set)
    for stack in stacks:
        echoes[_own_series(stack)].add(stack.kind.echo_time_ms or 0.0)
    named, taken = [], set()
    for stack in stacks:
        kind, te = stack.kind, stack.kind.echo_time_ms or 0.0
        own_series = _own_series(stack)
        study = f"study-{pseudonym(kind.uids.study or f'series {own_series}', key=key)}"
        patient = f"patient-{pseudonym(kind.uids.patient, key=key)}" if kind.uids.patient.strip() else ""
        serial = int(number(stack.facts, "SeriesNumber") or 0)
        series_id = f"{study}_s{serial:03d}-{pseudonym(own_series, 6, key)}"
        if len(echoes[own_series]) > 1:
            series_id += f"_e{sorted(echoes[own_series]).index(te) + 1}"
        if kind.part != "magnitude":
            series_id += f"_{kind.part}"
        base, n = series_id, 2
        while series_id in taken:
            series_id, n = f"{base}-{n}", n + 1
        taken.add(series_id)
        label = f"{'/'.join(stack.frames[0].file.folder.parts[-2:])}: series {serial}" + (
            f" echo TE {te:g} ms" if te else ""
        )
        named.append(Named(stack, patient, study, series_id, label))
    return named


def _own_series(stack: Stack) -> str:
    """The series that it is of: by UID, else by folder."""
    return stack.kind.uids.series or f"folder {stack.frames[0].file.folder.resolve()}"


def images_of(stack: Stack, key: Path | None = None) -> list[str]:
    """Keyed hashes of its images, to know them again wherever they lie and whatever the series is called.

    Images without a SOPInstanceUID are known by their files' names, places and echo, within their series.
    """
    series = f"{stack.kind.uids.study} {_own_series(stack)} {stack.kind.echo}"
    names = (one.sop or f"{series} {one.file.name} {one.position}" for one in stack.frames)
    told = zip(names, stack.frames, strict=True)
    return sorted(pseudonym(f"image {name} {one.index}", 10, key) for name, one in told)


def open_dicom(
    paths: Iterable[Path], workers: int = 0, tick: Callable[[int], None] = lambda done: None,
    begin: Callable[[int], None] = lambda total: None,
) -> tuple[Sorted, list[tuple[str, str]]]:  # fmt: skip
    """Everything DICOM among `paths`, zips opened, and the archives refused. begin: told how many files there are."""
    files, refused = candidates(paths)
    begin(len(files))
    return sort_files(files, workers, tick), refused


def say_left_out(left: LeftOut) -> tuple[str, str]:
    """Where and why: a folder; of a fault, of copies, or where one file is all, the files by name."""
    where, many = left.files[0], len(left.files)
    if not left.fault and left.reason != COPIES and many > 1:
        return str(where.folder), f"{left.reason} ({counted(many, 'files')})"
    names = [file.name for file in left.files[:NAMED]] + ["..."] * (many > NAMED)
    return f"{where.folder}/{', '.join(names)}", left.reason + (f" ({counted(many, 'files')})" if many > 1 else "")


def is_refused(left: LeftOut) -> bool:
    """Whether something is lost with it: a fault, or images whose places cannot be known. The rest is no volume."""
    return left.fault or "mosaic" in left.reason


class InDicom(NamedTuple):
    """series: lazily loaded. refused, skipped: (where, why); skipped is what is no volume, such as a localizer.

    foreign: how many files are no DICOM.
    """

    series: list[Series]
    refused: list[tuple[str, str]]
    skipped: list[tuple[str, str]]
    foreign: int


def series_in(paths: Iterable[Path], workers: int = 0) -> InDicom:
    """All stacks among `paths`, and what was left out."""
    found, refused = open_dicom(paths, workers)
    refused += [say_left_out(left) for left in found.left_out if is_refused(left)]
    skipped = [say_left_out(left) for left in found.left_out if not is_refused(left)]
    series = []
    for named in name_stacks(found.stacks):
        stack, row = named.stack, named.row()
        try:
            if len(stack.frames) < 2 or stack.fault.startswith("4D"):
                check_geometry(stack, named.label)
        except StudyError as error:
            refused.append((named.label, str(error).removeprefix(f"{named.label}: ")))
            continue
        view, angle = view_of(tag_affine(stack), (*stack.kind.matrix[::-1], len(stack.frames)))
        series.append(
            Series(
                patient_id=named.patient_id,
                study_id=named.study_id,
                series_id=named.series_id,
                path=stack.frames[0].file.folder,
                view=view,
                oblique=angle > OBLIQUE_DEGREES,
                load=_loader(named),
                row={**row, "converter": "verified"},
                stack=stack,
            )
        )
    return InDicom(series, refused, skipped, found.foreign)


def _loader(named: Named) -> Callable[[], Volume]:
    def load() -> Volume:
        volume, _ = convert_stack(named.stack, named.label)
        return Volume(volume.data.astype(np.float32), volume.affine, volume.source)

    return load


def tag_affine(stack: Stack) -> np.ndarray:
    """Voxel index -> RAS mm, (4, 4), from the tags alone: enough to tell the view."""
    first = stack.frames[0]
    gaps = np.diff([f.position @ stack.normal for f in stack.frames])
    row_mm, column_mm = first.spacing
    affine = np.eye(4)
    affine[:3, 0] = np.array(first.orientation[:3]) * column_mm
    affine[:3, 1] = np.array(first.orientation[3:]) * row_mm
    affine[:3, 2] = stack.normal * max(float(np.median(gaps)) if len(gaps) else 1.0, 1e-3)
    affine[:3, 3] = first.position
    affine[:2] *= -1
    return affine
