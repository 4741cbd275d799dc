"""Predictions, labels and attributes from files: what is doubtful is named and left out, the rest goes on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from orthodx.errors import StudyError
from orthodx.evaluation.inputs import NO_PATIENT, Attributes, of_studies
from orthodx.evaluation.notices import Notices, some
from orthodx.studies.keys import study_key
from orthodx.studies.labels import LABEL_FIX, label_values, read_by_study, refuse_repeated
from orthodx.studies.readable import counted
from orthodx.studies.study import mixed_studies

ABOUT = ("patient_id", "study_id", "series_id", "views", "view", "model", "joint", "status", "reason", "seconds")


@dataclass(frozen=True, eq=False)
class Diagnoses:
    """Probabilities of one model with their truth, a row a study.

    studies, patients: (n,) ids. labels: L names. probability, truth: (n, L) float; NaN where there is none
    (a blank label is unknown, not negative). truth is 0 or 1.
    """

    studies: np.ndarray
    patients: np.ndarray
    labels: tuple[str, ...]
    probability: np.ndarray
    truth: np.ndarray

    def known(self, label: int) -> np.ndarray:
        """(n,) bool: both probability and truth are there."""
        return ~np.isnan(self.probability[:, label]) & ~np.isnan(self.truth[:, label])


def read_diagnoses(
    predictions: Path,
    labels: Path,
    attributes: Attributes,
    notices: Notices,
    *,
    link: Path | None = None,
    quiet: bool = False,
) -> Diagnoses:
    """Join predictions and labels by study. quiet: say nothing of studies and labels without a partner. link: of
    the names of studies in labels.

    Studies that mix patients are left out.

    Raises `StudyError` where nothing can be joined, or an id stands twice.
    """
    found = read_by_study(predictions)
    truth = read_by_study(labels, [c for c in found.columns if c not in ABOUT], link)
    names = [c for c in found.columns if c in truth.columns and c not in ABOUT]
    if not names:
        raise StudyError(
            f"{predictions.name} and {labels.name} share no label column",
            hint=f"name the columns alike; labels has: {some(_label_columns(truth)) or 'none'}",
        )
    models = sorted(set(found["model"].str.strip()) - {""}) if "model" in found.columns else []
    if len(models) > 1:
        notices.note(f"{predictions.name}: its answers are of {len(models)} models: {some(models)}")
    found = _averaged(_of_one_patient(found, attributes, predictions, notices), names, predictions, notices)
    refuse_repeated(truth, labels)
    truth = truth.set_index("study_id")
    if not quiet:
        _name_unpaired(found, truth, names, predictions, labels, notices)
    found = found[found["study_id"].isin(truth.index)]
    if not len(found):
        raise StudyError(
            f"no study of {predictions.name} is in {labels.name}", hint="use the same study_id in both tables"
        )
    truth = truth.loc[found["study_id"]]
    answers = np.column_stack([_truth(truth, c, labels, notices) for c in names])
    patients = _patients(found, attributes.manifest, notices, quiet)
    chances = found[names].to_numpy(float)
    return Diagnoses(found["study_id"].to_numpy(str), patients, tuple(names), chances, answers)


def _of_one_patient(found: pd.DataFrame, attributes: Attributes, path: Path, notices: Notices) -> pd.DataFrame:
    """Without rows that name no study, and without studies that mix patients: the manifest's were named already."""
    nameless = found.index[found["study_id"] == ""]
    if len(nameless):
        notices.refuse(
            f"{path.name}: row {nameless[0] + 2} names no study; {len(nameless)} such rows", "fill in study_id"
        )
    mixed = set(attributes.mixed)
    if "patient_id" in found.columns:
        own = mixed_studies(zip(found["study_id"], found["patient_id"].map(study_key), strict=True))
        for study in own.keys() - mixed - {""}:
            notices.refuse(f"{path.name}: {own[study]}", None)
        mixed |= own.keys()
    return found[~found["study_id"].isin({*mixed, ""})]


def _label_columns(table: pd.DataFrame) -> list[str]:
    return [c for c in table.columns if c not in ABOUT]


def _averaged(found: pd.DataFrame, names: list[str], path: Path, notices: Notices) -> pd.DataFrame:
    """One row a study with numeric probabilities; several series of a study are averaged."""
    found = found.copy()
    for name in names:
        text = found[name].str.strip()
        value = pd.to_numeric(text.str.replace(",", ".", regex=False), errors="coerce")
        bad = ~value.between(0, 1)
        if bad.any():
            what = [f"{s}: '{t}'" for s, t in zip(found["study_id"][bad], text[bad], strict=True)]
            notices.refuse(
                f"{path.name}: {name}: {counted(len(what), 'values are')} no probability from 0 to 1 ({some(what)}); "
                "not scored",
                "write probabilities, not logits, scores or blanks",
            )
        found[name] = value.mask(bad)
    repeated = found["study_id"].duplicated(keep=False)
    if repeated.any():
        if "series_id" not in found.columns:
            twice = found["study_id"][repeated].iloc[0]
            raise StudyError(
                f"{path.name}: study_id '{twice}' stands twice",
                hint="keep one row a study, or name the series in a column series_id to have them averaged",
            )
        again = found.duplicated(["study_id", "series_id"])
        if again.any():
            study, series = found.loc[again.idxmax(), ["study_id", "series_id"]]
            raise StudyError(
                f"{path.name}: series_id '{series}' of study '{study}' stands twice", hint="keep one row a series"
            )
        notices.note(
            f"{path.name}: the series of a study are averaged "
            f"({counted(found['study_id'][repeated].nunique(), 'studies')})"
        )
        rest = [c for c in found.columns if c not in names]
        how = {**{c: "first" for c in rest if c != "study_id"}, **{c: "mean" for c in names}}
        found = found.groupby("study_id", sort=False, as_index=False).agg(how)
    return found


def _name_unpaired(
    found: pd.DataFrame, truth: pd.DataFrame, names: list[str], predictions: Path, labels: Path, notices: Notices
) -> None:
    strangers = [s for s in found["study_id"] if s not in truth.index]
    if strangers:
        notices.note(
            f"{predictions.name}: {counted(len(strangers), 'studies have')} no truth in {labels.name}: "
            f"{some(strangers)}"
        )
    unseen = truth.index[~truth.index.isin(found["study_id"])]
    notices.left_out += len(strangers) + len(unseen)
    if len(unseen):
        notices.note(
            f"{labels.name}: {counted(len(unseen), 'studies have')} no prediction, missing from all numbers: "
            f"{some(list(unseen))}"
        )
    for table, path, other in ((truth, labels, predictions), (found, predictions, labels)):
        extra = [c for c in _label_columns(table) if c not in names]
        if extra:
            notices.note(f"{path.name}: columns without a partner in {other.name} are not scored: {some(extra)}")


def _truth(truth: pd.DataFrame, name: str, path: Path, notices: Notices) -> np.ndarray:
    """(n,) 0, 1 or NaN for blank; other values are named and count as unknown."""
    text = truth[name].str.strip()
    value, bad = label_values(text)
    if bad.any():
        what = [f"{s}: '{t}'" for s, t in zip(truth.index[bad], text[bad], strict=True)]
        notices.refuse(
            f"{path.name}: {name}: {counted(len(what), 'labels are')} not 0, 1 or blank ({some(what)}); "
            "taken as unknown",
            LABEL_FIX,
        )
    return value


def _patients(found: pd.DataFrame, manifest: pd.DataFrame | None, notices: Notices, quiet: bool) -> np.ndarray:
    """(n,) patient of each study: from the predictions, else the manifest, else the study itself."""
    own = found["patient_id"].str.strip() if "patient_id" in found.columns else pd.Series("", index=found.index)
    known = of_studies(manifest)
    patients = own.where(own != "", [known.get(study, "") for study in found["study_id"]])
    lost = patients == ""
    if lost.any() and not quiet:
        notices.note(NO_PATIENT.format(counted(int(lost.sum()), "studies name")))
    told = patients.where(~lost, "study " + found["study_id"]).to_numpy(str)
    names, many = np.unique(told, return_counts=True)
    if many.max() > max(1, len(told) // 2) and not quiet:
        notices.note(
            f"{many.max()} of {len(told)} studies are of one patient, '{names[many.argmax()]}': patients make the "
            "intervals; leave patient_id blank where it is unknown"
        )
    return told
