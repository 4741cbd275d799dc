"""What every diagnosis head is, and the published ones: one block pooled to a vector, and a linear layer."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from orthodx.errors import UsageError
from orthodx.networks.diagnosis.pooling import POOLINGS
from orthodx.networks.encoders.encoder import ViewEncoder
from orthodx.networks.heads.head import Head, Wanted, register_head

TOKENS = (7, 16, 16)  # positions to which a larger block is averaged


def masked_bce(
    logits: Tensor,
    truth: Tensor,
    positive_weight: Tensor | None = None,
    weight: Tensor | None = None,
    *,
    known_a_case: float | None = None,
) -> Tensor:
    """Mean binary cross-entropy over the known cells, in float32; unknown ones give no gradient.

    logits: (B, L). truth: (B, L) 1, 0 or NaN. positive_weight: (L,). weight: (B, 1) of the cases. known_a_case: what
    `known_a_case` says of all cases, so that a cell counts alike whatever else is in its batch; without it the mean is
    of this batch alone. A batch of unknowns gives 0, with a graph.
    """
    known = (~truth.isnan()).float() * (1 if weight is None else weight)
    x, y = logits.float().masked_fill(truth.isnan(), 0), truth.float().nan_to_num()
    loss = functional.binary_cross_entropy_with_logits(x, y, pos_weight=positive_weight, reduction="none")
    return (loss * known).sum() / (known.sum().clamp(min=1) if known_a_case is None else len(x) * known_a_case)


def known_a_case(truth: Tensor, weight: Tensor) -> float:
    """Known cells of a case, by their weights, on average. truth: (N, L) 1, 0 or NaN. weight: (N,)."""
    return float(((~truth.isnan()).float() * weight[:, None]).sum(1).mean().clamp(min=1e-6))


class DiagnoseHead(Head):
    """One view's part of a diagnosis: block features -> a summary -> a vector (B, `width`) -> logits (B, `labels`).

    `summary` is all of the head that a linear probe leaves alone, so it can be kept on disk; `vector` is what
    the fusion reads. Summaries are standardised by the buffers `mean` and `sd`. heat_is: what `heat` gives, in words.
    """

    task = "diagnose"
    fitted = frozenset({"classifier", "pool", "mean", "sd"})
    heat_is: ClassVar[str] = "gradient times activation"
    width: int
    labels: int
    classifier: nn.Module
    mean: Tensor
    sd: Tensor

    def _standardised_by(self, size: int) -> None:
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("sd", torch.ones(size))

    @torch.no_grad()
    def fit_scale(self, summaries: Tensor) -> None:
        """Standardise by the mean and standard deviation of training summaries (N, size, ...), column by column."""
        columns = summaries.float().transpose(0, 1).flatten(1)
        self.mean.copy_(columns.mean(1))
        self.sd.copy_(columns.std(1, correction=0).clamp_min(1e-3))

    def standardised(self, summary: Tensor) -> Tensor:
        """(B, size, ...) with mean 0 and standard deviation 1 over the training summaries."""
        shape = (1, -1, *[1] * (summary.ndim - 2))
        return (summary.float() - self.mean.view(shape)) / self.sd.view(shape)

    @abstractmethod
    def summary(self, features: Mapping[str, Tensor], image: Tensor) -> Tensor:
        """Features of the declared blocks and the image (B, 1, D, H, W) -> (B, ...), of one size for every image."""

    @abstractmethod
    def vector(self, summary: Tensor) -> Tensor:
        """(B, ...) -> (B, width)."""

    def map_loss(self, maps: Tensor, lesions: Tensor) -> Tensor:
        """Loss of `maps` against lesion masks; a head that has no maps cannot learn from them."""
        raise UsageError(f"{type(self).__name__} has no maps to learn from lesion masks", hint="use --head evidence")

    def maps(self, features: Mapping[str, Tensor], image: Tensor) -> Tensor:
        """A map of each label's evidence, for heads that have one."""
        raise UsageError(f"{type(self).__name__} has no maps to learn from lesion masks", hint="use --head evidence")

    def evidence(self) -> list[slice] | None:
        """Columns of the vector that speak for each label, if the head keeps them apart."""
        return None

    def forward(self, features: Mapping[str, Tensor], image: Tensor) -> Tensor:
        return self.classifier(self.vector(self.summary(features, image)))

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """Binary cross-entropy over the known answers; target (B, L) holds 1, 0 or NaN (unknown)."""
        return masked_bce(logits, target)

    def heat(self, features: Mapping[str, Tensor], image: Tensor) -> Tensor:
        """Where each label's evidence lies: (B, L, D', H', W') >= 0, in the units of the logit.

        Gradient times activation of the last block read (Grad-CAM, Selvaraju et al. 2017).
        """
        with torch.inference_mode(False), torch.enable_grad():
            block = features[self.blocks[-1]].detach().clone().float().requires_grad_()
            logits = self({**features, self.blocks[-1]: block}, image)
            maps = []
            for label in range(logits.shape[1]):
                (gradient,) = torch.autograd.grad(logits[:, label].sum(), block, retain_graph=True)
                maps.append((gradient * block).sum(1).relu())
        return torch.stack(maps, 1).detach()


@dataclass(frozen=True, kw_only=True)
class PooledConfig:
    """labels: abnormalities. block and block_channels: what is pooled. tokens: positions that it is averaged to."""

    labels: int = 8
    block: str = "mid"
    block_channels: int = 160
    tokens: tuple[int, int, int] = (7, 8, 8)

    def __post_init__(self) -> None:
        if self.labels < 1 or self.block_channels < 1 or not all(1 <= n <= 512 for n in self.tokens):
            raise ValueError(f"impossible pooled head: {self}")


class _Pooled(DiagnoseHead):
    """The block, averaged to `TOKENS` where it is larger, pooled, classified."""

    Config = PooledConfig
    any_block = True
    pooling: ClassVar[str]

    def __init__(self, config: PooledConfig) -> None:
        super().__init__()
        self.config, self.blocks, self.labels = config, (config.block,), config.labels
        self.pool = POOLINGS.get(self.pooling)(config.block_channels)
        self.width = self.pool.width
        self.classifier = nn.Linear(self.width, config.labels)
        self._standardised_by(config.block_channels)

    @classmethod
    def config_for(cls, encoder: ViewEncoder, wanted: Wanted) -> PooledConfig:
        """The block asked for, else the encoder's deepest; as many positions as it has, up to `TOKENS`."""
        block = wanted.block or encoder.deepest
        own = PooledConfig(labels=wanted.labels, block=block, block_channels=encoder.block_channels[block])
        if wanted.shape is None:
            return own
        has = (-(-n // stride) for n, stride in zip(wanted.shape, encoder.block_strides[block], strict=True))
        d, h, w = (min(n, most) for n, most in zip(has, TOKENS, strict=True))
        return replace(own, tokens=(d, h, w))

    def summary(self, features: Mapping[str, Tensor], image: Tensor) -> Tensor:
        return functional.adaptive_avg_pool3d(features[self.config.block].float(), self.config.tokens)

    def vector(self, summary: Tensor) -> Tensor:
        return self.pool(self.standardised(summary))


@register_head("mean")
class MeanHead(_Pooled):
    """Global mean of the deepest block (B, C, D', H', W') -> logits (B, L)."""

    pooling = "mean"


@register_head("global_local")
class GlobalLocalHead(_Pooled):
    """Global mean and attention-weighted mean of the deepest block -> logits (B, L)."""

    pooling = "global_local"


@register_head("sap")
class SelfAttentionHead(_Pooled):
    """Self-attention pooling of the deepest block -> logits (B, L)."""

    pooling = "sap"
