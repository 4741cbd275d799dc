"""The health records of a run, checked against the model that is to read them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from orthodx.errors import StudyError, UsageError
from orthodx.inference.study import Study
from orthodx.inference.study_reader import StudyReader
from orthodx.studies.discover import safe_name
from orthodx.studies.labels import read_records
from orthodx.studies.records import Record


def records_for(ehr: Path | None, reader: StudyReader) -> dict[str, Record]:
    """study_id, as studies are called in a run -> record; none without a table.

    Raises `UsageError` for a table that is not there or that the model cannot read, `StudyError` for a damaged one.
    """
    if ehr is None:
        return {}
    if not reader.reads_records:
        raise UsageError(
            f"{reader.bundle.info.name} reads no health records",
            hint="leave out --ehr, or fit a model with 'orthodx finetune --task diagnose --ehr CSV'",
        )
    if not ehr.is_file():
        raise UsageError(f"--ehr: {ehr} is not there", hint="check the path")
    records: dict[str, Record] = {}
    for name, record in read_records(ehr).items():
        if safe_name(name) in records:
            raise StudyError(f"{ehr.name}: study_id '{name}' reads like another one", hint="use letters and digits")
        records[safe_name(name)] = record
    return records


def unmatched(records: dict[str, Record], groups: Sequence[Study], ehr: Path | None) -> list[str]:
    """One line about records of studies that are not here, if there are any."""
    here = {study.study_id for study in groups}
    strangers = [name for name in records if name not in here]
    if not strangers or ehr is None:
        return []
    more = f" and {len(strangers) - 4} more" if len(strangers) > 4 else ""
    return [f"{ehr.name}: {len(strangers)} rows match no study here: {', '.join(strangers[:4])}{more}"]
