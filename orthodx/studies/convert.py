"""`orthodx convert`: DICOM in; verified NIfTI, sidecars, manifest and the reasons for everything left out."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from orthodx.errors import NoInputError, StudyError, UsageError
from orthodx.studies.conversion import convert_stack
from orthodx.studies.dicom import Named, name_stacks, open_dicom, say_left_out
from orthodx.studies.discover import MANIFEST, files_under
from orthodx.studies.grouping import LeftOut, Stack
from orthodx.studies.identity import key_path, load_key, pseudonym
from orthodx.studies.manifest import COLUMNS, write_table
from orthodx.studies.nifti import write_image
from orthodx.studies.processes import spread
from orthodx.studies.run_record import write_json, write_run
from orthodx.studies.sidecar import sidecar
from orthodx.studies.site_map import SiteMap, read_site_map

MANIFEST_COLUMNS = (*COLUMNS, "ti", "etl", "echo", "part", "modality", "warnings")
SERIES_COLUMNS = ("study_id", "series_id", "status", "reason", "modality", "part", "echo", "slices", "files")
FAILURE_COLUMNS = ("study_id", "series_id", "files", "reason")
_DONE = ".done"


@dataclass
class Outcome:
    """What became of one series. label and reason are for the terminal; the tables get `reason` without file names."""

    study_id: str
    series_id: str
    status: str  # converted, kept (by --resume), skipped or refused
    label: str
    reason: str
    files: int
    row: dict[str, Any] = field(default_factory=dict)
    names: tuple[str, ...] = ()  # file names that `reason` may hold

    @property
    def nameless_reason(self) -> str:
        """The reason without file names, which may hold UIDs and dates, and without the label."""
        reason = self.reason
        for name in sorted(self.names, key=len, reverse=True):
            reason = reason.replace(name, "one file")
        return reason


Tell = Callable[[Outcome, int, int], None]
Progress = Callable[[str, int, int], None]


def convert(
    paths: Sequence[Path], out: Path, *, site_map: Path | None = None, key: Path | None = None,
    resume: bool = False, descriptions: bool = False, workers: int = 0, command: Sequence[str] = (),
    tell: Tell = lambda outcome, done, total: None, progress: Progress = lambda stage, done, total: None,
) -> list[Outcome]:  # fmt: skip
    """Convert every DICOM stack in `paths` (folders, files, zips) to `out/<study_id>/<series_id>.nii.gz`.

    Writes a JSON sidecar beside each image, `manifest.csv`, `series.csv` (each series, kept or not, and why),
    `failures.csv` and `run.json`. site_map: CSV that names centers. key: key file of the ids, outside `out`.
    resume: keep what an earlier run finished. descriptions: add the series description, free text, to the
    manifest. workers: processes. Raises `NoInputError` when nothing could be converted.
    """
    started = datetime.now(timezone.utc)
    paths, out = [Path(p) for p in paths], Path(out)
    key = _usable_key(key, out)
    sites = read_site_map(site_map) if site_map else SiteMap()
    _claim(out, resume)
    outcomes = [
        Outcome("", "", "refused", str(p), "no such file or folder", 0, names=(str(p),))
        for p in paths
        if not p.exists()
    ]
    counted = [0, 0]  # headers read, files

    def tick(done: int) -> None:
        counted[0] += done
        progress("reading headers", counted[0], counted[1])

    found, bad_archives = open_dicom(
        _inputs(paths, out), workers, tick, begin=lambda total: counted.__setitem__(1, total)
    )
    outcomes += [Outcome("", "", "refused", where, reason, 0, names=(where,)) for where, reason in bad_archives]
    faulty = {stack.kind.uids.series for stack in found.stacks if stack.fault}
    outcomes += [_left_out(x, key) for x in found.left_out if not (x.fault and x.uids.series in faulty)]
    named = name_stacks(found.stacks, key)
    total = len(named) + len(outcomes)
    for i, outcome in enumerate(outcomes):
        tell(outcome, i + 1, total)
    kept, todo = _split_finished(named, out, key, sites, descriptions) if resume else ([], named)
    for outcome in kept:
        outcomes.append(outcome)
        tell(outcome, len(outcomes), total)
    one = partial(_convert_one, out=out, sites=sites, descriptions=descriptions)
    for outcome in spread(one, [(n, _stamp(n.stack, key)) for n in todo], workers):
        outcomes.append(outcome)
        progress("converting", len(outcomes), total)
        tell(outcome, len(outcomes), total)
    _finish(out, outcomes, descriptions)
    write_run(
        out / "run.json", command=[_nameless(c, paths) for c in command], started=started,
        facts={"counts": {s: sum(o.status == s for o in outcomes) for s in ("converted", "kept", "skipped", "refused")},
               "files_not_dicom": found.foreign},
    )  # fmt: skip
    if not any(o.status in ("converted", "kept") for o in outcomes):
        hint = f"the reasons are in {out / 'series.csv'}" if outcomes else "give a folder of DICOM, or a zip"
        raise NoInputError("no DICOM series could be converted", hint=hint)
    return outcomes


def _usable_key(key: Path | None, out: Path) -> Path:
    """The key file, made where it is missing; refuses one that would travel with the output."""
    key = key or key_path()
    if key.resolve().is_relative_to(out.resolve()):
        raise UsageError(f"{key}: the key lies in the output folder", hint="keep it elsewhere: it undoes the ids")
    load_key(key)
    if not key.is_file():
        raise UsageError(f"{key}: the key can be neither read nor made", hint="give another --key FILE")
    return key


def _claim(out: Path, resume: bool) -> None:
    """Refuse to write over an earlier run; with `resume` remove what a killed run left half-written."""
    if not resume and ((out / MANIFEST).exists() or (out / _DONE).exists()):
        raise UsageError(f"{out}: holds an earlier conversion", hint="add --resume, or give another --out")
    out.mkdir(parents=True, exist_ok=True)
    for litter in [*out.glob(".part-*"), *out.glob("*/.part-*")]:
        litter.unlink(missing_ok=True)


def _inputs(paths: Iterable[Path], out: Path) -> Iterable[Path]:
    for path in paths:
        for file in files_under(path) if path.exists() else ():
            if out not in file.parents:
                yield file


def _nameless(argument: str, paths: Sequence[Path]) -> str:
    """Paths may hold a patient's name: the record says only that an input stood there."""
    return "INPUT" if Path(argument) in paths else argument


def _left_out(left: LeftOut, key: Path) -> Outcome:
    known = left.uids.study or left.uids.patient or left.uids.series
    study = f"study-{pseudonym(known, key=key)}" if known else ""
    series = f"{study}_{pseudonym(left.uids.series, 6, key)}" if left.uids.series else ""
    where, reason = say_left_out(left)
    names = tuple(f.name for f in left.files)
    return Outcome(study, series, "refused" if left.fault or "mosaic" in reason else "skipped", where, reason,
                   len(left.files), names=names)  # fmt: skip


def _convert_one(task: tuple[Named, str], out: Path, sites: SiteMap, descriptions: bool) -> Outcome:
    """The main path of one series: convert and verify -> image -> sidecar -> receipt, each written whole."""
    named, stamp = task
    stack = named.stack
    outcome = Outcome(named.study_id, named.series_id, "converted", named.label, "", len(stack.files))
    try:
        volume, converter = convert_stack(stack, named.label)
        image = out / named.study_id / f"{named.series_id}.nii.gz"
        write_image(image, compact(volume.data), volume.affine)
        write_json(image.with_name(f"{named.series_id}.json"), sidecar(stack.facts, stack.kind.part, converter))
        place = {"path": image.relative_to(out).as_posix(), "converter": converter}
        outcome.row = {**_row(named, sites, descriptions), **place}
        outcome.reason = "one 3D stack, every slice verified"
        receipt = {"inputs": stamp, "bytes": image.stat().st_size, "row": outcome.row}
        write_json(out / _DONE / f"{named.series_id}.json", receipt)
    except StudyError as error:
        reason = str(error).removeprefix(f"{named.label}: ")
        outcome.status, outcome.reason = "refused", f"{reason}; {error.hint}" if error.hint else reason
        outcome.row = named.row()
        outcome.names = (stack.faulty_file, *(f.name for f in stack.files)) if stack.faulty_file else tuple(
            f.name for f in stack.files
        )  # fmt: skip
    except MemoryError:
        outcome.status, outcome.reason = "refused", "out of memory; convert it with fewer --workers"
    return outcome


def _row(named: Named, sites: SiteMap, descriptions: bool) -> dict[str, Any]:
    row, facts = named.row(), named.stack.facts
    row["center"] = sites.center(facts, row) or row["center"]
    return {**row, "description": str(facts.get("SeriesDescription", ""))} if descriptions else row


def compact(data: np.ndarray) -> np.ndarray:
    """The same values in the smallest of int16, uint16, int32 and float32 that holds them all."""
    if data.dtype.kind == "f" and not (data == np.rint(data)).all():
        return data.astype(np.float32)
    low, high = float(data.min()), float(data.max())
    for kind in (np.int16, np.uint16, np.int32):
        if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max:
            return data.astype(kind)
    return data.astype(np.float32)


def _stamp(stack: Stack, key: Path) -> str:
    """Keyed hash of names, sizes and times of a stack's files."""
    return pseudonym(json.dumps([file.stamp() for file in stack.files]), 32, key)


def _split_finished(
    named: list[Named], out: Path, key: Path, sites: SiteMap, descriptions: bool
) -> tuple[list[Outcome], list[Named]]:
    """What an earlier run finished, its files unchanged and its image whole; and what is still to do."""
    kept, todo = [], []
    for one in named:
        receipt = _receipt(out / _DONE / f"{one.series_id}.json", out)
        if receipt is None or receipt["inputs"] != _stamp(one.stack, key):
            todo.append(one)
            continue
        row = {**receipt["row"], **_row(one, sites, descriptions)}
        files = len(one.stack.files)
        kept.append(Outcome(one.study_id, one.series_id, "kept", one.label, "finished earlier", files, row))
    return kept, todo


def _receipt(path: Path, out: Path) -> dict[str, Any] | None:
    """A receipt whose image is there with the recorded size, else None."""
    try:
        receipt = json.loads(path.read_text())
        whole = (out / receipt["row"]["path"]).stat().st_size == receipt["bytes"]
        return receipt if whole and isinstance(receipt["inputs"], str) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _finish(out: Path, outcomes: list[Outcome], descriptions: bool) -> None:
    """The tables: all series of this run, and in the manifest those of earlier runs into the same folder."""
    columns = (*MANIFEST_COLUMNS, "description") if descriptions else MANIFEST_COLUMNS
    receipts = {path.stem: _receipt(path, out) for path in sorted((out / _DONE).glob("*.json"))}
    rows = {series_id: receipt["row"] for series_id, receipt in receipts.items() if receipt}
    rows |= {o.series_id: o.row for o in outcomes if o.status in ("converted", "kept")}
    write_table(out / MANIFEST, list(rows.values()), columns)
    listed = [{**replace(o, row={}).__dict__, **_shown(o)} for o in outcomes]
    write_table(out / "series.csv", listed, SERIES_COLUMNS)
    write_table(out / "failures.csv", [x for x in listed if x["status"] == "refused"], FAILURE_COLUMNS)


def _shown(outcome: Outcome) -> dict[str, Any]:
    row = outcome.row
    return {
        "reason": outcome.nameless_reason,
        **{c: row.get(c, "") for c in ("modality", "part", "echo", "slices")},
    }
