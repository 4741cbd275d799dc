"""Which series go together where a study has several of one view: the one rule, for training and for inference."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from orthodx.joints import View

MOST_COMBINATIONS = 64  # of one study


@dataclass(frozen=True, eq=False)
class StudyRows:
    """Every combination of one series a view, R rows of N studies.

    study: (R,) index of the study. weight: (R,), 1 / number of its combinations. present: (R, 3) bool. series:
    (R, 3) which of the view's series, 0 where there is none.
    """

    study: np.ndarray
    weight: np.ndarray
    present: np.ndarray
    series: np.ndarray


def combinations(counts: Sequence[int], most: int = MOST_COMBINATIONS) -> np.ndarray:
    """(N, V) which of `counts` (at least 1 each) series each of V views gives: all combinations, or `most` evenly."""
    total = math.prod(counts)
    taken = np.linspace(0, total - 1, min(total, most)).round().astype(int)
    return np.stack(np.unravel_index(taken, counts), 1)


def study_rows(counts: Sequence[Sequence[int]]) -> StudyRows:
    """counts: (N, 3) series of each view a study has, at least one in all."""
    study, weight, present, series = [], [], [], []
    for i, numbers in enumerate(counts):
        kept = combinations([max(n, 1) for n in numbers])
        for one in kept:
            study.append(i)
            weight.append(1 / len(kept))
            present.append([n > 0 for n in numbers])
            series.append(one)
    return StudyRows(np.array(study), np.array(weight), np.array(present), np.array(series))


def stacked(by_view: Mapping[View, Sequence[Sequence[Tensor]]], rows: StudyRows, size: Sequence[int]) -> Tensor:
    """Per view, study and series one tensor of `size` -> (R, 3, *size); zeros where a view is missing."""
    out = torch.zeros(len(rows.study), len(View), *size)
    for r, (study, present, series) in enumerate(zip(rows.study, rows.present, rows.series, strict=True)):
        for v, view in enumerate(View):
            if present[v]:
                out[r, v] = by_view[view][study][series[v]]
    return out


def by_study(logits: np.ndarray, rows: StudyRows) -> np.ndarray:
    """Logits (R, L) of combinations -> (N, L) of studies: the probabilities averaged, as a logit again."""
    p = 1 / (1 + np.exp(-np.clip(logits, -30, 30)))
    total = np.zeros((rows.study.max() + 1, logits.shape[1]))
    np.add.at(total, rows.study, p * rows.weight[:, None])
    total = np.clip(total, 1e-6, 1 - 1e-6)
    return np.log(total / (1 - total))
