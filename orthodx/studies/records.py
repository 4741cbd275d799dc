"""What a health record says of the patient of one study: the columns of `ehr.csv` and what they may hold."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields

from orthodx.errors import StudyError

UNKNOWN = frozenset({"", "?", "-", "na", "n/a", "nan", "unknown"})  # "none" is an answer: nothing happened
SEXES = {"m": "M", "male": "M", "f": "F", "female": "F", "o": None, "other": None}  # DICOM has M, F and O (0010,0040)
POSSIBLE = {"age": (0, 120, "years"), "height": (40, 250, "cm"), "weight": (1, 400, "kg")}
_NUMBER = re.compile(r"[+-]?[0-9]+([.,][0-9]*)?")


@dataclass(frozen=True, kw_only=True)
class Record:
    """One row of `ehr.csv`; None is unknown.

    age in years, height in cm, weight in kg. sex: "M" or "F". patient_type, event: lower case, single spaces.
    """

    age: float | None = None
    height: float | None = None
    weight: float | None = None
    sex: str | None = None
    patient_type: str | None = None
    event: str | None = None

    @classmethod
    def of_text(cls, row: Mapping[str, str]) -> Record:
        """A record from cells as they were typed: case and spaces do not matter, 71,5 is 71.5.

        row: column -> text; a column that is absent is unknown. Raises `StudyError` for numbers no person has,
        units, and a sex that is not M or F.
        """
        text = {name: " ".join(row.get(name, "").split()) for name in RECORD_COLUMNS}
        known = {name: value for name, value in text.items() if value.casefold() not in UNKNOWN}
        return cls(
            age=_number("age", known),
            height=_number("height", known),
            weight=_number("weight", known),
            sex=_sex(known["sex"]) if "sex" in known else None,
            patient_type=known["patient_type"].casefold() if "patient_type" in known else None,
            event=known["event"].casefold() if "event" in known else None,
        )


RECORD_COLUMNS = tuple(field.name for field in fields(Record))


def _number(name: str, known: Mapping[str, str]) -> float | None:
    if name not in known:
        return None
    text, (least, most, unit) = known[name], POSSIBLE[name]
    number = float(text.replace(",", ".")) if _NUMBER.fullmatch(text) else math.nan
    if least <= number <= most:
        return number
    hint = f"write a plain number of {unit} from {least} to {most}, or nothing where it is unknown"
    if name == "height" and least <= 100 * number <= most:
        hint = f"height is in cm: write {100 * number:g}"
    raise StudyError(f"{name} is '{text}'", hint=hint)


def _sex(text: str) -> str | None:
    if text.casefold() not in SEXES:
        raise StudyError(f"sex is '{text}'", hint="write M or F, or nothing where it is unknown")
    return SEXES[text.casefold()]
