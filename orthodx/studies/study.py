"""`Study`: the series that one visit of one patient left. Every command builds its studies here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from orthodx.errors import StudyError
from orthodx.studies.laterality import side_of_row
from orthodx.studies.series import Series


@dataclass(frozen=True)
class Study:
    """The series of one study, in the order they were found; they name one patient at the most."""

    study_id: str
    series: tuple[Series, ...]

    @property
    def patient_id(self) -> str:
        """Whose study it is; blank where no series says it."""
        return next((s.patient_id for s in self.series if s.patient_id), "")

    @property
    def source(self) -> str:
        """Where its first series lies."""
        return str(self.series[0].path)

    @property
    def center(self) -> str:
        """Where it was made, blank where no series says it."""
        return next((c for s in self.series if (c := str(s.row.get("center", "")))), "")

    @property
    def sides(self) -> list[str]:
        """The sides of the joints that its series name, "left" and "right" where it shows both."""
        return sorted({side for one in self.series if (side := side_of_row(one.row))})

    def refuse_both_sides(self) -> None:
        """Raise `StudyError` where it shows a left and a right joint, of which no answer can hold."""
        if len(self.sides) > 1:
            raise StudyError(
                f"study '{self.study_id}' has series of a left and of a right joint",
                hint="give each side a study_id of its own in a manifest.csv",
            )


def studies_of(series: Sequence[Series]) -> tuple[list[Study], dict[str, str]]:
    """Series by study_id, in the order of their first series; and the ids that mix patients, with the reason."""
    groups: dict[str, list[Series]] = {}
    for one in series:
        groups.setdefault(one.study_id, []).append(one)
    mixed = mixed_studies((one.study_id, one.patient_id) for one in series)
    return [Study(name, tuple(members)) for name, members in groups.items() if name not in mixed], mixed


def mixed_studies(rows: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Study ids under which (study_id, patient_id) rows name several patients -> the reason to refuse them.

    A blank patient is unknown, and no other one.
    """
    people: dict[str, set[str]] = {}
    for study, patient in rows:
        people.setdefault(study, set()).update({patient} - {""})
    return {
        study: f"study '{study}' has series of {len(names)} patients ({', '.join(sorted(names))}); "
        "give every study a study_id of its own"
        for study, names in people.items()
        if len(names) > 1
    }
