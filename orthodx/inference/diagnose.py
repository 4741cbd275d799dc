"""`orthodx diagnose`: studies in; a probability for each abnormality out. One model load, one study at a time."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from itertools import islice
from pathlib import Path
from typing import Any

from orthodx.bundles.bundle import open_bundle
from orthodx.errors import NoInputError, UsageError
from orthodx.inference.device import pick_device
from orthodx.inference.diagnosis_job import ABOUT_COLUMNS, Job, StudyCase, beside
from orthodx.inference.patient_records import records_for, unmatched
from orthodx.inference.study import studies_of
from orthodx.inference.study_reader import StudyReader
from orthodx.joints import View
from orthodx.studies.discover import find_series
from orthodx.studies.read_ahead import read_ahead
from orthodx.studies.run_record import sha256, write_run
from orthodx.studies.series import Series

PREDICTIONS = "predictions.csv"


def diagnose(
    studies: Sequence[Path], out: str | Path, *, model: str | Path = "knee-small", ehr: Path | None = None,
    explain: Path | None = None, view: View | None = None, device: str = "auto", workers: int = 1,
    resume: bool = False, tell: Callable[[StudyCase, int, int], None] = lambda case, done, total: None,
    note: Callable[[str], None] = lambda line: None, command: Sequence[str] = (),
) -> list[StudyCase]:  # fmt: skip
    """Diagnose every study found in `studies` and write the table `out`.

    out: a CSV, or a folder (there, or with a slash at its end) for `predictions.csv`; beside it `<stem>.status.csv`
    and `<stem>.run.json`. ehr: table of health records, a row a study. explain: folder for `explanation.csv`,
    `<study>.json` and a picture for each positive label. view: read every series as this view. workers: images
    read in advance. resume: keep finished studies of an earlier run with the same model, series and record. tell:
    called after each study with (case, done, total). note: told facts worth knowing. Returns one `StudyCase` a
    study. Raises `NoInputError` when there was nothing to read, `BundleError` for a model that cannot diagnose,
    `UsageError` for options that cannot be followed, `StudyError` for a damaged table of records.
    """
    started = datetime.now(timezone.utc)
    out = table_at(out)
    _spare_others(out)
    reader = StudyReader(open_bundle(model), pick_device(device))
    records = records_for(ehr, reader)
    found = find_series(studies, view)
    groups = studies_of(found.series)
    if not groups and not found.refused:
        raise NoInputError(
            f"no MR series in {', '.join(map(str, studies))}",
            hint="give a folder of DICOM or NIfTI, or a manifest.csv",
        )
    notes = unmatched(records, groups, ehr)
    for line in notes:
        note(line)
    beside(out, "run.json").unlink(missing_ok=True)  # thresholds of an earlier run would be taken for this one's
    job = Job(reader, out, explain, records)
    total = len(groups) + len(found.refused)
    cases = [StudyCase("", "", source, "failed", reason, "", 0.0) for source, reason in found.refused]
    for i, case in enumerate(cases):
        tell(case, i + 1, total)
    kept = {g.study_id: job.finished(g) for g in groups} if resume else {}
    reads = read_ahead([s for g in groups if not kept.get(g.study_id) for s in g.series], workers)
    for study in groups:
        earlier = kept.get(study.study_id)
        own = islice(reads, 0 if earlier else len(study.series))
        cases.append(earlier or job.do(study, own))
        deque(own, 0)  # what a refused study did not take
        tell(cases[-1], len(cases), total)
        if not earlier:
            job.write_tables(cases)
    job.write_tables(cases)
    counts = {s: sum(c.status == s for c in cases) for s in ("ok", "warned", "failed")}
    facts = {**_facts(reader, found.series, ehr), "notes": notes, "counts": counts}
    write_run(beside(out, "run.json"), command=command, started=started, facts=facts)
    if counts["failed"] == len(cases):
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


def _spare_others(out: Path) -> None:
    """Raise `UsageError` where a table that is none of predictions, an input perhaps, would be written over."""
    if out.exists() and not out.read_text(encoding="utf-8", errors="replace").startswith(",".join(ABOUT_COLUMNS)):
        raise UsageError(f"--out: {out} is there and holds no predictions", hint="name another table")


def _facts(reader: StudyReader, series: Sequence[Series], ehr: Path | None) -> dict[str, Any]:
    """What `run.json` says of model, device and inputs; `evaluate` reads thresholds and training facts from it."""
    info = reader.bundle.info
    return {
        "model": {
            "name": info.name, "version": info.version, "sha256": reader.bundle.digest, "labels": list(reader.labels),
            "thresholds": reader.thresholds, "label_fraction": reader.info.label_fraction,
            "from_scratch": reader.info.from_scratch,
        },
        "device": str(reader.device),
        "inputs": [
            {"study_id": s.study_id, "series_id": s.series_id,
             "sha256": sha256(s.path) if s.path.is_file() else "DICOM folder"}
            for s in series
        ],
        "ehr": None if ehr is None else {"name": ehr.name, "sha256": sha256(ehr)},
    }  # fmt: skip
