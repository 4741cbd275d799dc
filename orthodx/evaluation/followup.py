"""Patients who were seen more than once: what changed, and whether that is more than measurements differ anyway."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

import numpy as np
import pandas as pd

from orthodx.errors import NoInputError
from orthodx.evaluation.change import COHORT_COLUMNS, COLUMNS, cohort_rows, rounded, with_interval
from orthodx.evaluation.followup_inputs import followup_inputs, probabilities, views_of
from orthodx.evaluation.followup_picture import PatientPictures
from orthodx.evaluation.inputs import Inputs, joint_of
from orthodx.evaluation.measurement_error import FEWEST_PATIENTS, Error, Key, errors_of, read_errors, write_errors
from orthodx.evaluation.measures import PROBABILITY
from orthodx.evaluation.notices import Notices, some
from orthodx.evaluation.pairs import PairMeasurer, pairs_of
from orthodx.evaluation.visits import visits_of
from orthodx.requests import FollowupRequest, takes
from orthodx.studies.claim import Owner, Place, claimed
from orthodx.studies.manifest import read_manifest
from orthodx.studies.mask_files import files_by_name
from orthodx.studies.nameless import nameless_command, nameless_options
from orthodx.studies.processes import spread
from orthodx.studies.receipts import DONE, Receipts
from orthodx.studies.run_record import RUN, told_of, versions, write_run
from orthodx.studies.tables import write_table

CHANGES, COHORT, ERRORS, PICTURES = "changes.csv", "cohort.csv", "error.csv", "pictures"
WRITTEN = (CHANGES, COHORT, ERRORS, RUN)


@dataclass(frozen=True, eq=False)
class Followup:
    """changes: rows of `changes.csv`. cohort: rows of `cohort.csv`. errors: what the intervals are made of."""

    changes: list[dict[str, Any]]
    cohort: list[dict[str, Any]]
    errors: dict[Key, Error]
    notices: Notices


@takes(FollowupRequest)
def followup(
    request: FollowupRequest,
    *,
    tell: Callable[[str, bool], None] = lambda line, refused: None,
    progress: Callable[[str, int, int], None] = lambda name, done, total: None,
    command: Sequence[str] = (),
) -> Followup:
    """Measure how the joints of patients changed between studies, and write the folder `out`.

    Paths that are not given are looked for in `folder` under their usual names. Writes `changes.csv` (every later
    visit against the first one), `cohort.csv` (the last visits, over patients), `error.csv` (the measurement error
    behind the intervals), `pictures/` and `run.json`. tell: called with (line, refused) for every finding. progress:
    called with (line, done, total). Raises `NoInputError` where nobody was seen twice, `StudyError` for tables that
    cannot be used.

    >>> orthodx.synth("visits", studies=1, visits=2, views="sagittal")
    PosixPath('visits/manifest.csv')
    >>> done = orthodx.followup("changes", folder="visits", masks="visits/truth", no_change=True, picture=False)
    >>> sorted({row["view"] for row in done.changes})
    ['sagittal']
    """
    started, notices = datetime.now(timezone.utc), Notices(tell)
    inputs = followup_inputs(request)
    tables = {"visits": request.visits, "error": request.error}
    if not request.keep_paths:
        ours = {path.name: f"{key}.csv" for key, path in tables.items() if path is not None}
        notices.called = inputs.usual_names | ours
    known = read_errors(request.error) if request.error is not None else None
    owner = Owner(by="orthodx followup", outputs=[request.out / name for name in WRITTEN])
    with claimed(Place(request.out), owner):
        done, facts = _measured(request, inputs, known, notices, progress)
        files = {**vars(inputs), **tables}
        facts |= {
            "inputs": {key: told_of(path, request.keep_paths) for key, path in files.items() if path is not None},
            "options": {key: str(value) for key, value in _options(request).items()},
            "notes": notices.notes,
            "refused": notices.refused,
        }
        words = nameless_command(command, request, keep_paths=request.keep_paths)
        write_run(request.out / RUN, command=words, started=started, facts=facts)
    return done


def _options(request: FollowupRequest) -> dict[str, Any]:
    told = nameless_options(request, keep_paths=request.keep_paths)
    return {name: value for name, value in told.items() if name in request.given}


def _measured(
    request: FollowupRequest,
    inputs: Inputs,
    known: dict[Key, Error] | None,
    notices: Notices,
    progress: Callable[[str, int, int], None],
) -> tuple[Followup, dict[str, Any]]:
    """Everything measured, as tables and pictures in `out`; and what the record says of it. known: errors given."""
    assert inputs.manifest is not None
    rows, faults = read_manifest(inputs.manifest)
    for number, reason in faults:
        notices.refuse(f"{inputs.manifest.name} row {number}: {reason}", None)
    joint = joint_of(request.joint, inputs, pd.DataFrame(rows), notices)
    masks = {} if inputs.masks is None else files_by_name(inputs.masks)
    followed = visits_of(rows, views_of(rows, masks, notices), request.visits, notices, request.link)
    pairs = [pair for one in followed for pair in pairs_of(one)]
    if not pairs:
        raise NoInputError("no patient was seen twice", hint="give two studies the same patient_id, and days between")
    receipts = Receipts(request.out / DONE, {"joint": joint.to_json(), "versions": versions()})
    measurer = PairMeasurer(joint, masks, probabilities(inputs.predictions), receipts, request.resume)
    changes: list[dict[str, Any]] = []
    empty, unlaid = [], []
    for n, (pair, (found, problems)) in enumerate(zip(pairs, spread(measurer, pairs, request.workers), strict=True), 1):
        for problem in problems:
            notices.refuse(*problem)
        changes += found
        if not found and not problems:
            empty.append(pair.name)
        if any(row["view"] and np.isnan(row["fit_mm"]) for row in found):
            unlaid.append(pair.name)
        progress(pair.name, n, len(pairs))
    if empty:
        notices.note(f"nothing was measured in both studies of {len(empty)} pairs: {some(empty)}")
    if unlaid:
        notices.note(
            f"no bone of one view could be laid on the first scan in {len(unlaid)} pairs, so that all of each scan "
            f"was measured, not the field that both show: {some(unlaid)}"
        )
    if not changes:
        raise NoInputError("nothing could be measured twice", hint="give --masks or --predictions of these studies")
    errors = _errors(request, changes, notices) if known is None else known
    here = {(row["view"], row["target"], row["measure"]) for row in changes}
    if known is not None and (lacking := sorted({view or PROBABILITY for view, _, _ in here - known.keys()})):
        notices.note(f"--error says nothing of some measures ({some(lacking)}); no interval there")
    changes = [with_interval(row, errors) for row in changes]
    cohort = cohort_rows([row for row in changes if request.no_change or row["days"] != 0])
    write_table(request.out / CHANGES, [rounded(row) for row in changes], COLUMNS)
    write_table(request.out / COHORT, [rounded(row) for row in cohort], COHORT_COLUMNS)
    write_errors(request.out / ERRORS, errors)
    if request.picture:
        drawn = PatientPictures(request.out / PICTURES, joint, inputs.manifest.parent, rows, masks)
        for one in followed:
            drawn.draw(one, changes, notices)
    counts = {"patients": len({one.patient_id for one in followed}), "pairs": len(pairs)}
    facts = {"joint": joint.to_json(), "counts": {**counts, "refused": len(notices.refused)}}
    return Followup(changes, cohort, errors, notices), facts


def _errors(request: FollowupRequest, changes: list[dict[str, Any]], notices: Notices) -> dict[Key, Error]:
    """The error of these patients' pairs without change: of all, or of those of one day."""
    errors = errors_of(row for row in changes if request.no_change or row["days"] == 0)
    if not errors:
        notices.note(
            f"no interval: the measurement error is unknown -> measure it on {FEWEST_PATIENTS} or more patients "
            f"without change (--no-change), and give its {ERRORS} with --error"
        )
    return errors
