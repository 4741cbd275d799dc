"""Synthetic cohorts on disk: the same folders a center would send, with the truth beside them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from orthodx.studies.claim import Owner, Place, claimed
from orthodx.studies.label_tables import write_label_tables
from orthodx.studies.labels import LABELS_FILE, RECORDS_FILE
from orthodx.studies.manifest import COLUMNS, MANIFEST, VISIT_COLUMNS
from orthodx.studies.mask_files import TRUTH
from orthodx.studies.processes import spread
from orthodx.studies.receipts import Receipts
from orthodx.studies.records import RECORD_COLUMNS
from orthodx.studies.run_record import write_json
from orthodx.studies.tables import write_table
from orthodx.synth.cohort_request import CohortRequest
from orthodx.synth.grammar import synthetic
from orthodx.synth.patient_writer import PatientWriter, of_visits


def write_cohort(
    out: Path,
    request: CohortRequest | None = None,
    *,
    tell: Callable[[str, int, int], None] = lambda name, done, total: None,
    **options: Any,
) -> Path:
    """Write synthetic patients, each visit as three series of one anatomy, and return the manifest's path.

    Makes `<study>/<series>.nii.gz`, `truth/<series>.nii.gz` with label tables, and `manifest.csv`; with lesions also
    `labels.csv`, `ehr.csv` and `lesions/<series>.nii.gz` (values in `lesions/values.json`). With several visits the
    manifest has the columns `visit`, from 1, and `days` since the first. options: the fields of a `CohortRequest`, in
    its place. Raises `UsageError` where `out` holds a cohort and nothing is to be resumed.
    """
    wanted = request or CohortRequest(**options)
    made, place, manifest = synthetic(wanted.joint), Place(out), out / MANIFEST
    tables = [out / name for name in (MANIFEST, LABELS_FILE, RECORDS_FILE)]
    owner = Owner(by="orthodx synth", options=wanted.settings, outputs=tables, resume=wanted.resume)
    with claimed(place, owner):
        writer, done = PatientWriter(out, wanted, made, Receipts(place.receipts)), 0
        with closing(spread(writer, range(wanted.studies), wanted.workers)) as patients:
            for of_patient in patients:
                for record in of_patient:
                    done += 1
                    tell(record["rows"][0]["study_id"], done, wanted.studies * wanted.visits)
        written = [record for kept in writer.receipts.results().values() for record in of_visits(kept)]
        records = sorted(written, key=lambda record: str(record["rows"][0]["study_id"]))
        if wanted.lesions:
            write_json(out / "lesions" / "values.json", dict(made.injuries.values))
            write_table(out / LABELS_FILE, [r["labels"] for r in records], ("study_id", *made.injuries.least_ml))
            write_table(out / RECORDS_FILE, [r["ehr"] for r in records], ("study_id", *RECORD_COLUMNS))
        columns = COLUMNS if wanted.visits == 1 else (*COLUMNS, *VISIT_COLUMNS)
        write_label_tables(out / TRUTH, made.joint)
        write_table(manifest, [row for r in records for row in r["rows"]], columns)
    return manifest
