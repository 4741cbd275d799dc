"""Stage II: the fusion of the views, then the record's share, fitted to what stage I gave."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from orthodx.networks.diagnosis.combinations import StudyRows
from orthodx.networks.diagnosis.diagnoser import Diagnoser
from orthodx.networks.diagnosis.fusion import VIEWS
from orthodx.networks.heads.pooled import known_a_case, masked_bce
from orthodx.studies.records import Record
from orthodx.training.optimise import guarded_step, learning_rate

FOLDS = 5
DROPPED = 0.15  # chance that a view is taken away in training, so that a study may lack it
STEPS, BATCH, PEAK_RATE = 300, 64, 3e-3  # of each of the two small fits
UNREAD = 0.2  # chance that a record is
SHARES = tuple(np.arange(1, 100) / 100)  # of a record in a label's answer, tried


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
        loss = _fusion_loss(model.fusion, inputs[train], present[train], truth[train], rows.weight[train])
        _descend(model.fusion, len(train), loss, seed)
        with torch.inference_mode():
            fused[test] = model.fusion(inputs[test], present[test]).numpy()
    return fused


def _descend(part: nn.Module, rows: int, loss_of: Callable[[Tensor], Tensor], seed: int) -> None:
    """Fit a part of a diagnosis in place to the losses of batches of its rows, given by their indices (B,)."""
    torch.manual_seed(seed)
    optimizer = torch.optim.AdamW(part.parameters(), weight_decay=0.1)
    part.train()
    for step in range(STEPS):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, STEPS, PEAK_RATE, 20)
        loss = loss_of(torch.randperm(rows)[:BATCH])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        guarded_step(optimizer, {"loss": loss})
    part.eval()


def _fusion_loss(
    fusion: nn.Module, inputs: Tensor, present: Tensor, truth: np.ndarray, weight: np.ndarray
) -> Callable[[Tensor], Tensor]:
    """Of batches, some of whose views are taken away."""
    y, w = torch.from_numpy(truth).float(), torch.from_numpy(weight).float()[:, None]
    known = known_a_case(y, w[:, 0])

    def loss(chosen: Tensor) -> Tensor:
        seen = present[chosen] & (torch.rand(len(chosen), VIEWS) >= DROPPED)
        seen = torch.where(seen.any(1, keepdim=True), seen, present[chosen])
        return masked_bce(fusion(inputs[chosen], seen), y[chosen], weight=w[chosen], known_a_case=known)

    return loss


def _record_loss(
    model: Diagnoser, records: Sequence[Record | None], truth: np.ndarray, weight: np.ndarray
) -> Callable[[Tensor], Tensor]:
    """Of batches, some of whose records are taken away: it must speak sense alone."""
    y, w = torch.from_numpy(truth).float(), torch.from_numpy(weight).float()[:, None]
    known = known_a_case(y, w[:, 0])

    def loss(chosen: Tensor) -> Tensor:
        read = torch.rand(len(chosen)) >= UNREAD
        rows = [records[i] if keep else None for i, keep in zip(chosen.tolist(), read.tolist(), strict=True)]
        return masked_bce(model.record_logits(rows), y[chosen], weight=w[chosen], known_a_case=known)

    return loss


def fit_record(
    model: Diagnoser,
    fused: np.ndarray,
    records: Sequence[Record | None],
    truth: np.ndarray,
    weight: np.ndarray,
    patient: np.ndarray,
    *,
    seed: int,
) -> None:
    """Fit `model.record` in place, beside out-of-fold fused image logits (R, L) of the same rows.

    The record's share of a label is the one of `SHARES` with the lowest cross-entropy on patients from whose records
    nothing was learned: a record that helps nobody new counts for almost nothing.
    """
    if model.record is None or model.coding is None:
        return
    start = {k: v.clone() for k, v in model.record.state_dict().items()}
    everything, outside = np.arange(len(fused)), np.zeros(fused.shape)
    for train, test in [*folds_of(patient, seed), (everything, everything[:0])]:  # the last fit is the one kept
        model.record.load_state_dict(start)
        loss = _record_loss(model, [records[i] for i in train], truth[train], weight[train])
        _descend(model.record, len(train), loss, seed)
        if len(test):
            with torch.inference_mode():
                outside[test] = model.record_logits([records[i] for i in test]).numpy()
    known = model.coding.known(records).numpy()
    shares = best_shares(fused[known], outside[known], truth[known], weight[known])
    with torch.no_grad():
        model.record.alpha_param.copy_(torch.from_numpy(1 - shares).logit())


def best_shares(image: np.ndarray, record: np.ndarray, truth: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """(L,) the record's best share of each label; logits, truth (1, 0 or NaN) (R, L), weight (R,)."""
    best, least = np.full(image.shape[1], SHARES[0]), np.full(image.shape[1], np.inf)
    known, y = ~np.isnan(truth), truth == 1
    for share in SHARES:
        z = (1 - share) * image + share * record
        loss = (np.where(known, np.logaddexp(0, np.where(y, -z, z)), 0.0) * weight[:, None]).sum(0)
        better = loss < least
        best[better], least[better] = share, loss[better]
    return best
