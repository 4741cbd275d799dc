"""The files of a follow-up, what view each mask is of, and the probabilities of each study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from orthodx.errors import NoInputError, StudyError, UsageError
from orthodx.evaluation.inputs import MASKS, PREDICTIONS, USUAL, Inputs
from orthodx.evaluation.notices import Notices
from orthodx.evaluation.tables import ABOUT
from orthodx.requests import FollowupRequest
from orthodx.studies.keys import file_name
from orthodx.studies.labels import read_by_study
from orthodx.studies.manifest import MANIFEST
from orthodx.studies.mask_files import read_labels_file
from orthodx.studies.nifti import is_nifti
from orthodx.studies.view import view_of


def followup_inputs(request: FollowupRequest) -> Inputs:
    """What is named, completed by what `folder` holds; raises `UsageError` for what is named and not there."""
    found: dict[str, Path | None] = {"labels": None, "truth": None, "ehr": None}
    for key in ("masks", "predictions", "manifest"):
        given: Path | None = getattr(request, key)
        if given is not None and not given.exists():
            raise UsageError(f"--{key}: {given} is not there", hint="check the path")
        path = given or request.folder / USUAL[key]
        found[key] = path if path.exists() else None
    for name in ("visits", "error"):
        path = getattr(request, name)
        if path is not None and not path.is_file():
            raise UsageError(f"--{name}: {path} is not there", hint="check the path")
    if found["manifest"] is None:
        raise NoInputError(f"no {MANIFEST} in {request.folder.resolve()}", hint="name one with --manifest")
    if found["masks"] is None and found["predictions"] is None:
        raise NoInputError(
            f"neither {MASKS} nor {PREDICTIONS} in {request.folder.resolve()}", hint="give --masks or --predictions"
        )
    masks = found["masks"]
    if masks is not None and masks.is_dir() and not any(map(is_nifti, masks.iterdir())) and (masks / MASKS).is_dir():
        found["masks"] = masks / MASKS
    return Inputs(**found)


def views_of(rows: Sequence[Mapping[str, Any]], masks: Mapping[str, Path], notices: Notices) -> dict[str, str]:
    """Series that has a mask -> its view: the manifest's, else by the mask's own planes."""
    out = {}
    for row in rows:
        path = masks.get(file_name(row["series_id"]))
        if path is None:
            continue
        try:
            out[row["series_id"]] = str(row.get("view") or _own_view(path))
        except StudyError as error:
            notices.refuse(str(error), error.hint)
    return out


def _own_view(path: Path) -> str:
    volume = read_labels_file(path)
    return str(view_of(volume.affine, volume.shape)[0])


def probabilities(path: Path | None) -> pd.DataFrame | None:
    """Study -> probabilities; several rows of a study are averaged, what is no probability is NaN."""
    if path is None:
        return None
    table = read_by_study(path)
    names = [c for c in table.columns if c not in ABOUT]
    values = table[names].apply(pd.to_numeric, errors="coerce")
    values = values.where((values >= 0) & (values <= 1))
    return values.groupby(table["study_id"]).mean()
