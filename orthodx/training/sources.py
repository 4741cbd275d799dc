"""Where training samples come from: banks of anatomies, studies on disk, or both."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from torch import Tensor

from orthodx.errors import NoInputError, StudyError, UsageError
from orthodx.grid.spec import GridSpec
from orthodx.joints import JOINTS, Joint, View, joint_beside
from orthodx.requests import GroupBy
from orthodx.studies.discover import find_series, named_in
from orthodx.studies.keys import study_key
from orthodx.studies.manifest import MANIFEST, read_manifest
from orthodx.studies.mask_files import TRUTH, truth_of
from orthodx.studies.nifti_studies import NNUNET_IMAGES
from orthodx.studies.series import Series
from orthodx.studies.study import Study
from orthodx.synth.anatomy_bank import AnatomyBank
from orthodx.synth.focus import Focus
from orthodx.synth.source import SyntheticSource
from orthodx.training.diagnosis.splits import Case, label_fraction
from orthodx.training.distributed import Team
from orthodx.training.kept_series import Keeping
from orthodx.training.left_out import LeftOut
from orthodx.training.study_source import StudySource

STREAM = 7_919  # which source a sample is of is drawn apart from what it shows


@dataclass
class Mixture:
    """Samples of several sources; `source[i, view]` is sample i of one of them, drawn by their `shares`.

    As those of its sources, a sample depends on seed, i and view only.
    """

    sources: Sequence[SyntheticSource | StudySource]
    shares: Sequence[float]
    seed: int

    def __post_init__(self) -> None:
        self._reach = np.cumsum(self.shares) / np.sum(self.shares)

    def __getitem__(self, key: tuple[int, View]) -> tuple[Tensor, Tensor]:
        i, view = key
        drawn = np.random.default_rng([self.seed, i, list(View).index(view), STREAM]).random()
        return self.sources[int(np.searchsorted(self._reach, drawn, side="right"))][key]


@dataclass(frozen=True)
class Chosen:
    """Which studies with masks are learned from: those that the table `only` names, and of their patients a share.

    group_by: what makes NIfTI files without a manifest one study. As with labels, a smaller share of one seed is part
    of a larger one, alike in centers.
    """

    only: Path | None = None
    share: float = 1.0
    seed: int = 0
    group_by: GroupBy | None = None

    def of(self, studies: Sequence[Study]) -> set[str]:
        """The ids of the share."""
        if self.share == 1:
            return {study.study_id for study in studies}
        cases = [
            Case(
                study_id=study.study_id,
                patient_id=study.patient_id,
                center=study.center,
                labels=(),
                images=frozenset(one.content for one in study.series),
            )
            for study in studies
        ]
        return {studies[i].study_id for i in label_fraction(cases, self.share, self.seed)}


EVERYONE = Chosen()
Source: TypeAlias = SyntheticSource | StudySource | Mixture


def open_source(
    studies: Sequence[Path],
    spec: GridSpec,
    crop: tuple[int, int, int],
    seed: int,
    *,
    joint: Joint,
    truth: bool,
    views: Sequence[View] = (),
    what: Literal["structures", "lesions", "both"] = "structures",
    cache: Path | None = None,
    focus: tuple[float, tuple[str, ...]] | None = None,
    bank_share: float | None = None,
    chosen: Chosen = EVERYONE,
    augment: bool = False,
    team: Team | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Source:
    """Anatomy banks give endless synthetic images; anything else is read as studies.

    truth: masks are needed, in the folder `truth/` (or nnU-Net's `labelsTr/`) beside the manifest or the images. views:
    those that studies must have. what: of a bank of injuries, what the truth holds. focus: the share of crops taken on
    purpose, and for which labels (`Focus`). cache: a folder for series on the model's grid, needed where they do not
    fit in memory. bank_share: of the samples, where there are banks and studies (half without it); several banks count
    by their anatomies. chosen: which of the studies. augment: crops
    of studies are changed (`Augmentation`). team: processes that fill the cache together. say: told how far
    reading is. Raises `UsageError` for what does not fit together, `NoInputError`
    where there is nothing.
    """
    given = [(path, AnatomyBank(path)) for path in studies]
    banks = [bank for _, bank in given if len(bank) > 0]
    scans = [path for path, bank in given if len(bank) == 0]
    if bank_share is not None and not (banks and scans):
        raise UsageError("--bank-share parts the samples of banks and studies", hint="give both, or leave it out")
    if cache is not None and not scans:
        raise UsageError("--cache keeps studies on the model's grid, and there are none", hint="leave it out")
    if (what != "structures" or focus) and (scans or len(banks) > 1):
        raise UsageError("lesion masks are read from one bank alone", hint="give one made by 'orthodx synth --lesions'")
    for bank in banks:
        if bank.synthetic.joint.names != joint.names:
            raise UsageError(
                f"{bank.folder} is a bank of the {bank.joint}, not of the {joint.name}", hint="leave --joint out"
            )
    if chosen.share != 1 and not scans:
        raise UsageError("--label-fraction is a share of the studies, and there are none", hint="leave it out")
    if chosen.only is not None and not scans:
        raise UsageError("--only names studies, and there are none", hint="leave it out")
    if chosen.group_by is not None and not scans:
        raise UsageError("--group-by puts images of studies together, and there are none", hint="leave it out")
    aim = Focus(banks[0], *focus) if focus else None
    sources: list[SyntheticSource | StudySource] = [
        SyntheticSource(bank, spec, crop, seed, truth=what, focus=aim) for bank in banks
    ]
    shares = [float(len(bank)) for bank in banks]
    if scans:
        of_banks = 0.5 if bank_share is None else bank_share
        shares = [of_banks * share / sum(shares) for share in shares] + [1 - of_banks if banks else 1.0]
        series, masks, refused = _listed(scans, truth, views or tuple(View), chosen)
        read = StudySource(series, masks, Keeping(spec, joint, cache, team, say), crop, seed, refused, augment)
        read.refuse_without(views)
        sources.append(read)
    return sources[0] if len(sources) == 1 else Mixture(sources, shares, seed)


def _listed(
    studies: Sequence[Path], truth: bool, views: Sequence[View], chosen: Chosen
) -> tuple[list[Series], list[Path | None], list[LeftOut]]:
    """Series to train on, the mask of each where `truth` is needed, and the inputs left out.

    A series of `views` without a mask is one of these, unless it lies among the test images of nnU-Net.
    """
    usable: list[tuple[Study, dict[str, Path | None]]] = []
    refused: list[LeftOut] = []
    named = None if chosen.only is None else named_in(chosen.only)
    for path in studies:
        found = find_series([path], group_by=chosen.group_by)
        refused += [LeftOut(bad.source, bad.reason) for bad in found.refused]
        if not found.studies:
            raise NoInputError(
                f"nothing to train on in {path}", hint="give studies, or a bank made by 'orthodx synth --bank'"
            )
        there = {one.series_id: truth_of(path, one) for one in found.series} if truth else {}
        if truth and not any(there.values()):
            raise UsageError(f"no masks for the series of {path}", hint="put them into truth/<series_id>.nii.gz")
        refused += [
            LeftOut.of(one, f"has no mask; put it into {TRUTH}/{one.file_name}.nii.gz")
            for one in found.series
            if truth and one.view in views and not there[one.series_id] and not _is_test_image(one)
            if named is None or study_key(one.study_id) in named
        ]
        usable += [(s, there) for s in found.studies if not truth or any(there[one.series_id] for one in s.series)]
    if chosen.only is not None and named is not None:
        usable = [(study, there) for study, there in usable if study_key(study.study_id) in named]
        if not usable:
            raise UsageError(f"--only: no study with masks is in {chosen.only.name}", hint="check its column study_id")
    wanted = chosen.of([study for study, _ in usable])
    pairs = [
        (one, there.get(one.series_id))
        for study, there in usable
        if study.study_id in wanted
        for one in study.series
        if not truth or there[one.series_id]
    ]
    return [one for one, _ in pairs], [mask for _, mask in pairs], refused


def _is_test_image(series: Series) -> bool:
    return series.path.parent.name.casefold() in NNUNET_IMAGES - {"imagestr"}


def joint_of_data(studies: Sequence[Path]) -> Joint | None:
    """The joint that the data says it shows: a bank's, that of nnU-Net's `dataset.json`, or that of the manifest.

    None where it says nothing; raises `UsageError` where it says several.
    """
    found: dict[str, Joint] = {}
    for path in studies:
        table = path if path.suffix.lower() == ".csv" else path / MANIFEST
        bank, beside = AnatomyBank(path), joint_beside(path)
        if len(bank) > 0:
            found[bank.joint] = bank.synthetic.joint
        elif beside is not None:
            found[beside.name] = beside
        elif table.is_file():
            with contextlib.suppress(StudyError):  # what is wrong with it is said when its studies are looked for
                named = {str(row.get("joint", "")).casefold() for row in read_manifest(table)[0]}
                found |= {name: JOINTS[name] for name in named & JOINTS.keys()}
    if len(found) > 1:
        raise UsageError(f"the studies show {' and '.join(sorted(found))}", hint="give one joint's, or say --joint")
    return next(iter(found.values()), None)
