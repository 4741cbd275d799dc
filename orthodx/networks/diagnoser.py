"""A whole diagnosis: a head a view, the fusion of the views, and the health record (EHR) if there is one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from orthodx.errors import UsageError
from orthodx.joints import View
from orthodx.networks.diagnose_head import DiagnoseHead
from orthodx.networks.encoder import ViewEncoder
from orthodx.networks.fusion import FUSIONS, VIEWS, GatedLogits
from orthodx.networks.head import HEADS, head_config
from orthodx.networks.record_coding import RecordCoding
from orthodx.networks.tabular import RecordBranch
from orthodx.studies.records import Record

GATING = "gating"


@dataclass(frozen=True, kw_only=True)
class DiagnoserConfig:
    """What `model.json` keeps of a diagnosis.

    head: registered head of task "diagnose"; head_config: its own configuration. fusion: "gating" or a registered
    fusion. labels: abnormality codes in the order of the logits. stacking: of the gating. coding: of the health
    record, `RecordCoding.to_json()`; without it the record is not read.
    """

    head: str
    head_config: dict[str, Any]
    fusion: str
    labels: tuple[str, ...]
    stacking: bool = False
    coding: dict[str, Any] | None = None


class Diagnoser(nn.Module):
    """Summaries of up to three views (and a record) -> logits (B, L).

    `heads[view]` is the head of one view; `forward` takes what the heads' `summary` gave.
    """

    def __init__(self, config: DiagnoserConfig) -> None:
        super().__init__()
        self.config = config
        cls = HEADS.get(config.head)
        heads = {str(view): cls(cls.Config(**_tuples(config.head_config))) for view in View}
        self.heads = nn.ModuleDict(heads)
        width, labels = heads[str(View.SAGITTAL)].width, len(config.labels)
        self.fusion: nn.Module = (
            GatedLogits(labels, stacking=config.stacking)
            if config.fusion == GATING
            else FUSIONS.get(config.fusion)(width, labels)
        )
        self.coding = None if config.coding is None else RecordCoding.from_json(config.coding)
        self.record = None if self.coding is None else RecordBranch(**self.coding.sizes, labels=labels)

    @staticmethod
    def config_for(
        encoder: ViewEncoder, labels: Sequence[str], *, head: str, fusion: str, coding: RecordCoding | None = None,
        stacking: bool = False, detail: int = 1, pixel_mm: float | None = None,
    ) -> DiagnoserConfig:  # fmt: skip
        """The configuration that fits an encoder; raises `UsageError` where the head cannot read it, or not so fine."""
        cls = HEADS.get(head)
        if cls.task != DiagnoseHead.task:
            raise UsageError(f"'{head}' is a head to {cls.task}, not to diagnose", hint="use evidence, mean, sap, ...")
        own = replace(head_config(cls, encoder, detail, pixel_mm), labels=len(labels))
        return DiagnoserConfig(
            head=head, head_config=asdict(own), fusion=fusion, labels=tuple(labels), stacking=stacking,
            coding=None if coding is None else coding.to_json(),
        )  # fmt: skip

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
        if isinstance(self.fusion, GatedLogits):
            return self.fusion(self.view_logits(vectors), present)
        return self.fusion(vectors, present)

    def weights(self, vectors: Tensor, present: Tensor) -> Tensor:
        """How much each view counted, (B, L, 3) summing to one: the gate's own weights, or what is lost without a view.

        Without a gate a view's share is the change of the logit when that view is left out.
        """
        if isinstance(self.fusion, GatedLogits):
            return self.fusion.weights(self.view_logits(vectors), present)
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


def _tuples(config: dict[str, Any]) -> dict[str, Any]:
    return {k: tuple(v) if isinstance(v, list) else v for k, v in config.items()}
