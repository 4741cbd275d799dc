"""Series that belong together: what one visit of one patient left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from orthodx.errors import StudyError
from orthodx.studies.series import Series


@dataclass(frozen=True)
class Study:
    """The series of one study, in the order they were found."""

    study_id: str
    series: tuple[Series, ...]

    @property
    def patient_id(self) -> str:
        """Whose study it is."""
        return self.series[0].patient_id

    @property
    def source(self) -> str:
        """Where its first series lies."""
        return str(self.series[0].path)

    def require_one_patient(self) -> None:
        """Raise `StudyError` where series of several patients, or of unrelated folders, share one name."""
        patients = sorted({s.patient_id for s in self.series})
        if len(patients) > 1:
            raise StudyError(
                f"study '{self.study_id}' has series of {len(patients)} patients ({', '.join(patients)})",
                hint="give every study a study_id of its own",
            )
        folders = sorted({str(folder) for s in self.series if (folder := _bare_folder(s)) is not None})
        if len(folders) > 1:
            raise StudyError(
                f"{len(folders)} folders are called '{self.study_id}' ({', '.join(folders)})",
                hint="rename them, or name the studies in a manifest.csv",
            )


def studies_of(series: Sequence[Series]) -> list[Study]:
    """Series grouped by study_id, studies in the order of their first series."""
    groups: dict[str, list[Series]] = {}
    for one in series:
        groups.setdefault(one.study_id, []).append(one)
    return [Study(name, tuple(members)) for name, members in groups.items()]


def _bare_folder(series: Series) -> Path | None:
    """The folder that names the study of a NIfTI file without a manifest; None where something better does."""
    return None if series.row or series.stack is not None else series.path.resolve().parent
