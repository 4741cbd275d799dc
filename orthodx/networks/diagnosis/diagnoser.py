"""A whole diagnosis: a head a view, the fusion of the views, and the health record (EHR) if there is one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from orthodx.errors import UsageError
from orthodx.joints import View
from orthodx.networks.diagnosis.fusion import FUSIONS, VIEWS, Fusion
from orthodx.networks.diagnosis.record_coding import RecordCoding
from orthodx.networks.diagnosis.tabular import RecordBranch
from orthodx.networks.encoders.encoder import ViewEncoder
from orthodx.networks.heads.head import HEADS, Wanted, head_config
from orthodx.networks.heads.pooled import DiagnoseHead
from orthodx.studies.records import Record


@dataclass(frozen=True, kw_only=True)
class DiagnoserConfig:
    """What `model.json` keeps of a diagnosis.

    head: registered head of task "diagnose"; head_config: its own configuration. fusion: a registered fusion. labels:
    abnormality codes in the order of the logits. stacking: of the gating. coding: of the health record; without it the
    record is not read. blocks: what the heads of sagittal, coronal and axial read, where it is not one for all.
    """

    head: str
    head_config: Any
    fusion: str
    labels: tuple[str, ...]
    stacking: bool = False
    coding: RecordCoding | None = None
    blocks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.labels or len(set(self.labels)) < len(self.labels):
            raise ValueError(f"a diagnosis needs labels, each once, not {self.labels}")
        if self.head_config.labels != len(self.labels):
            raise ValueError(f"a head of {self.head_config.labels} labels cannot answer {len(self.labels)}")
        if self.blocks and (len(self.blocks) != VIEWS or not hasattr(self.head_config, "block")):
            raise ValueError(f"blocks {self.blocks} are not one a view, or the head chooses its own")

    def head_of(self, view: View) -> Any:
        """The configuration of one view's head."""
        return replace(self.head_config, block=self.blocks[list(View).index(view)]) if self.blocks else self.head_config


class Diagnoser(nn.Module):
    """Summaries of up to three views (and a record) -> logits (B, L).

    `heads[view]` is the head of one view; `forward` takes what the heads' `summary` gave.
    """

    fusion: Fusion

    def __init__(self, config: DiagnoserConfig) -> None:
        super().__init__()
        self.config = config
        cls = HEADS.get(config.head)
        self.heads = nn.ModuleDict({str(view): cls(config.head_of(view)) for view in View})
        labels = len(config.labels)
        self.fusion = FUSIONS.get(config.fusion).build(self.head(View.SAGITTAL).width, labels, config.stacking)
        self.coding = config.coding
        self.record = None if self.coding is None else RecordBranch(**self.coding.sizes, labels=labels)

    @staticmethod
    def config_for(
        encoder: ViewEncoder,
        labels: Sequence[str],
        wanted: Wanted | None = None,
        *,
        head: str,
        fusion: str,
        coding: RecordCoding | None = None,
        stacking: bool = False,
        blocks: Sequence[str] = (),
    ) -> DiagnoserConfig:
        """The configuration that fits an encoder; raises `UsageError` where the head cannot read it, or not so fine.

        blocks: that which the heads pool, one for all or one a view, if not their own choice.
        """
        if HEADS.get(head).task != DiagnoseHead.task:
            known = ", ".join(name for name in HEADS.names() if HEADS.get(name).task == DiagnoseHead.task)
            raise UsageError(f"'{head}' is a head to {HEADS.get(head).task}, not to diagnose", hint=f"use {known}")
        wanted = wanted or Wanted(labels=len(labels), harmed=(0,) * len(labels))
        each = [head_config(head, encoder, replace(wanted, block=block)) for block in blocks or (None,)]
        if any(replace(one, block=each[0].block) != each[0] for one in each[1:]):
            raise UsageError(f"the blocks {', '.join(blocks)} differ in size", hint="give --block of one size")
        return DiagnoserConfig(
            head=head,
            head_config=each[0],
            blocks=tuple(blocks) if len(set(blocks)) > 1 else (),
            fusion=fusion,
            labels=tuple(labels),
            stacking=stacking,
            coding=coding,
        )

    def head(self, view: View) -> DiagnoseHead:
        """The head of one view."""
        return self.heads[str(view)]  # type: ignore[return-value]

    def vectors(self, summaries: Tensor) -> Tensor:
        """Summaries (B, 3, ...) of sagittal, coronal, axial -> vectors (B, 3, width)."""
        return torch.stack([self.head(view).vector(summaries[:, i]) for i, view in enumerate(View)], 1)

    def view_logits(self, vectors: Tensor) -> Tensor:
        """(B, 3, width) -> each view's own logits (B, 3, L)."""
        return torch.stack([self.head(view).classifier(vectors[:, i]) for i, view in enumerate(View)], 1)

    def image_logits(self, vectors: Tensor, present: Tensor) -> Tensor:
        """vectors (B, 3, width), present (B, 3) bool -> fused logits (B, L)."""
        return self.fusion(self.fused_from(vectors), present)

    def fused_from(self, vectors: Tensor) -> Tensor:
        """What the fusion reads of vectors (B, 3, width): themselves, or the views' own logits (B, 3, L)."""
        return self.view_logits(vectors) if self.fusion.reads_logits else vectors

    def weights(self, vectors: Tensor, present: Tensor) -> Tensor:
        """How much each view counted, (B, L, 3) summing to one: the gate's own weights, or what is lost without a view.

        Without a gate a view's share is the change of the logit when that view is left out.
        """
        own = self.fusion.weights(self.fused_from(vectors), present)
        if own is not None:
            return own
        whole = self.image_logits(vectors, present)
        change = []
        for i in range(VIEWS):
            without = present.clone()
            without[:, i] = False
            lost = (whole - self.image_logits(vectors, without)).abs()
            change.append(torch.where((present[:, i] & without.any(1))[:, None], lost, 0.0))
        shares = torch.stack(change, 2)
        total = shares.sum(2, keepdim=True)
        even = (present / present.sum(1, keepdim=True).clamp_min(1))[:, None].expand_as(shares)
        return torch.where(total > 0, shares / total.clamp_min(1e-12), even)

    def record_logits(self, records: Sequence[Record | None]) -> Tensor:
        """The records' own logits (B, L); raises `ValueError` where the diagnosis reads no record."""
        if self.coding is None or self.record is None:
            raise ValueError("this diagnosis reads no health record")
        coded = (x.to(self.record.alpha_param.device) for x in self.coding.encode(records))
        return self.record.tabular(*coded)

    def mix(self, image_logits: Tensor, records: Sequence[Record | None] | None) -> Tensor:
        """Fused image logits (B, L) and B records -> logits (B, L); where nothing is known the image alone speaks."""
        if self.coding is None or self.record is None or records is None:
            return image_logits
        known = self.coding.known(records).to(image_logits.device)[:, None]
        alpha = self.record.alpha
        return torch.where(known, alpha * image_logits + (1 - alpha) * self.record_logits(records), image_logits)

    def forward(self, summaries: Tensor, present: Tensor, records: Sequence[Record | None] | None = None) -> Tensor:
        return self.mix(self.image_logits(self.vectors(summaries), present), records)
