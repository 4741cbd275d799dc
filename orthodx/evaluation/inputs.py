"""The files of an evaluation: those named, and those found under their usual names in a folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

import pandas as pd

from orthodx.errors import NoInputError, StudyError, UsageError
from orthodx.evaluation.notices import Notices
from orthodx.evaluation.run_facts import RUN, read_facts
from orthodx.joints import DEFAULT_JOINT, JOINTS, Joint, joint_beside, open_joint
from orthodx.studies.labels import LABELS_FILE, RECORDS_FILE, read_by_study
from orthodx.studies.manifest import MANIFEST, REQUIRED, read_manifest
from orthodx.studies.nifti import is_nifti
from orthodx.studies.study import mixed_studies

PREDICTIONS = "predictions.csv"
MASKS, TRUTH = "masks", "truth"
NO_PATIENT = "{} no patient; each counts as a patient of its own"
USUAL = {"predictions": PREDICTIONS, "labels": LABELS_FILE, "masks": MASKS, "truth": TRUTH, "manifest": MANIFEST,
         "ehr": RECORDS_FILE}  # fmt: skip
Read = TypeVar("Read")


@dataclass(frozen=True)
class Inputs:
    """Paths that are there; None where there is none. Diagnosis needs the first two, segmentation the next two."""

    predictions: Path | None
    labels: Path | None
    masks: Path | None
    truth: Path | None
    manifest: Path | None
    ehr: Path | None

    @property
    def diagnosis(self) -> tuple[Path, Path] | None:
        """Predictions and labels, if both are there."""
        return (self.predictions, self.labels) if self.predictions and self.labels else None

    @property
    def segmentation(self) -> tuple[Path, Path] | None:
        """Masks and truth, if both are there."""
        return (self.masks, self.truth) if self.masks and self.truth else None

    @property
    def usual_names(self) -> dict[str, str]:
        """What each table, and each folder before a colon or slash, is called here -> what it usually is: the one here
        may be a patient's name.
        """
        there = {key: path for key, path in vars(self).items() if path is not None}
        ends = {key: ("",) if path.is_file() else (":", "/") for key, path in there.items()}
        return {f"{path.name}{end}": f"{USUAL[key]}{end}" for key, path in there.items() for end in ends[key]}


class Attributes(NamedTuple):
    """What is known of cases, as text: manifest and EHR table, None where there is none. mixed: studies not scored."""

    manifest: pd.DataFrame | None
    ehr: pd.DataFrame | None
    mixed: frozenset[str]


def of_studies(manifest: pd.DataFrame | None) -> dict[str, str]:
    """Study -> its patient, of those whose patient any of their rows names."""
    if manifest is None:
        return {}
    named = zip(manifest["study_id"], manifest["patient_id"].str.strip(), strict=True)
    return {study: patient for study, patient in named if patient}


def find_inputs(folder: Path, named: dict[str, Path | None], notices: Notices) -> Inputs:
    """What is named, completed by what `folder` holds; a task is left out when only half of it is there.

    Raises `UsageError` for a named file that is missing or lacks its other half, `NoInputError` for nothing.
    """
    paths: dict[str, Path | None] = {}
    for key, name in USUAL.items():
        given = named.get(key)
        if given is not None and not given.exists():
            raise UsageError(f"--{key}: {given} is not there", hint="check the path")
        found = given or folder / name
        paths[key] = found if found.exists() else None
    if paths["masks"] is not None and not any(map(is_nifti, paths["masks"].iterdir())):
        inner = paths["masks"] / MASKS
        paths["masks"] = inner if inner.is_dir() else paths["masks"]
    inputs = Inputs(**paths)
    for one, two in (("predictions", "labels"), ("masks", "truth")):
        for key, other in ((one, two), (two, one)):
            if paths[key] is not None and paths[other] is None:
                if named.get(key) is not None:
                    raise UsageError(f"--{key} needs its {other}", hint=f"give --{other}, or put {USUAL[other]} here")
                notices.note(f"{USUAL[key]} is here but no {USUAL[other]}: not evaluated")
    if not inputs.diagnosis and not inputs.segmentation:
        raise NoInputError(
            f"nothing to evaluate in {folder.resolve()}",
            hint=f"put {PREDICTIONS} with {LABELS_FILE}, or {MASKS}/ with {TRUTH}/, there, or name them with options",
        )
    return inputs


def read_attributes(inputs: Inputs, notices: Notices, link: Path | None = None) -> Attributes:
    """Manifest and EHR table; rows that name no study, and studies that mix patients, are refused by name.

    A table that cannot be read is refused, and nothing is known of what it holds.
    """
    ehr = _read(inputs.ehr, partial(read_by_study, link=link), notices)
    read = _read(inputs.manifest, read_manifest, notices)
    if inputs.manifest is None or read is None:
        return Attributes(None, ehr, frozenset())
    rows, faults = read
    for number, reason in faults:
        notices.refuse(f"{inputs.manifest.name} row {number}: {reason}", None)
    mixed = mixed_studies((row["study_id"], row["patient_id"]) for row in rows)
    for reason in mixed.values():
        notices.refuse(f"{inputs.manifest.name}: {reason}", None)
    columns = None if rows else REQUIRED
    return Attributes(pd.DataFrame(rows, columns=columns, dtype=object), ehr, frozenset(mixed))


def _read(path: Path | None, reader: Callable[[Path], Read], notices: Notices) -> Read | None:
    try:
        return None if path is None else reader(path)
    except StudyError as error:
        notices.refuse(f"{error}; the rest is scored without it", error.hint)
        return None


def joint_of(asked: str | Path | None, inputs: Inputs, manifest: pd.DataFrame | None, notices: Notices) -> Joint:
    """The joint asked for, else that of the record beside the results, of nnU-Net's `dataset.json`, of the manifest.

    A manifest of several joints names none; it is noted.
    """
    if asked is not None:
        return open_joint(asked)
    for results in (inputs.masks if inputs.truth is not None else None, inputs.predictions):
        told = read_facts(results, notices).record.get("joint") if results is not None else None
        if isinstance(told, dict):
            try:
                return Joint.from_json(told)
            except (UsageError, TypeError, KeyError, ValueError, AttributeError) as error:
                notices.note(f"{RUN}: its joint cannot be read ({error})")
    if inputs.truth is not None and (beside := joint_beside(inputs.truth)) is not None:
        return beside
    told = [] if manifest is None or "joint" not in manifest.columns else manifest["joint"]
    named = {str(joint).strip().casefold() for joint in told}
    known = sorted(named & JOINTS.keys())
    if len(known) > 1:
        notices.note(
            f"the manifest names {' and '.join(known)}; {DEFAULT_JOINT.name} structures are scored, or say --joint"
        )
    return JOINTS[known[0]] if len(known) == 1 else DEFAULT_JOINT


def compared_paths(path: Path) -> tuple[Path | None, Path | None]:
    """Predictions and masks of another run: a CSV, a folder of masks, or a folder that holds either."""
    if path.is_file():
        return path, None
    if not path.is_dir():
        raise UsageError(f"--compare: {path} is not there", hint="name a predictions CSV or a folder of masks")
    predictions = path / PREDICTIONS if (path / PREDICTIONS).is_file() else None
    masks = next((p for p in (path, path / MASKS) if p.is_dir() and any(map(is_nifti, p.iterdir()))), None)
    if predictions is None and masks is None:
        raise UsageError(f"--compare: {path} holds no {PREDICTIONS} and no masks", hint="name another folder or a CSV")
    return predictions, masks
