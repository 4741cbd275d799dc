"""`orthodx diagnose`: studies in; a probability for each abnormality out. One model load, one study at a time."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from orthodx.errors import NoInputError, UsageError
from orthodx.inference.answers import SYNTHETIC_ONLY
from orthodx.inference.diagnose_case import StudyCase
from orthodx.inference.diagnose_job import Job, beside
from orthodx.inference.model_choice import chosen_bundle
from orthodx.inference.patient_records import records_for, unmatched
from orthodx.inference.study_reader import StudyReader
from orthodx.networks.device import pick_device
from orthodx.requests import DiagnoseRequest, takes
from orthodx.studies.claim import turn
from orthodx.studies.discover import among, find_series, of_shard, require_any
from orthodx.studies.nameless import nameless_command
from orthodx.studies.run_record import RUN, inputs_of, sha256, write_run
from orthodx.studies.series import ids_note
from orthodx.studies.shards import shard_of

PREDICTIONS = "predictions.csv"


@takes(DiagnoseRequest)
def diagnose(
    request: DiagnoseRequest,
    *,
    tell: Callable[[StudyCase, int, int], None] = lambda case, done, total: None,
    note: Callable[[str], None] = lambda line: None,
    command: Sequence[str] = (),
) -> list[StudyCase]:
    """Diagnose every one of some studies; one `StudyCase` a study.

    Writes the table `out`, and beside it `<stem>.answers.csv`, `<stem>.status.csv` and `<stem>.run.json`; with
    `explain` a folder of `explanation.csv`, `<study>.json` and a picture for each label from its threshold on. tell:
    called after each study with (case, done, total). note: told facts worth knowing. Raises `NoInputError` when there
    was nothing to read, `BundleError` for a model that cannot diagnose, `UsageError` for options that cannot be
    followed, `StudyError` for a damaged table of records.

    >>> cases = orthodx.diagnose("cohort", "predictions.csv", ehr="cohort/ehr.csv")
    >>> 0 <= cases[0].probabilities["ACL"] <= 1
    True
    """
    started, out, shard = datetime.now(timezone.utc), table_at(request.out), shard_of(request.shard)
    everything = among(find_series(request.studies, request.view, request.group_by), request.only)
    require_any(everything, request.studies)
    found = of_shard(everything, shard)
    bundle = chosen_bundle(request.model, request.joint, everything.series, note)
    reader = StudyReader(bundle, pick_device(request.device))
    records = records_for(request.ehr, reader)
    strangers = unmatched(records, everything.studies, request.ehr)
    notes = [line for line in (*found.notes, *strangers, ids_note(found.series), _taught(reader)) if line]
    for line in notes:
        note(line)
    job = Job(reader, request, out, records, everything)
    with job.place(found.studies):
        job.spare_others(found.studies)
        if shard is None:
            beside(out, RUN).unlink(missing_ok=True)  # thresholds of an earlier run would be taken for this one's
        cases = job.all(found, tell)
        counted = [case.status for case in cases] if shard is None else [row["status"] for row in job.together([])]
        counts = {status: counted.count(status) for status in ("ok", "warned", "failed")}
        inputs = [*inputs_of(found.series), *job.earlier_inputs(found.studies)]
        facts = {**_facts(reader, request), "inputs": inputs, "notes": job.shown(notes, found), "counts": counts}
        words = nameless_command(command, request, keep_paths=request.keep_paths)
        with turn(job.table, shard):
            write_run(beside(out, RUN), command=words, started=started, facts=facts)
    if cases and all(case.status == "failed" for case in cases):
        raise NoInputError("no study could be read", hint=f"the reasons are in {beside(out, 'status.csv')}")
    return cases


def table_at(out: str | Path) -> Path:
    """The CSV that `--out` means; raises `UsageError` where it names neither a CSV nor a folder."""
    path = Path(out)
    if path.is_dir() or str(out).endswith(("/", os.sep)):
        return path / PREDICTIONS
    if path.suffix.lower() != ".csv":
        raise UsageError(f"--out: '{out}' is no CSV", hint=f"name a table like {PREDICTIONS}, or a folder: {out}/")
    return path


def _taught(reader: StudyReader) -> str:
    """A line on lesions that no patient ever had; blank where the model learned from others."""
    name = reader.bundle.info.name
    return f"{name} was {SYNTHETIC_ONLY}: it says nothing about a patient" if reader.info.synthetic_only else ""


def _facts(reader: StudyReader, request: DiagnoseRequest) -> dict[str, Any]:
    """What `run.json` says of model, device and inputs; `evaluate` reads thresholds and training facts from it."""
    info = reader.bundle.info
    return {
        "model": {
            "name": info.name,
            "version": info.version,
            "sha256": reader.bundle.digest,
            "labels": list(reader.labels),
            "thresholds": reader.thresholds,
            "label_fraction": reader.info.label_fraction,
            "from_scratch": reader.info.from_scratch,
            "frozen": info.taught("diagnose").get("encoder_share") == 0,
            "synthetic_only": reader.info.synthetic_only,
            "encoder": next(iter(reader.info.encoders.values())).name,
        },
        "joint": info.joint.to_json(),
        "device": str(reader.device),
        "ehr": None if request.ehr is None else {"sha256": sha256(request.ehr)},
    }
