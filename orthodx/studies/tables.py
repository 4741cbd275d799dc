"""Tables as people make them: every CSV of a user is read here, every one of ours is written here.

Reading forgives spreadsheets, or names file, row and column; writing cannot harm them.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from orthodx.errors import StudyError
from orthodx.studies.readable import readable
from orthodx.studies.writing import atomic

if TYPE_CHECKING:
    import pandas as pd

MOST_CELL = 32_767  # characters; what a cell of a spreadsheet holds
SEPARATORS = ",;\t|"
_FORMULA = re.compile(r"'*[=+\-@\t\r\n＝＋－＠]")  # what a spreadsheet would run, or what we wrote so that it does not
_NUMBER = re.compile(r"[-+]\d+([.,]\d+)?")  # looks like one, and is none
_SEP_LINE = re.compile(r"\"?sep=(.)\"?[;,\t]*\r?\n", re.IGNORECASE)  # Excel's own first line
_MARKS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16", b"\xef\xbb\xbf": "utf-8-sig"}


class _Line(NamedTuple):
    """One row as a spreadsheet counts it, from 1."""

    number: int
    cells: list[str]

    @property
    def filled(self) -> bool:
        return any(map(str.strip, self.cells))


def read_table(path: Path, known: Collection[str] = (), *, empty: bool = False) -> pd.DataFrame:
    """A table as text columns; blank is "", "NA" stays "NA". Row r of the spreadsheet has the index r - 2.

    Commas, semicolons, tabs or bars; UTF-8, UTF-16 or Windows-1252; rows without a filled cell, blank cells behind
    the last column and the nameless row names of R and pandas are dropped. known: columns found whatever their case,
    blanks or underscores (`Study ID`). The quote that `write_table` puts before what looks like a formula is taken
    away. empty: a header alone will do.

    Raises `StudyError` for what is no table, has no rows, repeats a column, has cells without a column, or one longer
    than `MOST_CELL`.
    """
    import pandas as pd  # takes longer to load than a small series takes to convert

    name = path.name
    text = _text(path)
    lines = _lines(text, _separator(text, known), name)
    head = next((line for line in lines if line.filled), None)
    if head is None:
        raise StudyError(f"{name}: is empty", hint="give a table with a header line")
    rows = [line for line in lines if line.filled]
    if not rows and not empty:
        raise StudyError(f"{name}: has a header and no rows", hint="fill it, or leave the table out")
    names = _names(head, known, name)
    for line in rows:
        _check(line, names, name)
    kept = [i for i, column in enumerate(names) if column]
    cells = [[_as_it_was(line.cells[i].strip("\ufeff")) if i < len(line.cells) else "" for i in kept] for line in rows]
    return pd.DataFrame(cells, columns=[names[i] for i in kept], index=[line.number - 2 for line in rows], dtype=object)


def write_table(path: Path, rows: Sequence[dict[str, Any]], columns: Sequence[str], private: bool = False) -> None:
    """Write rows as CSV (UTF-8) atomically, every sign of it `readable`; None and NaN are blank.

    Text that a spreadsheet would run as a formula gets a leading quote. private: only its owner may read the file.
    """
    with atomic(path, private) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow([_harmless(c) for c in columns])
        table.writerows([_harmless(row.get(c, "")) for c in columns] for row in rows)


def _text(path: Path) -> str:
    if path.exists() and not path.is_file() and path.parent != Path("/dev/fd"):  # a named pipe would be waited for
        raise StudyError(f"{path}: cannot be read (it is no file)", hint="give a CSV")
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise StudyError(f"{path}: cannot be read ({error.strerror})", hint="check the path") from error
    if raw.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        raise StudyError(f"{path.name}: is a workbook, no CSV", hint="save it as CSV (UTF-8)")
    coding = next((coding for mark, coding in _MARKS.items() if raw.startswith(mark)), "utf-8")
    if coding != "utf-16" and b"\0" in raw:
        raise StudyError(f"{path.name}: holds NUL bytes", hint="save it as CSV (UTF-8)")
    for attempt in (coding, "cp1252"):
        try:
            return raw.decode(attempt)
        except UnicodeDecodeError:
            if coding == "utf-16":
                break
    raise StudyError(f"{path.name}: is neither UTF-8 nor Windows-1252 text", hint="save it as CSV (UTF-8)")


def _separator(text: str, known: Collection[str]) -> str:
    """What the header is parted by: it gives most known columns, then most columns."""
    if told := _SEP_LINE.match(text):
        return told[1]
    first = next((line for line in text.splitlines() if line.strip(SEPARATORS + " ")), "")
    squeezed = set(map(_squeezed, known))

    def columns(separator: str) -> tuple[int, int]:
        cells = next(csv.reader([first], delimiter=separator, skipinitialspace=True), [])
        return len(squeezed & {_squeezed(cell) for cell in cells}), len(cells)

    return max(SEPARATORS, key=columns)


def _lines(text: str, separator: str, name: str) -> Iterator[_Line]:
    told = _SEP_LINE.match(text)
    body = io.StringIO(text[told.end() :] if told else text, newline="")
    reader = csv.reader(body, delimiter=separator, strict=True, skipinitialspace=True)
    number = 0
    while True:
        number += 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise StudyError(
                f"{name}: row {number} cannot be read ({error})", hint="look for a quote that is left open"
            ) from error
        yield _Line(number, cells)


def _names(head: _Line, known: Collection[str], table: str) -> list[str]:
    """Column names as the program knows them; blank for none."""
    squeezed = Counter(map(_squeezed, known))
    spelled = {_squeezed(column): column for column in known if squeezed[_squeezed(column)] == 1}
    told = [readable(_as_it_was(cell.strip().strip("\ufeff\u200b"))) for cell in head.cells]
    names = [cell if cell in known else spelled.get(_squeezed(cell), cell) for cell in told]
    twice = next((column for i, column in enumerate(names) if column and column in names[:i]), None)
    if twice is not None:
        raise StudyError(f"{table}: the column '{twice}' stands twice", hint="keep one of the two")
    return names


def _check(line: _Line, names: Sequence[str], table: str) -> None:
    """Raise `StudyError` for a cell that is too long, or that no column claims."""
    for i, cell in enumerate(line.cells):
        column = names[i] if i < len(names) else ""
        if len(cell) > MOST_CELL:
            raise StudyError(
                f"{table}: row {line.number}, column {column or i + 1}: a cell of {len(cell)} characters",
                hint=f"{MOST_CELL} at most; look for a quote that is left open",
            )
        if column or not cell.strip() or (i == 0 and len(names) > 1):  # R and pandas name rows in front, without a head
            continue
        if i >= len(names):
            raise StudyError(
                f"{table}: row {line.number} has {len(line.cells)} cells, the header {len(names)}",
                hint="put quotes around text with separators in it",
            )
        raise StudyError(f"{table}: row {line.number}: column {i + 1} has no name", hint="name it in the header")


def _squeezed(name: str) -> str:
    return re.sub(r"[\W_]+", "", name.casefold())


def _harmless(value: Any) -> Any:
    if not isinstance(value, str):
        return "" if value is None or value != value else value  # blank for what is not a number
    text = readable(value, keep="\t\r\n")
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text


def _as_it_was(text: str) -> str:
    return text[1:] if text.startswith("'") and _FORMULA.match(text) else text
