"""The health records of a run, checked against the model that is to read them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from orthodx.errors import UsageError
from orthodx.inference.study_reader import StudyReader
from orthodx.studies.keys import study_key
from orthodx.studies.labels import read_records
from orthodx.studies.readable import counted
from orthodx.studies.records import Record
from orthodx.studies.study import Study


def records_for(ehr: Path | None, reader: StudyReader) -> dict[str, Record]:
    """`study_key` -> record; none without a table.

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
    return read_records(ehr)


def unmatched(records: dict[str, Record], groups: Sequence[Study], ehr: Path | None) -> list[str]:
    """One line about records of studies that are not here, if there are any."""
    here = {study_key(study.study_id) for study in groups}
    strangers = [name for name in records if name not in here]
    if not strangers or ehr is None:
        return []
    more = f" and {len(strangers) - 4} more" if len(strangers) > 4 else ""
    return [f"{ehr.name}: {counted(len(strangers), 'rows match')} no study here: {', '.join(strangers[:4])}{more}"]
