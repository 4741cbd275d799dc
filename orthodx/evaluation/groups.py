"""Groups of cases by columns of the manifest or the EHR table, each column alone and all of them crossed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pandas as pd

from orthodx.errors import UsageError
from orthodx.studies.records import UNKNOWN as NO_ANSWER

UNKNOWN, MIXED = "unknown", "mixed"
MOST_VALUES = 8  # a numeric column with more distinct values is cut at its quartiles
CROSS = " x "
_NUMBER = re.compile(r"([-+]?(?:0|[1-9]\d*)(?:[.,]\d+)?)(?: ?T)?")  # "007" is a name; T: tesla


def groupings(
    by: Sequence[str],
    studies: Sequence[str],
    series: Sequence[str] | None,
    manifest: pd.DataFrame | None,
    ehr: pd.DataFrame | None,
) -> dict[str, np.ndarray]:
    """Grouping name -> (n,) group of each case.

    Cases are series where `series` is given, else studies (a study whose series differ is `mixed`). Blank is
    `unknown`, a group of its own. Raises `UsageError` for a column that neither table has.
    """
    out = {}
    for column in by:
        if manifest is not None and (own := _spelled(column, manifest)):
            key, ids = ("study_id", studies) if series is None else ("series_id", series)
            values = _lookup(manifest, key, own, ids)
        elif ehr is not None and (own := _spelled(column, ehr)):
            values = _lookup(ehr, "study_id", own, studies)
        else:
            have = [c for t in (manifest, ehr) if t is not None for c in t.columns if not c.endswith("_id")]
            raise UsageError(
                f"no column '{column}' to group by",
                hint=f"there are: {', '.join(have)}" if have else "give --manifest or --ehr",
            )
        out[column] = _banded(values)
    if len(out) > 1:
        crossed = [CROSS.join(pair) for pair in zip(*out.values(), strict=True)]
        out[CROSS.join(out)] = np.array(crossed, dtype=object)
    return out


def _spelled(column: str, table: pd.DataFrame) -> str:
    """The table's column of that name, its case aside where no other one is meant; blank for none."""
    alike = [c for c in table.columns if c.casefold() == column.casefold()]
    return column if column in alike else alike[0] if len(alike) == 1 else ""


def _lookup(table: pd.DataFrame, key: str, column: str, ids: Sequence[str]) -> np.ndarray:
    """(n,) the one value of each id, spelled as it first stands; `mixed` where the known values of its rows differ."""
    text = table[column].str.strip()
    text = text[~text.str.casefold().isin(NO_ANSWER)]
    same = text.map(_alike)
    spelled = dict(zip(same[::-1], text[::-1], strict=True))
    value = same.groupby(table[key].str.strip()).agg(lambda v: spelled[v.iloc[0]] if v.nunique() == 1 else MIXED)
    known = value.to_dict()
    return np.array([known.get(one, UNKNOWN) for one in ids], dtype=object)


def _alike(text: str) -> str:
    """The same for all spellings of a number ("1.5", "1,50", "1.5 T"); another text is itself."""
    number = _NUMBER.fullmatch(text)
    return text if number is None else f"{float(number[1].replace(',', '.')):.15g}"


def _banded(values: np.ndarray) -> np.ndarray:
    """Values as they are, or quartile bands of a numeric column with many values (age, height)."""
    named = np.isin(values, (UNKNOWN, MIXED))
    number = pd.to_numeric(pd.Series([_alike(str(value)) for value in values[~named]], dtype=object), errors="coerce")
    if number.isna().any() or number.nunique() <= MOST_VALUES:
        return values
    edges = np.unique(np.quantile(number, [0, 0.25, 0.5, 0.75, 1]))
    digits = next(d for d in range(6, 18) if len({f"{edge:.{d}g}" for edge in edges}) == len(edges))
    bands = [f"{a:.{digits}g} to {b:.{digits}g}" for a, b in pairwise(edges)]
    at = np.clip(np.searchsorted(edges, number, side="left") - 1, 0, len(bands) - 1)
    out = values.copy()
    out[~named] = np.array(bands, dtype=object)[at]
    return out
