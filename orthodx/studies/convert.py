"""`orthodx convert`: DICOM in; verified NIfTI, sidecars, manifest and the reasons for everything left out."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np

from orthodx.errors import NoInputError, StudyError, UsageError
from orthodx.requests import ConvertRequest, takes
from orthodx.studies.claim import Owner, Place, claimed, turn
from orthodx.studies.conversion import convert_stack
from orthodx.studies.convert_tables import MANIFEST_COLUMNS, TABLES, THERE, Outcome, write_tables
from orthodx.studies.dicom import Named, images_of, is_refused, name_stacks, open_dicom, say_left_out
from orthodx.studies.grouping import LeftOut
from orthodx.studies.identity import key_path, load_key, pseudonym
from orthodx.studies.keys import file_name
from orthodx.studies.link import require_apart, write_link
from orthodx.studies.manifest import MANIFEST
from orthodx.studies.manifest_edits import read_edits
from orthodx.studies.nameless import nameless_command
from orthodx.studies.nifti import write_image
from orthodx.studies.processes import spread
from orthodx.studies.receipts import Receipts
from orthodx.studies.run_record import RUN, write_json, write_run
from orthodx.studies.shards import Shard, shard_of
from orthodx.studies.sidecar import sidecar
from orthodx.studies.site_map import SiteMap, read_site_map
from orthodx.studies.walking import Walk

STATUSES = ("converted", "kept", "skipped", "refused")
Tell = Callable[[Outcome, int, int], None]
Progress = Callable[[str, int, int], None]


@takes(ConvertRequest)
def convert(
    request: ConvertRequest,
    *,
    tell: Tell = lambda outcome, done, total: None,
    progress: Progress = lambda stage, done, total: None,
    command: Sequence[str] = (),
) -> list[Outcome]:
    """Convert every DICOM stack of some folders, files or zips to `out/<study_id>/<series_id>.nii.gz`.

    Writes a JSON sidecar beside each image, `manifest.csv`, `series.csv` (each series, kept or not, and why),
    `failures.csv` and `run.json`. tell: called with each outcome. progress: called with (stage, done, total). Raises
    `NoInputError` when nothing could be converted.

    >>> outcomes = orthodx.convert("cohort/dicom", "nifti")
    >>> {outcome.status for outcome in outcomes}
    {'converted'}
    """
    started, out, shard = datetime.now(timezone.utc), request.out, shard_of(request.shard)
    key = _usable_key(request.key, out)
    if request.link is not None:
        require_apart(request.link, out)
    sites = read_site_map(request.site_map) if request.site_map else SiteMap()
    place = Place(out)
    job = Job(out, sites, request.descriptions, key, Receipts(place.receipts))
    owner = Owner(
        by="orthodx convert",
        options={"key": pseudonym("orthodx", key=key)},
        outputs=[out / name for name in TABLES],
        resume=request.resume,
        shard=shard,
    )
    with claimed(place, owner):
        columns = (*MANIFEST_COLUMNS, *(["description"] if request.descriptions else []))
        read_edits(out / MANIFEST, job.receipts, columns)  # what cannot be read is told before any work
        outcomes, foreign, renamed = _convert(job, request, shard, tell=tell, progress=progress)
        with turn(place, shard):
            listed = write_tables(out, job.receipts, outcomes, shard, columns=columns, renamed=renamed)
            for case in renamed:  # once they are there, and told, under their new names
                job.receipts.drop(case)
            counts = {s: sum(row["status"] == s for row in listed) for s in STATUSES}
            facts = {"counts": counts, "files_not_dicom": foreign}
            write_run(out / RUN, command=nameless_command(command, request), started=started, facts=facts)
    if (shard is None or outcomes) and not any(o.status in ("converted", "kept") for o in outcomes):
        hint = f"the reasons are in {out / 'series.csv'}" if outcomes else "give a folder of DICOM, or a zip"
        raise NoInputError("no DICOM series could be converted", hint=hint)
    return outcomes


def _convert(
    job: Job, request: ConvertRequest, shard: Shard | None, *, tell: Tell, progress: Progress
) -> tuple[list[Outcome], int, dict[str, str]]:
    """What became of every series; how many files were no DICOM; and what series of earlier runs are called now."""
    paths, key = request.dicom, job.key
    missing = [str(p) for p in paths if not p.exists()]
    outcomes = [Outcome("", "", "refused", p, "no such file or folder", 0, names=(p,)) for p in missing]
    walk, counted = Walk(), [0, 0]  # headers read, files

    def tick(done: int) -> None:
        counted[0] += done
        progress("reading headers", counted[0], counted[1])

    found, bad_archives = open_dicom(
        _inputs(paths, job.out, walk), request.workers, tick, begin=lambda total: counted.__setitem__(1, total)
    )
    outcomes += [Outcome("", "", "refused", where, reason, 0, names=(where,)) for where, reason in bad_archives]
    for status, left in (("refused", walk.refused), ("skipped", walk.passed)):
        outcomes += [Outcome("", "", status, where, why, 0, names=(where, Path(where).name)) for where, why in left]
    faulty = {stack.kind.uids.series for stack in found.stacks if stack.fault}
    outcomes += [_left_out(x, key) for x in found.left_out if not (x.fault and x.uids.series in faulty)]
    named = name_stacks(found.stacks, key)
    if request.link is not None:
        with turn(Place(job.out), shard):
            write_link(request.link, named)
    if shard is not None:
        named = [one for one in named if shard.has(one.study_id)]
        outcomes = [outcome for outcome in outcomes if shard.has(outcome.study_id)]
    kept = [job.finished(one) for one in named] if request.resume else [None] * len(named)
    outcomes += filter(None, kept)
    old = job.renamed(named)
    total = len(named) + sum(o.status != "kept" for o in outcomes)
    for i, outcome in enumerate(outcomes):
        tell(outcome, i + 1, total)
    todo = [one for one, done in zip(named, kept, strict=True) if done is None]
    with closing(spread(job, todo, request.workers)) as results:
        for outcome in results:
            outcomes.append(outcome)
            progress("converting", len(outcomes), total)
            tell(outcome, len(outcomes), total)
    there = {outcome.series_id for outcome in outcomes if outcome.status in THERE}
    return outcomes, found.foreign, {case: min(called) for case, called in old.items() if called <= there}


def _usable_key(key: Path | None, out: Path) -> Path:
    """The key file, made where it is missing; refuses one that would travel with the output."""
    key = key or key_path()
    if key.resolve().is_relative_to(out.resolve()):
        raise UsageError(f"{key}: the key lies in the output folder", hint="keep it elsewhere: it undoes the ids")
    load_key(key)
    if not key.is_file():
        raise UsageError(f"{key}: the key can be neither read nor made", hint="give another --key FILE")
    return key


def _inputs(paths: Iterable[Path], out: Path, walk: Walk) -> Iterable[Path]:
    """The files of some paths but for those in `out`, unless that lies above: a path in it was asked for by name."""
    own, ours = out.resolve(), dict[Path, bool]()
    for path in paths:
        asked = path.resolve().is_relative_to(own)
        for file in walk.files(path) if path.exists() else ():
            if file.parent not in ours:
                ours[file.parent] = file.parent.resolve().is_relative_to(own)
            if asked or not ours[file.parent]:
                yield file


def _left_out(left: LeftOut, key: Path) -> Outcome:
    known = left.uids.study or left.uids.patient or left.uids.series
    study = f"study-{pseudonym(known, key=key)}" if known else ""
    series = f"{study}_{pseudonym(left.uids.series, 6, key)}" if left.uids.series else ""
    where, reason = say_left_out(left)
    names = tuple(f.name for f in left.files)
    status = "refused" if is_refused(left) else "skipped"
    return Outcome(study, series, status, where, reason, len(left.files), names=names)


@dataclass(frozen=True)
class Job:
    """Series -> what became of it, its files written; one process of many may do it."""

    out: Path
    sites: SiteMap
    descriptions: bool
    key: Path
    receipts: Receipts

    def __call__(self, named: Named) -> Outcome:
        """The main path of one series: convert and verify -> image -> sidecar -> receipt, each written whole."""
        stack, made_from = named.stack, self._made_from(named)
        outcome = Outcome(named.study_id, named.series_id, "converted", named.label, "", len(stack.files))
        try:
            self._refuse_others(named.series_id, made_from["images"])
        except StudyError as error:  # and what is there stays
            return replace(outcome, status="refused", reason=error.line, row=named.row())
        try:
            volume, converter = convert_stack(stack, named.label)
            image = self.out / named.study_id / f"{named.series_id}.nii.gz"
            side = image.with_name(f"{named.series_id}.json")
            write_image(image, compact(volume.data), volume.affine)
            write_json(side, sidecar(stack.own_facts, stack.kind.part, converter))
            place = {"path": image.relative_to(self.out).as_posix(), "converter": converter}
            outcome.row = {**self._row(named), **place}
            outcome.reason = "one 3D stack, every slice verified"
            self.receipts.write(named.series_id, made_from, (image, side), outcome.row)
        except StudyError as error:
            outcome.status, outcome.reason = "refused", error.line.removeprefix(f"{named.label}: ")
            outcome.row = named.row()
            both = ((f.name, f"{f.folder.name}/{f.name}") for f in stack.files)
            outcome.names = (*stack.faulty_files, *(name for names in both for name in names))
        except MemoryError:
            outcome.status, outcome.reason = "refused", "out of memory; convert it with fewer --workers"
        if outcome.status == "refused":
            self.receipts.fail(named.series_id, made_from, {})
        return outcome

    def _refuse_others(self, series_id: str, images: Sequence[str]) -> None:
        """Raise `StudyError` where the image that is there was made from none of these."""
        before = self.receipts.made_from(series_id).get("images")
        if before and self.receipts.outputs_of(series_id) and not set(before) & set(images):
            raise StudyError(
                "other images of this series are here already", hint="convert all at once, or into another folder"
            )

    def finished(self, named: Named) -> Outcome | None:
        """What an earlier run finished, its files unchanged and its image whole."""
        made_from = self._made_from(named)
        before = {name: made_from[name] for name in made_from if name != "images"}  # as earlier versions kept it
        row = self.receipts.find(named.series_id, made_from) or self.receipts.find(named.series_id, before)
        if row is None:
            return None
        told = {**row, **self._row(named)}
        if told != row:  # of other centers or descriptions now
            outputs = [self.receipts.folder / name for name in sorted(self.receipts.outputs_of(named.series_id))]
            self.receipts.write(named.series_id, made_from, outputs, told)
        row = told
        files = len(named.stack.files)
        return Outcome(named.study_id, named.series_id, "kept", named.label, "finished earlier", files, row)

    def _made_from(self, named: Named) -> dict[str, Any]:
        """Keyed hash of names, sizes and times of the files: reading all of them again would cost as much as anew."""
        inputs = pseudonym(json.dumps([file.stamp() for file in named.stack.files]), 32, self.key)
        return {"inputs": inputs, "images": images_of(named.stack, self.key)}

    def renamed(self, named: Sequence[Named]) -> dict[str, set[str]]:
        """Ids under which earlier runs kept images of a study that this one has under others, since more of a series
        came; and these others.
        """
        here = {file_name(one.series_id) for one in named}
        now = {(one.study_id, image): one.series_id for one in named for image in images_of(one.stack, self.key)}
        studies, found = {study for study, _ in now}, {}
        for case in self.receipts.cases():
            study = case.partition("_s")[0]
            if case in here or study not in studies:
                continue
            images = self.receipts.made_from(case).get("images", ())
            if called := {now[study, image] for image in images if (study, image) in now}:
                found[case] = called
        return found

    def _row(self, named: Named) -> dict[str, Any]:
        row, facts = named.row(), named.stack.facts
        row["center"] = self.sites.center(facts, row) or row["center"]
        return {**row, "description": str(facts.get("SeriesDescription", ""))} if self.descriptions else row


def compact(data: np.ndarray) -> np.ndarray:
    """The same values in the smallest of int16, uint16, int32 and float32 that holds them all."""
    if data.dtype.kind == "f" and not (data == np.rint(data)).all():
        return data.astype(np.float32)
    low, high = float(data.min()), float(data.max())
    for kind in (np.int16, np.uint16, np.int32):
        if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max:
            return data.astype(kind)
    return data.astype(np.float32)
