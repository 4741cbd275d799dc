"""Stage II: the fusion of the views, then the record's share, fitted to what stage I gave."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from orthodx.networks.diagnosis.combinations import StudyRows
from orthodx.networks.diagnosis.diagnoser import Diagnoser
from orthodx.networks.diagnosis.fusion import VIEWS
from orthodx.networks.heads.pooled import masked_bce
from orthodx.studies.records import Record
from orthodx.training.optimise import guarded_step, learning_rate

FOLDS = 5
DROPPED = 0.15  # chance that a view is taken away in training, so that a study may lack it
STEPS, BATCH, PEAK_RATE = 300, 64, 3e-3  # of each of the two small fits
UNREAD = 0.2  # chance that a record is


def folds_of(patient: np.ndarray, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Row indices (train, test) of up to five folds, patients apart; one patient alone gives (all, all)."""
    count = min(FOLDS, len(np.unique(patient)))
    if count < 2:
        return [(np.arange(len(patient)), np.arange(len(patient)))]
    from sklearn.model_selection import GroupKFold  # takes a second to load

    return list(GroupKFold(count, shuffle=True, random_state=seed).split(patient, groups=patient))


def fit_fusion(
    model: Diagnoser,
    vectors: Tensor,
    outside: Tensor,
    rows: StudyRows,
    truth: np.ndarray,
    patient: np.ndarray,
    *,
    seed: int,
) -> np.ndarray:
    """Fit `model.fusion` in place; returns out-of-fold fused logits (R, L), for a record branch if there is one.

    vectors: (R, 3, W). outside: (R, 3, L) the views' out-of-fold logits, which a gate is fitted on. truth: (R, L).
    patient: (R,).
    """
    inputs = outside if model.fusion.reads_logits else vectors
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
    fusion: nn.Module, inputs: Tensor, present: Tensor, truth: np.ndarray, weight: np.ndarray, seed: int
) -> None:
    torch.manual_seed(seed)
    optimizer = torch.optim.AdamW(fusion.parameters(), weight_decay=0.1)
    y, w = torch.from_numpy(truth).float(), torch.from_numpy(weight).float()[:, None]
    fusion.train()
    for step in range(STEPS):
        chosen = torch.randperm(len(inputs))[:BATCH]
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, STEPS, PEAK_RATE, 20)
        seen = present[chosen] & (torch.rand(len(chosen), VIEWS) >= DROPPED)
        seen = torch.where(seen.any(1, keepdim=True), seen, present[chosen])
        loss = masked_bce(fusion(inputs[chosen], seen), y[chosen], weight=w[chosen])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        guarded_step(optimizer, {"loss": loss})


def fit_record(
    model: Diagnoser,
    fused: np.ndarray,
    records: Sequence[Record | None],
    truth: np.ndarray,
    weight: np.ndarray,
    *,
    seed: int,
) -> None:
    """Fit `model.record` in place, beside out-of-fold fused image logits (R, L) of the same rows."""
    if model.record is None:
        return
    torch.manual_seed(seed)
    optimizer = torch.optim.AdamW(model.record.parameters(), weight_decay=0.1)
    image, y = torch.from_numpy(fused).float(), torch.from_numpy(truth).float()
    w = torch.from_numpy(weight).float()[:, None]
    model.record.train()
    for step in range(STEPS):
        chosen = torch.randperm(len(image))[:BATCH]
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, STEPS, PEAK_RATE, 20)
        read = torch.rand(len(chosen)) >= UNREAD
        rows = [records[i] if keep else None for i, keep in zip(chosen.tolist(), read.tolist(), strict=True)]
        loss = masked_bce(model.mix(image[chosen], rows), y[chosen], weight=w[chosen])
        loss = loss + masked_bce(model.record_logits(rows), y[chosen], weight=w[chosen])  # it must speak sense alone
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        guarded_step(optimizer, {"loss": loss})
    model.record.eval()
