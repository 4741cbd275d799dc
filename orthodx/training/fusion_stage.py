"""Stage II: the fusion of the views, then the record's share, fitted to what stage I gave."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.model_selection import GroupKFold
from torch import Tensor, nn

from orthodx.joints import View
from orthodx.networks.combinations import combinations
from orthodx.networks.diagnose_head import masked_bce
from orthodx.networks.diagnoser import Diagnoser
from orthodx.networks.fusion import VIEWS, GatedLogits
from orthodx.studies.records import Record
from orthodx.training.optimise import guarded_step, learning_rate

MOST_COMBINATIONS = 12  # rows a study with many repeated series may fill
FOLDS = 5
DROPPED = 0.15  # chance that a view is taken away in training, so that a study may lack it
UNREAD = 0.2  # chance that a record is


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


def study_rows(counts: Sequence[Sequence[int]]) -> StudyRows:
    """counts: (N, 3) series of each view a study has, at least one in all."""
    study, weight, present, series = [], [], [], []
    for i, numbers in enumerate(counts):
        kept = combinations([max(n, 1) for n in numbers], MOST_COMBINATIONS)
        for one in kept:
            study.append(i)
            weight.append(1 / len(kept))
            present.append([n > 0 for n in numbers])
            series.append(one)
    return StudyRows(np.array(study), np.array(weight), np.array(present), np.array(series))


def folds_of(patient: np.ndarray, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Row indices (train, test) of up to five folds, patients apart; one patient alone gives (all, all)."""
    count = min(FOLDS, len(np.unique(patient)))
    if count < 2:
        return [(np.arange(len(patient)), np.arange(len(patient)))]
    return list(GroupKFold(count, shuffle=True, random_state=seed).split(patient, groups=patient))


def fit_fusion(
    model: Diagnoser, vectors: Tensor, outside: Tensor, rows: StudyRows, truth: np.ndarray, patient: np.ndarray, *,
    seed: int,
) -> np.ndarray:  # fmt: skip
    """Fit `model.fusion` in place; returns out-of-fold fused logits (R, L), for a record branch if there is one.

    vectors: (R, 3, W). outside: (R, 3, L) the views' out-of-fold logits, which a gate is fitted on. truth: (R, L).
    patient: (R,).
    """
    inputs = outside if isinstance(model.fusion, GatedLogits) else vectors
    start = {k: v.clone() for k, v in model.fusion.state_dict().items()}
    fused = np.zeros(truth.shape)
    everything = np.arange(len(truth))
    present = torch.from_numpy(rows.present)
    folds = folds_of(patient, seed) if model.record is not None else []
    for train, test in [*folds, (everything, everything[:0])]:  # the last fit is the one kept
        model.fusion.load_state_dict(start)
        _descend(model.fusion, inputs[train], present[train], truth[train], rows.weight[train], seed)
        if not len(test):
            break
        with torch.inference_mode():
            fused[test] = model.fusion.eval()(inputs[test], present[test]).numpy()
    model.fusion.eval()
    return fused


def _descend(
    fusion: nn.Module, inputs: Tensor, present: Tensor, truth: np.ndarray, weight: np.ndarray, seed: int,
    steps: int = 300, batch: int = 64, peak_rate: float = 3e-3,
) -> None:  # fmt: skip
    torch.manual_seed(seed)
    optimizer = torch.optim.AdamW(fusion.parameters(), weight_decay=0.1)
    y, w = torch.from_numpy(truth).float(), torch.from_numpy(weight).float()[:, None]
    fusion.train()
    for step in range(steps):
        chosen = torch.randperm(len(inputs))[:batch]
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, steps, peak_rate, 20)
        seen = present[chosen] & (torch.rand(len(chosen), VIEWS) >= DROPPED)
        seen = torch.where(seen.any(1, keepdim=True), seen, present[chosen])
        loss = masked_bce(fusion(inputs[chosen], seen), y[chosen], weight=w[chosen])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        guarded_step(optimizer, float(loss.detach()))


def fit_record(
    model: Diagnoser, fused: np.ndarray, records: Sequence[Record | None], truth: np.ndarray, weight: np.ndarray, *,
    seed: int, steps: int = 300, batch: int = 64, peak_rate: float = 3e-3,
) -> None:  # fmt: skip
    """Fit `model.record` in place, beside out-of-fold fused image logits (R, L) of the same rows."""
    if model.record is None:
        return
    torch.manual_seed(seed)
    optimizer = torch.optim.AdamW(model.record.parameters(), weight_decay=0.1)
    image, y = torch.from_numpy(fused).float(), torch.from_numpy(truth).float()
    w = torch.from_numpy(weight).float()[:, None]
    model.record.train()
    for step in range(steps):
        chosen = torch.randperm(len(image))[:batch]
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, steps, peak_rate, 20)
        read = torch.rand(len(chosen)) >= UNREAD
        rows = [records[i] if keep else None for i, keep in zip(chosen.tolist(), read.tolist(), strict=True)]
        loss = masked_bce(model.mix(image[chosen], rows), y[chosen], weight=w[chosen])
        loss = loss + masked_bce(model.record_logits(rows), y[chosen], weight=w[chosen])  # it must speak sense alone
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        guarded_step(optimizer, float(loss.detach()))
    model.record.eval()


def by_study(logits: np.ndarray, rows: StudyRows) -> np.ndarray:
    """Logits (R, L) of combinations -> (N, L) of studies: the probabilities averaged, as a logit again."""
    p = 1 / (1 + np.exp(-np.clip(logits, -30, 30)))
    total = np.zeros((rows.study.max() + 1, logits.shape[1]))
    np.add.at(total, rows.study, p * rows.weight[:, None])
    total = np.clip(total, 1e-6, 1 - 1e-6)
    return np.log(total / (1 - total))


def stacked(by_view: dict[View, list[list[Tensor]]], rows: StudyRows, size: tuple[int, ...]) -> Tensor:
    """Per view, study and series one tensor of `size` -> (R, 3, *size); zeros where a view is missing."""
    out = torch.zeros(len(rows.study), VIEWS, *size)
    for r, (study, present, series) in enumerate(zip(rows.study, rows.present, rows.series, strict=True)):
        for v, view in enumerate(View):
            if present[v]:
                out[r, v] = by_view[view][study][series[v]]
    return out
