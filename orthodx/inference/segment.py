"""`orthodx segment`: studies in; masks, volumes, status and previews out. One model load, one case at a time."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np

from orthodx.bundles.bundle import open_bundle
from orthodx.errors import NoInputError, OrthodxError, UsageError
from orthodx.grid.canonical import from_grid, to_grid
from orthodx.inference.compartments import settle_menisci
from orthodx.inference.device import pick_device
from orthodx.inference.dicom_seg import require_highdicom, write_dicom_seg
from orthodx.inference.plausibility import keep_largest, volumes_ml, warnings_for
from orthodx.inference.predict import Segmenter
from orthodx.inference.preview import write_preview
from orthodx.joints import JOINTS, View
from orthodx.studies.discover import find_series
from orthodx.studies.manifest import write_table
from orthodx.studies.nifti import write_mask
from orthodx.studies.read_ahead import read_ahead
from orthodx.studies.run_record import sha256, state_on_disk, write_json, write_run
from orthodx.studies.series import Series
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


def segment(
    studies: Sequence[Path], out: Path, *, model: str | Path = "knee-small", device: str = "auto",
    view: View | None = None, preview: bool = True, formats: Sequence[str] = ("nifti",), resume: bool = False,
    workers: int = 1,
    tell: Callable[[Case, int, int], None] = lambda case, done, total: None, command: Sequence[str] = (),
) -> list[Case]:  # fmt: skip
    """Segment every series found in `studies` and write the results under `out`.

    Writes masks `<series_id>.nii.gz` (uint8, exactly the input's grid), `volumes.csv`, `status.csv`,
    `previews/<series_id>.png` and `run.json`. view: read every series as this view. formats: of the masks,
    nifti and dicom-seg (`<series_id>.seg.dcm`, for series that are DICOM). resume: keep finished cases of an
    earlier run with the same model and input. workers: images read in advance. tell: called after each case
    with (case, done, total). Returns one `Case` a series; raises `NoInputError` when there was nothing to read.
    """
    started = datetime.now(timezone.utc)
    _check_formats(formats)
    found = find_series(studies, view)
    if not found.series and not found.refused:
        raise NoInputError(
            f"no MR series in {', '.join(map(str, studies))}",
            hint="give a folder of DICOM or NIfTI, or a manifest.csv",
        )
    bundle = open_bundle(model)
    segmenter = Segmenter(bundle, pick_device(device))
    out.mkdir(parents=True, exist_ok=True)
    cases = [Case("", "", source, "failed", reason, 0.0) for source, reason in found.refused]
    total = len(cases) + len(found.series)
    for i, case in enumerate(cases):
        tell(case, i + 1, total)
    kept = {s.series_id: _finished(s, bundle.digest, out, formats) for s in found.series} if resume else {}
    for case in filter(None, kept.values()):
        cases.append(case)
        tell(case, len(cases), total)
    for series, read in read_ahead([s for s in found.series if not kept.get(s.series_id)], workers):
        case = _segment_one(series, read, segmenter, out, preview, formats)
        if case.status != "failed":
            write_json(_receipt(series, out), {**_made_from(series, bundle.digest), "case": case.__dict__})
        cases.append(case)
        tell(case, len(cases), total)
        _write_tables(out, cases)
    _write_tables(out, cases)
    write_run(
        out / "run.json",
        command=command,
        started=started,
        facts={
            "model": {"name": bundle.info.name, "version": bundle.info.version, "sha256": bundle.digest},
            "device": str(segmenter.device),
            "inputs": [
                {"series_id": s.series_id, "sha256": sha256(s.path) if s.path.is_file() else "DICOM folder"}
                for s in found.series
            ],
            "counts": {s: sum(c.status == s for c in cases) for s in ("ok", "warned", "failed")},
        },
    )
    if not found.series or all(c.status == "failed" for c in cases):
        raise NoInputError("no case could be segmented", hint=f"the reasons are in {out / 'status.csv'}")
    return cases


def _check_formats(formats: Sequence[str]) -> None:
    unknown = [f for f in formats if f not in FORMATS]
    if unknown or not formats:
        raise UsageError(f"no format '{', '.join(unknown)}'", hint=f"formats are {', '.join(FORMATS)}")
    if "dicom-seg" in formats:
        require_highdicom()


def _masks(out: Path, series: Series, formats: Sequence[str]) -> list[Path]:
    """The mask files of one series, in the order of `formats`."""
    return [out / f"{series.series_id}{FORMATS[f]}" for f in formats]


def _segment_one(
    series: Series, read: Callable[[], Volume], segmenter: Segmenter, out: Path, preview: bool, formats: Sequence[str]
) -> Case:
    """The main path: open -> to grid -> features and head -> back to the input's grid -> write."""
    began, info = time.perf_counter(), segmenter.bundle.info
    case = Case(series.study_id, series.series_id, str(series.path), "ok", "", 0.0)
    try:
        volume = read()
        grid = to_grid(volume, info.grid, series.view)
        prediction = segmenter(grid)
        labels = from_grid(prediction.probabilities, grid)
        labels = keep_largest(settle_menisci(labels, volume.affine, info.structures), info.structures)
        voxel_mm3 = float(abs(np.linalg.det(volume.affine[:3, :3])))
        sizes = volumes_ml(labels, voxel_mm3, info.structures)
        notes = warnings_for(sizes, prediction.agreement, info.structures)
        if series.oblique:
            notes.append("oblique series: the view is uncertain")
        for kind, path in zip(formats, _masks(out, series, formats), strict=True):
            if kind == "nifti":
                write_mask(path, labels, volume)
            else:
                write_dicom_seg(path, labels, volume.affine, series, info.structures, info.name)
        if preview:
            joint = JOINTS[info.joint]
            write_preview(
                out / "previews" / f"{series.series_id}.png",
                volume,
                labels,
                series.view,
                joint,
                series.series_id,
            )
        case.status, case.reason = ("warned", "; ".join(notes)) if notes else ("ok", "")
        for value, name in info.structures.items():
            quality = prediction.agreement.get(value)
            case.volumes.append(
                {"study_id": series.study_id, "series_id": series.series_id, "view": str(series.view),
                 "structure": name, "voxels": sizes[value][0], "ml": round(sizes[value][1], 3),
                 "quality": "" if quality is None else round(quality, 3)}
            )  # fmt: skip
    except OrthodxError as error:
        case.status, case.reason = "failed", f"{error}; {error.hint}" if error.hint else str(error)
    except MemoryError:
        case.status, case.reason = "failed", "out of memory; close other programs or crop the image"
    case.seconds = round(time.perf_counter() - began, 2)
    return case


def _receipt(series: Series, out: Path) -> Path:
    return out / ".done" / f"{series.series_id}.json"


def _made_from(series: Series, model: str) -> dict[str, str]:
    return {"model": model, "input": state_on_disk(series.path), "view": str(series.view)}


def _finished(series: Series, model: str, out: Path, formats: Sequence[str]) -> Case | None:
    """The case of an earlier run, if its receipt is whole, model and input are the same, and its masks are there."""
    try:
        kept = json.loads(_receipt(series, out).read_text())
        whole = kept.items() >= _made_from(series, model).items()
        whole &= all(mask.is_file() for mask in _masks(out, series, formats))
        return Case(**kept["case"]) if whole else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _write_tables(out: Path, cases: list[Case]) -> None:
    write_table(out / "status.csv", [{**c.__dict__} for c in cases], STATUS_COLUMNS)
    write_table(out / "volumes.csv", [row for c in cases for row in c.volumes], VOLUME_COLUMNS)
