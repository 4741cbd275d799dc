"""`orthodx segment`: studies in; masks, volumes, status and previews out. One model load, one case at a time."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np

from orthodx.bundles.bundle import Bundle
from orthodx.errors import NoInputError, OrthodxError, StudyError, UsageError
from orthodx.grid.canonical import from_grid, to_grid
from orthodx.inference.dicom_seg import require_highdicom, write_dicom_seg
from orthodx.inference.model_choice import chosen_bundle, other_joint
from orthodx.inference.plausibility import as_anatomy, volumes_ml, warnings_for
from orthodx.inference.predict import Segmenter
from orthodx.inference.preview import write_preview
from orthodx.inference.sided_pairs import settle_pairs
from orthodx.networks.device import memory_errors, pick_device
from orthodx.requests import SegmentRequest, takes
from orthodx.studies.discover import among, find_series, require_any
from orthodx.studies.manifest import MANIFEST
from orthodx.studies.mask_files import VOLUMES
from orthodx.studies.nifti import write_mask
from orthodx.studies.read_ahead import read_ahead
from orthodx.studies.receipts import DONE, Receipts
from orthodx.studies.run_record import inputs_of, write_run
from orthodx.studies.series import Series
from orthodx.studies.tables import write_table
from orthodx.studies.volume import Volume

FORMATS = {"nifti": ".nii.gz", "dicom-seg": ".seg.dcm"}
VOLUME_COLUMNS = ("study_id", "series_id", "view", "structure", "voxels", "ml", "quality")
STATUS_COLUMNS = ("study_id", "series_id", "source", "status", "reason", "seconds")


@dataclass
class Case:
    """What became of one series (or of an input that never became one)."""

    study_id: str
    series_id: str
    source: str
    status: str  # ok, warned or failed
    reason: str
    seconds: float
    volumes: list[dict[str, Any]] = field(default_factory=list)


@takes(SegmentRequest)
def segment(
    request: SegmentRequest,
    *,
    tell: Callable[[Case, int, int], None] = lambda case, done, total: None,
    note: Callable[[str], None] = lambda line: None,
    command: Sequence[str] = (),
) -> list[Case]:
    """Segment every series of some studies; one `Case` a series.

    Writes masks `<series_id>.nii.gz` (uint8, exactly the input's grid), `volumes.csv`, `status.csv`,
    `previews/<series_id>.png` and `run.json`. tell: called after each case with (case, done, total). note: told facts
    worth knowing. Raises `NoInputError` when there was nothing to read, `UsageError` for options that cannot be met.

    >>> cases = orthodx.segment("cohort", "masks", preview=False)
    >>> cases[0].volumes[0]["structure"]
    'femur'
    """
    started, out = datetime.now(timezone.utc), request.out
    _check_formats(request.formats)
    found = among(find_series(request.studies, request.view, request.group_by), request.only)
    require_any(found, request.studies)
    for line in found.notes:
        note(line)
    bundle = chosen_bundle(request.model, request.joint, found.series, note)
    segmenter = Segmenter(bundle, pick_device(request.device))
    out.mkdir(parents=True, exist_ok=True)
    job = Job(segmenter, request, Receipts(out / DONE, {"model": bundle.digest}))
    job.spare_others(found.series)
    cases = [Case(bad.study_id, "", bad.source, "failed", bad.reason, 0.0) for bad in found.refused]
    kept = {s.series_id: job.finished(s) for s in found.series} if request.resume else {}
    cases += filter(None, kept.values())
    total = len(found.refused) + len(found.series)
    for i, case in enumerate(cases):
        tell(case, i + 1, total)
    for series, read in read_ahead([s for s in found.series if not kept.get(s.series_id)], request.workers):
        cases.append(job.do(series, read))
        tell(cases[-1], len(cases), total)
        _write_tables(out, cases)
    _write_tables(out, cases)
    facts = {
        "model": {"name": bundle.info.name, "version": bundle.info.version, "sha256": bundle.digest, **_taught(bundle)},
        "joint": bundle.info.joint.to_json(),
        "device": str(segmenter.device),
        "inputs": inputs_of(found.series),
        "counts": {s: sum(c.status == s for c in cases) for s in ("ok", "warned", "failed")},
    }
    write_run(out / "run.json", command=command, started=started, facts=facts)
    if all(c.status == "failed" for c in cases):
        raise NoInputError("no case could be segmented", hint=f"the reasons are in {out / 'status.csv'}")
    return cases


def _taught(bundle: Bundle) -> dict[str, Any]:
    """How the masks were learned, for `evaluate`: share of the labels, start and kind of the encoders."""
    of_masks = [r for r in bundle.info.training if str(r.get("stage", "")).startswith("finetune segment")]
    last: dict[str, Any] = of_masks[-1] if of_masks else {}
    if "from_scratch" not in last:
        return {}
    told = {"label_fraction": last.get("label_fraction", 1.0), "from_scratch": last["from_scratch"]}
    return {**told, "encoder": next(iter(bundle.info.encoders.values())).name}


def _check_formats(formats: Sequence[str]) -> None:
    unknown = [f for f in formats if f not in FORMATS]
    if unknown or not formats:
        raise UsageError(f"no format '{', '.join(unknown)}'", hint=f"formats are {', '.join(FORMATS)}")
    if "dicom-seg" in formats:
        require_highdicom()


@dataclass(frozen=True, eq=False)
class Job:
    """One run over many series: what it reads with, and where it writes."""

    segmenter: Segmenter
    request: SegmentRequest
    receipts: Receipts

    def do(self, series: Series, read: Callable[[], Volume]) -> Case:
        """One series, with a receipt for `resume`; one that cannot be done says why, and the others go on."""
        began = time.perf_counter()
        case = Case(series.study_id, series.series_id, str(series.path), "ok", "", 0.0)
        try:
            with memory_errors():
                notes = self._segment(series, read(), case)
            case.status, case.reason = ("warned", "; ".join(notes)) if notes else ("ok", "")
        except OrthodxError as error:
            case.status, case.reason = "failed", error.line
        except MemoryError:
            case.status, case.reason = "failed", "out of memory; close other programs or crop the image"
        case.seconds = round(time.perf_counter() - began, 2)
        if case.status != "failed":
            self.receipts.write(series.series_id, self._made_from(series), self._written(series), case.__dict__)
        return case

    def _segment(self, series: Series, volume: Volume, case: Case) -> list[str]:
        """The main path: to grid -> blocks and head -> back to the input's grid -> write; what a reader should know."""
        info = self.segmenter.bundle.info
        grid = to_grid(volume, info.grid, series.view)
        prediction = self.segmenter(grid)
        labels = np.array(info.joint.values, np.uint8)[from_grid(prediction.probabilities, grid)]
        labels = as_anatomy(settle_pairs(labels, volume.affine, info.joint), volume.spacing_mm, info.joint)
        sizes = volumes_ml(labels, float(abs(np.linalg.det(volume.affine[:3, :3]))), info.joint)
        notes = warnings_for(sizes, prediction.agreement, info.joint)
        notes += other_joint([series], self.segmenter.bundle)
        if series.oblique:
            notes.append("oblique series: the view is uncertain")
        notes += series.doubts
        if "nifti" in self.request.formats:
            write_mask(self._mask(series, "nifti"), labels, volume)
        if "dicom-seg" in self.request.formats:
            try:
                write_dicom_seg(self._mask(series, "dicom-seg"), labels, volume.affine, series, info.joint, info.name)
            except StudyError as error:
                if "nifti" not in self.request.formats:
                    raise
                notes.append(error.line)  # the mask is there all the same
        if self.request.preview:
            write_preview(self._preview(series), volume, labels, series.view, info.joint, series.series_id)
        for value, name in info.joint.names.items():
            quality = prediction.agreement.get(value)
            case.volumes.append(
                {
                    "study_id": series.study_id,
                    "series_id": series.series_id,
                    "view": str(series.view),
                    "structure": name,
                    "voxels": sizes[value][0],
                    "ml": round(sizes[value][1], 3),
                    "quality": "" if quality is None else round(quality, 3),
                }
            )
        return notes

    def spare_others(self, series: Sequence[Series]) -> None:
        """Raise `UsageError` where a result would be written over an image, or over what no run of ours wrote."""
        if (self.request.out / MANIFEST).is_file():
            raise UsageError(
                f"--out: {self.request.out} holds a cohort, whose record stays", hint="choose another folder"
            )
        images, ours = {os.path.realpath(one.path) for one in series}, self.receipts.folder.is_dir()
        for path in (path for one in series for path in self._files(one)):
            if os.path.realpath(path) in images or (path.exists() and not ours):
                raise UsageError(f"--out: {path} is there and is no result of ours", hint="choose another folder")
        self.receipts.folder.mkdir(parents=True, exist_ok=True)

    def finished(self, series: Series) -> Case | None:
        """The case of an earlier run, if model, options and input are the same and its files are whole."""
        kept = self.receipts.find(series.series_id, self._made_from(series))
        return None if kept is None else Case(**kept)

    def _made_from(self, series: Series) -> dict[str, Any]:
        options = {"formats": self.request.formats, "preview": self.request.preview}
        return {"input": series.content, "view": str(series.view), **options}

    def _written(self, series: Series) -> list[Path]:
        return [path for path in self._files(series) if path.is_file()]

    def _mask(self, series: Series, kind: str) -> Path:
        return self.request.out / f"{series.file_name}{FORMATS[kind]}"

    def _preview(self, series: Series) -> Path:
        return self.request.out / "previews" / f"{series.file_name}.png"

    def _files(self, series: Series) -> list[Path]:
        masks = [self._mask(series, kind) for kind in self.request.formats]
        return [*masks, self._preview(series)] if self.request.preview else masks


def _write_tables(out: Path, cases: list[Case]) -> None:
    write_table(out / "status.csv", [{**c.__dict__} for c in cases], STATUS_COLUMNS)
    write_table(out / VOLUMES, [row for c in cases for row in c.volumes], VOLUME_COLUMNS)
