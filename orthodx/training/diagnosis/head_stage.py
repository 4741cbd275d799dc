"""Stage I of a head on what a frozen encoder gives: by regression, or by descent as published.

Either way gives out-of-fold logits too, of heads that have not seen the patients whom they answer.
"""

from __future__ import annotations

import copy
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from orthodx.errors import UsageError
from orthodx.networks.heads.pooled import DiagnoseHead, known_a_case, masked_bce
from orthodx.training.diagnosis.linear import Folds, fit_linear
from orthodx.training.diagnosis.recipe import StageOne
from orthodx.training.diagnosis.view_stage import ViewSamples
from orthodx.training.optimise import guarded_step, learning_rate


def by_regression(
    head: DiagnoseHead,
    summaries: Tensor,
    samples: ViewSamples,
    folds: Folds,
    *,
    seed: int,
    positive_weight: Tensor,
    trained: bool,
) -> np.ndarray:
    """Fit a head in place: its attention by descent, then its last layer by logistic regression.

    summaries: (M, ...) of the samples. trained: the head was trained with its encoder, on all patients. Returns
    out-of-fold logits (M, L).
    """
    apart = vectors_apart(head, summaries, samples, folds, seed=seed, positive_weight=positive_weight, trained=trained)
    fit_pooling(head, summaries, samples, seed=seed, positive_weight=positive_weight)
    with torch.inference_mode():
        vectors = head.vector(summaries).numpy()
    own = fit_linear(vectors, samples.truth, samples.weight, folds, apart, head.evidence())
    coefficients, intercepts, outside = own
    set_classifier(head, coefficients, intercepts)
    return outside


def by_descent(
    head: DiagnoseHead,
    summaries: Tensor,
    samples: ViewSamples,
    folds: Folds,
    *,
    seed: int,
    positive_weight: Tensor,
    way: StageOne,
    trained: bool,
) -> np.ndarray:
    """Fit a head in place: attention and last layer together, by Adam, as published.

    trained: the head was trained with its encoder, and stays as it is. Returns out-of-fold logits (M, L), of heads that
    begin anew.
    """
    outside = np.zeros(samples.truth.shape)
    rows = np.arange(len(summaries))
    for train, test in [*folds, *([] if trained else [(rows, rows[:0])])]:
        torch.manual_seed(seed)
        own = type(head)(head.config) if len(test) else head
        own.mean.copy_(head.mean)
        own.sd.copy_(head.sd)
        _descend(
            own.train(),
            summaries[train],
            _of(samples, train),
            positive_weight=positive_weight,
            epochs=way.descent,
            peak_rate=way.rate,
            decay=0.0,
        )
        if len(test):
            with torch.inference_mode():
                outside[test] = own.eval().classifier(own.vector(summaries[test])).numpy()
    head.eval()
    return outside


def refuse_unfit(head: DiagnoseHead, way: StageOne) -> None:
    """Raise `UsageError` for a head that must not weigh evidence negatively, which descent could."""
    if way.descent and head.evidence() is not None:
        raise UsageError(f"{type(head).__name__} is not fitted by descent", hint="give --recipe ours, or --head sap")


def attends(head: DiagnoseHead) -> bool:
    """Whether the head's pooling has weights to fit."""
    return any(True for _ in getattr(head, "pool", nn.Identity()).parameters())


def fit_pooling(
    head: DiagnoseHead, summaries: Tensor, samples: ViewSamples, *, seed: int, positive_weight: Tensor
) -> None:
    """Train a head's attention, if its pooling has any, on summaries (M, ...); its classifier comes along."""
    if attends(head):
        torch.manual_seed(seed)
        _descend(head, summaries, samples, positive_weight=positive_weight)


def _descend(
    head: DiagnoseHead,
    summaries: Tensor,
    samples: ViewSamples,
    *,
    positive_weight: Tensor,
    epochs: int = 20,
    batch: int = 16,
    peak_rate: float = 1e-3,
    decay: float = 0.01,
) -> None:
    pool = cast(nn.Module, getattr(head, "pool", nn.Identity()))
    optimizer = torch.optim.AdamW([*pool.parameters(), *head.classifier.parameters()], weight_decay=decay)
    truth, weight = torch.from_numpy(samples.truth).float(), torch.from_numpy(samples.weight).float()
    known = known_a_case(truth, weight)
    steps = epochs * -(-len(summaries) // batch)
    for step in range(steps):
        chosen = torch.randperm(len(summaries))[:batch]
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, steps, peak_rate, steps // 10 + 1)
        logits = head.classifier(head.vector(summaries[chosen]))
        loss = masked_bce(logits, truth[chosen], positive_weight, weight[chosen][:, None], known_a_case=known)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        guarded_step(optimizer, {"loss": loss})


def vectors_apart(
    head: DiagnoseHead,
    summaries: Tensor,
    samples: ViewSamples,
    folds: Folds,
    *,
    seed: int,
    positive_weight: Tensor,
    trained: bool = False,
) -> list[np.ndarray]:
    """Vectors (M, W) as each fold sees them: pooled by an attention that was not fitted to its test patients.

    head: before `fit_pooling`; where it was trained already, each fold begins its pooling anew. Without attention the
    vectors are the same in every fold.
    """
    out = []
    for rows_in, _ in folds if attends(head) else folds[:1]:
        own = _begun_anew(head, seed) if trained and attends(head) else copy.deepcopy(head)
        rows = _of(samples, rows_in)
        fit_pooling(own, summaries[rows_in], rows, seed=seed, positive_weight=positive_weight)
        with torch.inference_mode():
            out.append(own.vector(summaries).numpy())
    return out if attends(head) else out * len(folds)


def _begun_anew(head: DiagnoseHead, seed: int) -> DiagnoseHead:
    """A copy whose pooling and classifier have learned nothing yet."""
    torch.manual_seed(seed)
    own, fresh = copy.deepcopy(head), type(head)(head.config)
    for part in ("pool", "classifier"):
        getattr(own, part).load_state_dict(getattr(fresh, part).state_dict())
    return own


def _of(samples: ViewSamples, rows: np.ndarray) -> ViewSamples:
    regions = [samples.regions[i] for i in rows]
    return ViewSamples(regions, samples.truth[rows], samples.weight[rows], samples.patient[rows])


def set_classifier(head: DiagnoseHead, coefficients: np.ndarray, intercepts: np.ndarray) -> None:
    """Make a fitted linear layer the head's classifier."""
    layer = next(m for m in head.classifier.modules() if isinstance(m, nn.Linear))
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(coefficients))
        layer.bias.copy_(torch.from_numpy(intercepts))
