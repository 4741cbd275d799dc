"""Scoring a folder of masks: paired with the truth by name, in parallel, resumable."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pandas as pd

from orthodx.errors import NoInputError, OrthodxError
from orthodx.evaluation.inputs import NO_PATIENT, Attributes, of_studies
from orthodx.evaluation.notices import Notices, some
from orthodx.evaluation.segment_scores import score_files
from orthodx.studies.keys import file_name
from orthodx.studies.mask_files import files_by_name
from orthodx.studies.processes import children, pool_of
from orthodx.studies.readable import counted
from orthodx.studies.receipts import Receipts
from orthodx.studies.run_record import sha256, versions


@dataclass(frozen=True)
class MaskCase:
    """One series that has both a mask and a truth."""

    series_id: str
    study_id: str
    patient_id: str
    mask: Path
    truth: Path


def pair_masks(
    masks: Path, truth: Path, attributes: Attributes, notices: Notices, *, quiet: bool = False
) -> list[MaskCase]:
    """Cases of both folders by series; files without a partner are named. Raises `NoInputError` for none.

    Studies that mix patients are left out. quiet: say nothing of files without a partner and of patients.
    """
    found, wanted = files_by_name(masks), files_by_name(truth)
    for name, have, other in () if quiet else ((masks.name, found, wanted), (truth.name, wanted, found)):
        alone = sorted(have.keys() - other.keys())
        notices.left_out += len(alone)
        if alone:
            what = "truth" if have is found else "mask, missing from all numbers"
            notices.note(f"{name}: {counted(len(alone), 'files have')} no {what}: {some(alone)}")
    manifest = attributes.manifest
    rows = {} if manifest is None else {file_name(r["series_id"]): r for r in manifest.to_dict("records")}
    both = sorted(name for name in found.keys() & wanted.keys() if _study(name, rows) not in attributes.mixed)
    if not both:
        raise NoInputError(
            f"no mask in {masks} has its truth in {truth}", hint="name both <series_id>.nii.gz, alike in both folders"
        )
    known = of_studies(manifest)
    cases = [_case(name, rows.get(name, {}), found[name], wanted[name], known) for name in both]
    strangers = [name for name in both if name not in rows]
    nameless = {case.study_id for name, case in zip(both, cases, strict=True) if name in rows} - known.keys()
    if nameless and not quiet:
        notices.note(NO_PATIENT.format(counted(len(nameless), "studies name")))
    if strangers and not quiet:
        why = "no manifest.csv" if manifest is None else "not in manifest.csv"
        notices.note(
            f"{counted(len(strangers), 'series have')} no patient ({why}); "
            f"each counts as one of its own: {some(strangers)}"
        )
    return cases


def _study(name: str, rows: dict[str, dict[str, Any]]) -> str:
    return rows.get(name, {}).get("study_id", "")


def _case(name: str, row: dict[str, Any], mask: Path, truth: Path, known: dict[str, str]) -> MaskCase:
    """known: study -> its patient."""
    if not row:
        return MaskCase(name, name, f"series {name}", mask, truth)
    study = row["study_id"]
    return MaskCase(row["series_id"], study, known.get(study) or f"study {study}", mask, truth)


def score_masks(
    cases: list[MaskCase], structures: dict[int, str], tolerance_mm: float, receipts: Path, *,
    workers: int, resume: bool, notices: Notices, progress: Callable[[str, int, int], None],
) -> pd.DataFrame:  # fmt: skip
    """Scores, a row a series and structure; refused cases are named in `notices` and left out.

    receipts: folder of finished cases; with `resume` those of the same files, tolerance and versions are kept.
    progress: called with (series, done, total).
    """
    rows: list[dict[str, Any]] = []
    options = {"tolerance_mm": tolerance_mm, "structures": list(structures.items()), "versions": versions()}
    kept = Receipts(receipts, options)
    jobs = [(case, structures, tolerance_mm, kept, resume) for case in cases]
    for done, (case, scores, problem) in enumerate(_scored(jobs, workers), 1):
        if problem is not None:
            notices.refuse(*problem)
        for remark in scores["remarks"]:
            notices.note(remark)
        ids = {"patient_id": case.patient_id, "study_id": case.study_id, "series_id": case.series_id}
        rows += [{**ids, **score} for score in scores["structures"]]
        progress(case.series_id, done, len(cases))
    if not rows:
        raise NoInputError("no mask could be scored", hint="the reasons stand above")
    order = {name: i for i, name in enumerate(structures.values())}
    table = pd.DataFrame(rows)
    return table.sort_values(
        ["series_id", "structure"], key=lambda c: c.map(order) if c.name == "structure" else c, ignore_index=True
    ).astype({c: float for c in table.columns if c.endswith(("_mm", "_ml", "_percent")) or c in ("dice", "nsd")})


def _scored(jobs: list[tuple[Any, ...]], workers: int) -> Iterator[tuple[MaskCase, dict[str, Any], Any]]:
    if workers == 0 or len(jobs) == 1:
        yield from (_score_one(*job) for job in jobs)
        return
    with pool_of(min(workers, len(jobs)), get_context("spawn")) as pool:
        with children():
            waiting = {pool.submit(_score_one, *job): job[0] for job in jobs}
        for future in as_completed(waiting):
            try:
                yield future.result()
            except BrokenProcessPool:
                message = f"{waiting[future].series_id}: a worker process died, probably for lack of memory"
                yield waiting[future], _EMPTY, (message, "run again with --resume --workers 0")


_EMPTY: dict[str, Any] = {"structures": [], "remarks": []}


def _score_one(
    case: MaskCase, structures: dict[int, str], tolerance_mm: float, receipts: Receipts, resume: bool
) -> tuple[MaskCase, dict[str, Any], tuple[str, str | None] | None]:
    """One case: its scores, or why there are none. Runs in a worker process."""
    try:
        made_from = {"mask": sha256(case.mask), "truth": sha256(case.truth)}
        if resume and (kept := receipts.find(case.series_id, made_from)) is not None:
            return case, kept, None
        scores, remarks = score_files(case.mask, case.truth, structures, tolerance_mm)
        result = {"structures": [asdict(s) for s in scores], "remarks": remarks}
        receipts.write(case.series_id, made_from, (), result)
        return case, result, None
    except OrthodxError as error:
        return case, _EMPTY, (str(error), error.hint)
    except OSError as error:
        return case, _EMPTY, (f"{case.series_id}: {error.strerror or error}", "check its files and their permissions")
    except MemoryError:
        return case, _EMPTY, (f"{case.series_id}: out of memory", "use fewer --workers")
