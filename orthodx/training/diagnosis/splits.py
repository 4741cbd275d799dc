"""Who trains, who validates: whole patients, alike in centers and labels on every side, and nobody on both.

One order of patients serves all: its beginnings, however long, hold about their share of every label and center.
Validation is one beginning; a fraction of the labels is another, so that a smaller one is part of a larger one.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from orthodx.errors import UsageError
from orthodx.studies.readable import counted

TRIED = 8  # patients compared at each place of the order: enough to balance, few enough to leave it to the seed


@dataclass(frozen=True, kw_only=True)
class Case:
    """One study. labels: L values, 1, 0 or NaN for unknown. images: content hashes of its images.

    A blank patient_id stands for a patient of whom this is the only study.
    """

    study_id: str
    patient_id: str
    center: str
    labels: Sequence[float]
    images: frozenset[str] = frozenset()

    @property
    def same(self) -> Iterator[tuple[str, str]]:
        """What makes another study the same person's: study, patient, image, as (kind, value)."""
        yield "study", self.study_id
        if self.patient_id.strip():
            yield "patient", self.patient_id.strip()
        for image in sorted(self.images):
            yield "image", image


@dataclass(frozen=True, eq=False)
class Split:
    """Ascending indices of the cases that train, validate, and are held out with their center."""

    train: np.ndarray
    validation: np.ndarray
    held_out: np.ndarray


def split(
    cases: Sequence[Case], validation: float, seed: int, hold_out_centers: Collection[str] = (), *,
    say: Callable[[str], None] = print,
) -> Split:  # fmt: skip
    """Part the patients into training and validation, alike in centers and labels.

    validation: share of the patients that are not held out. A patient seen at a center of hold_out_centers is
    held out with all studies. Patients who share an image are taken as one. Where it can be, a label's only
    positive patient trains, and of two or more each side gets one. say: told of patients merged or without a name.
    Raises `UsageError` for a share that is not between 0 and 1, a center without cases, fewer than two patients.
    """
    if not 0 < validation < 1:
        raise UsageError(f"a validation share of {validation:g} is not between 0 and 1", hint="0.2 is usual")
    centers = Counter(case.center for case in cases)
    strangers = sorted(set(hold_out_centers) - set(centers))
    if strangers:
        raise UsageError(f"no study is of center '{strangers[0]}'", hint=f"there are: {', '.join(sorted(centers))}")
    people = _people(cases)
    _tell(cases, people, say)
    away = [p for p in people if any(cases[i].center in hold_out_centers for i in p)]
    here = [p for p in people if not any(cases[i].center in hold_out_centers for i in p)]
    if len(here) < 2:
        raise UsageError(
            f"{counted(len(here), 'patients')} cannot be parted into training and validation",
            hint="give more patients, or hold out fewer centers",
        )
    order = _order(cases, here, seed, spare=2)
    first = validating(len(here), validation)
    return Split(_studies(order[first:]), _studies(order[:first]), _studies(away))


def validating(patients: int, share: float) -> int:
    """How many of so many patients `split` has validate."""
    return min(_nearest(share * patients), patients - 1)


def label_fraction(cases: Sequence[Case], fraction: float, seed: int) -> np.ndarray:
    """Ascending indices of the cases that keep their labels: a fraction of the patients, with all their studies.

    For one seed and the same cases, in any order, a smaller fraction is part of a larger one. Centers and labels
    keep their shares as well as they can, and every label gets a positive patient early, if it has one. Raises
    `UsageError` for a fraction that is not above 0 and at most 1, and where there is no case.
    """
    if not 0 < fraction <= 1:
        raise UsageError(f"a label fraction of {fraction:g} is not above 0 and at most 1", hint="0.1 is a tenth")
    if not cases:
        raise UsageError("no study has a label", hint="check that labels and studies have the same study_id")
    people = _people(cases)
    return _studies(_order(cases, people, seed, spare=1)[: _nearest(fraction * len(people))])


def person_index(cases: Sequence[Case]) -> np.ndarray:
    """(N,) index of each case's person: the same for studies that share a patient or an image."""
    index = np.zeros(len(cases), np.int64)
    for i, own in enumerate(_people(cases)):
        index[own] = i
    return index


def refuse_leakage(train: Sequence[Case], validation: Sequence[Case]) -> None:
    """Raises `UsageError` where a study, a patient or an image is both in training and in validation."""
    seen: dict[tuple[str, str], Case] = {}
    for case in train:
        for key in case.same:
            seen.setdefault(key, case)
    leaks = [(key, seen[key], case) for case in validation for key in case.same if key in seen]
    for kind in ("study", "patient", "image"):
        found = [(value, one, two) for (what, value), one, two in leaks if what == kind]
        if not found:
            continue
        value, one, two = found[0]
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        if kind == "study":
            raise UsageError(f"study '{value}' is in training and in validation{more}", hint="keep it on one side")
        if kind == "patient":
            raise UsageError(
                f"patient '{value}' is in training (study '{one.study_id}') and in validation "
                f"(study '{two.study_id}'){more}",
                hint="keep all studies of a patient on one side",
            )
        raise UsageError(
            f"study '{one.study_id}' of patient '{one.patient_id}' in training and study '{two.study_id}' of patient "
            f"'{two.patient_id}' in validation hold the same image{more}",
            hint="give them one patient_id and keep them on one side",
        )


def _people(cases: Sequence[Case]) -> list[list[int]]:
    """Cases of one person each, whether the patient_id or an image says so; persons and their cases by study_id."""
    by_key: dict[tuple[str, str], list[int]] = defaultdict(list)
    for i, case in enumerate(cases):
        for key in case.same:
            by_key[key].append(i)
    people, placed = [], set()
    for start in sorted(range(len(cases)), key=lambda i: cases[i].study_id):
        found, ahead = set(), [start]
        while ahead:
            i = ahead.pop()
            if i not in placed:
                placed.add(i)
                found.add(i)
                ahead += [j for key in cases[i].same for j in by_key[key]]
        if found:
            people.append(sorted(found, key=lambda i: cases[i].study_id))
    return people


def _tell(cases: Sequence[Case], people: list[list[int]], say: Callable[[str], None]) -> None:
    """Say which patients were taken as one, and how many studies name none."""
    names = [sorted({cases[i].patient_id.strip() or f"(study {cases[i].study_id})" for i in p}) for p in people]
    merged = [" = ".join(n) for n in names if len(n) > 1]
    if merged:
        more = f" and {len(merged) - 4} more" if len(merged) > 4 else ""
        say(f"patients who share an image are taken as one: {', '.join(merged[:4])}{more}")
    nameless = sum(not case.patient_id.strip() for case in cases)
    if nameless:
        say(f"{counted(nameless, 'studies name')} no patient; each counts as a patient of its own")


def _order(cases: Sequence[Case], people: list[list[int]], seed: int, spare: int) -> list[list[int]]:
    """Persons in an order whose every beginning holds about its share of studies, labels and centers.

    Greedy, after iterative stratification (Sechidis et al. 2011): the rarest thing that lacks half a study or
    more is served next, by the person among a few drawn who leaves the rest nearest to its share. An answer to a
    label that at least `spare` persons have is due once from the start; one that fewer have is never due.
    """
    rng = np.random.default_rng(seed)
    counts = _counts(cases, people)
    total, has = counts.sum(0), counts > 0
    answers = np.arange(len(total)) >= len(total) - 2 * len(cases[0].labels)
    early, late = (answers & (has.sum(0) >= spare), answers & (has.sum(0) < spare))
    left, taken, order = np.ones(len(people), bool), np.zeros(len(total)), []
    for place in range(1, len(people) + 1):
        due = np.where(late, 0, np.maximum(total * place / len(people), early & (total > 0)))
        lack = due - taken
        useful = np.where(lack >= 0.5, lack / np.maximum(total, 1), 0)
        able = left & has[:, useful.argmax()] if useful.max() > 0 else left
        pool = np.flatnonzero(able if able.any() else left)
        drawn = rng.choice(pool, min(TRIED, len(pool)), replace=False)
        cost = ((taken + counts[drawn] - due) ** 2 / np.maximum(total, 1)).sum(1)
        chosen = drawn[cost.argmin()]
        left[chosen], taken = False, taken + counts[chosen]
        order.append(people[chosen])
    return order


def _counts(cases: Sequence[Case], people: list[list[int]]) -> np.ndarray:
    """(persons, F) studies; studies of each center; then positives and negatives of each label."""
    labels = np.array([case.labels for case in cases], float)
    centers = np.unique([case.center for case in cases])
    at = np.array([case.center for case in cases])[:, None] == centers
    each = np.column_stack([np.ones(len(cases)), at, labels == 1, labels == 0])
    return np.stack([each[p].sum(0) for p in people])


def _nearest(number: float) -> int:
    """The nearest count, at least one."""
    return max(int(np.floor(number + 0.5)), 1)


def _studies(people: list[list[int]]) -> np.ndarray:
    return np.array(sorted(i for p in people for i in p), dtype=np.int64)
