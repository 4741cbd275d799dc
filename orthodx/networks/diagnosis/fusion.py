"""From one vector a view (B, V, W) to logits a label (B, L): the published fusions, which also take missing views.

`present` (B, V) bool tells which views a study has; a missing view's vector is ignored. With all views
present every fusion is the published one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn

from orthodx.errors import UsageError
from orthodx.networks.registry import Registry

VIEWS = 3


class Fusion(nn.Module, ABC):
    """Of three vectors of `width`, or, where it declares `reads_logits`, of the views' own logits."""

    reads_logits: ClassVar[bool] = False

    @classmethod
    def build(cls, width: int, labels: int, stacking: bool) -> Fusion:
        """As `cls(width, labels)`; raises `UsageError` for an option that it does not have."""
        if stacking:
            raise UsageError(f"{cls.__name__} has nothing to stack", hint="stack with the fusion 'gating'")
        return cls(width, labels)  # type: ignore[call-arg]

    @abstractmethod
    def forward(self, views: Tensor, present: Tensor) -> Tensor:
        """views (B, 3, W) or (B, 3, L), present (B, 3) bool -> logits (B, L)."""

    def weights(self, views: Tensor, present: Tensor) -> Tensor | None:
        """How much each view counted, (B, L, 3) summing to one over the views present; None where it cannot tell."""
        return None


FUSIONS: Registry[Fusion] = Registry("fusion", "orthodx.fusions")


class _Classifier(nn.Module):
    def __init__(self, width: int, labels: int) -> None:
        super().__init__()
        self.net = nn.Linear(width, labels)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


class _Projections(nn.Module):
    """One linear layer a view; a missing view becomes zero, and the others are scaled up for it."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.proj1, self.proj2, self.proj3 = (nn.Linear(width, hidden) for _ in range(VIEWS))

    def forward(self, views: Tensor, present: Tensor) -> Tensor:
        projected = torch.stack([p(views[:, i]) for i, p in enumerate((self.proj1, self.proj2, self.proj3))], 1)
        return masked(projected, present)


def masked(vectors: Tensor, present: Tensor) -> Tensor:
    """Vectors (B, 3, W) of missing views set to 0, those present scaled by 3 / number present."""
    count = present.sum(1, keepdim=True).clamp_min(1)
    return torch.where(present[..., None], vectors * (VIEWS / count)[..., None], 0.0)


@FUSIONS.register("simple_concat")
class SimpleConcat(Fusion):
    """The three vectors side by side -> linear."""

    def __init__(self, width: int, labels: int) -> None:
        super().__init__()
        self.head = _Classifier(VIEWS * width, labels)

    def forward(self, views: Tensor, present: Tensor) -> Tensor:
        return self.head(masked(views, present).flatten(1))


@FUSIONS.register("linear_concat")
class LinearConcat(Fusion):
    """A projection a view, side by side -> linear."""

    hidden = 512

    def __init__(self, width: int, labels: int) -> None:
        super().__init__()
        self.fusion = _Projections(width, self.hidden)
        self.head = _Classifier(VIEWS * self.hidden, labels)

    def forward(self, views: Tensor, present: Tensor) -> Tensor:
        return self.head(self.fusion(views, present).flatten(1))


@FUSIONS.register("linear_add")
class LinearAdd(Fusion):
    """A projection a view, summed -> linear."""

    hidden = 512

    def __init__(self, width: int, labels: int) -> None:
        super().__init__()
        self.fusion = _Projections(width, self.hidden)
        self.head = _Classifier(self.hidden, labels)

    def forward(self, views: Tensor, present: Tensor) -> Tensor:
        return self.head(self.fusion(views, present).sum(1))


class _Cycle(_Projections):
    """Cross-attention 1 -> 2 -> 3 -> 1, each with residual and layer norm."""

    def __init__(self, width: int, hidden: int, heads: int) -> None:
        super().__init__(width, hidden)
        self.cross12, self.cross23, self.cross31 = (
            nn.MultiheadAttention(hidden, heads, batch_first=True) for _ in range(VIEWS)
        )
        self.norm = nn.LayerNorm(hidden)

    def forward(self, views: Tensor, present: Tensor) -> Tensor:
        x = super().forward(views, present)
        out = []
        for i, attention in enumerate((self.cross12, self.cross23, self.cross31)):
            query, other = x[:, i : i + 1], x[:, (i + 1) % VIEWS : (i + 1) % VIEWS + 1]
            attended = attention(query, other, other, need_weights=False)[0]
            seen = (present[:, i] & present[:, (i + 1) % VIEWS])[:, None, None]
            out.append(self.norm(query + torch.where(seen, attended, 0.0)))
        return torch.where(present[..., None], torch.cat(out, 1), 0.0)


@FUSIONS.register("cross_attention")
class CyclicCrossAttention(Fusion):
    """Each view attends to the next, the three results side by side -> linear."""

    hidden, heads = 512, 4

    def __init__(self, width: int, labels: int) -> None:
        super().__init__()
        self.fusion = _Cycle(width, self.hidden, self.heads)
        self.head = _Classifier(VIEWS * self.hidden, labels)

    def forward(self, views: Tensor, present: Tensor) -> Tensor:
        return self.head(self.fusion(views, present).flatten(1))


class _Gate(nn.Module):
    """One softmax MLP for all labels: three logits -> three weights."""

    def __init__(self, hidden: int, dropout: float) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(VIEWS, hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, VIEWS))

    def forward(self, logits: Tensor, present: Tensor) -> Tensor:
        score = self.net(torch.where(present[:, None], logits, 0.0))
        return score.masked_fill(~present[:, None], -torch.inf).softmax(-1)


@FUSIONS.register("gating")
class GatedLogits(Fusion):
    """Weighs the views' own logits, label by label; fitted on out-of-fold logits.

    forward: logits (B, 3, L), present (B, 3) -> fused logits (B, L). `weights` tells how much each view
    counted, (B, L, 3). stacking: a second MLP mixes the fused logits of all labels.
    """

    reads_logits = True

    @classmethod
    def build(cls, width: int, labels: int, stacking: bool) -> GatedLogits:
        return cls(labels, stacking=stacking)

    def __init__(self, labels: int, *, hidden: int = 32, stacking: bool = False, dropout: float = 0.1) -> None:
        super().__init__()
        self.gate = _Gate(hidden, dropout)
        self.meta = (
            nn.Sequential(nn.Linear(labels, 128), nn.ReLU(), nn.Dropout(dropout), nn.Linear(128, labels))
            if stacking
            else None
        )

    def weights(self, views: Tensor, present: Tensor) -> Tensor:
        return self.gate(views.transpose(1, 2), present)

    def forward(self, views: Tensor, present: Tensor) -> Tensor:
        by_label = torch.where(present[:, None], views.transpose(1, 2), 0.0)  # (B, L, 3)
        fused = (self.weights(views, present) * by_label).sum(-1)
        return fused if self.meta is None else self.meta(fused)
