"""`anatomy`: evidence maps, and beside them the signal inside the structures that are torn, which a mask finds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from orthodx.errors import UsageError
from orthodx.networks.encoder import ViewEncoder
from orthodx.networks.evidence_head import EvidenceConfig, EvidenceHead
from orthodx.networks.head import register_head
from orthodx.networks.layout import coarse
from orthodx.networks.segment_head import SkipSegmentConfig, SkipSegmentHead
from orthodx.networks.structure_signal import SIGNALS, STRUCTURES, structure_signal


@dataclass(frozen=True, kw_only=True)
class AnatomyConfig(EvidenceConfig):
    """structures: mask value of the structure that each label is an injury of, 0 for none. pixel_mm: the encoder's."""

    structures: tuple[int, ...] = STRUCTURES
    pixel_mm: float = 1.0


@register_head("anatomy")
class AnatomyHead(EvidenceHead):
    """Logits (B, L) from evidence maps and the brightness inside structures.

    A label's vector: that of its evidence map, then the `SIGNALS` of its structure (`structure_signal`), 0 after
    standardising where there is none or too little of it. The masks come from a segmentation head of its own,
    trained with the same encoder and left as it is; a heat map shows the evidence alone.
    """

    Config = AnatomyConfig
    parts: ClassVar[Mapping[str, str]] = MappingProxyType({"": "evidence", "segment.": "segment"})

    def __init__(self, config: AnatomyConfig) -> None:
        super().__init__(config)
        if len(config.structures) != config.labels:
            raise UsageError(
                f"{len(config.structures)} structures for {config.labels} labels", hint="use --head evidence"
            )
        self.segment = SkipSegmentHead(SkipSegmentConfig(block_channels=config.block_channels[0]))
        self.segment.requires_grad_(False)
        self.numbers += SIGNALS
        self.width = config.labels * self.numbers
        self.classifier = torch.nn.Linear(self.width, config.labels)
        self._standardised_by(self.width)

    @classmethod
    def config_for(cls, encoder: ViewEncoder) -> AnatomyConfig:
        return AnatomyConfig(**asdict(super().config_for(encoder)))

    @torch.no_grad()
    def signals(self, features: Mapping[str, Tensor], image: Tensor) -> Tensor:
        """(B, L, SIGNALS) float32, NaN where a label has no structure or too little of it is seen."""
        assert isinstance(self.config, AnatomyConfig)
        masks = self.segment(features, coarse(image, self.detail)).argmax(1)
        masks = masks.repeat_interleave(self.detail, 2).repeat_interleave(self.detail, 3).cpu().numpy()
        images = image[:, 0].float().cpu().numpy()
        out = np.full((len(masks), self.labels, SIGNALS), np.nan, np.float32)
        for b, (mask, one) in enumerate(zip(masks, images, strict=True)):
            for label, value in enumerate(self.config.structures):
                if value:
                    out[b, label] = structure_signal(mask == value, one, self.config.pixel_mm / self.detail)
        return torch.from_numpy(out).to(image.device)

    def summary(self, features: Mapping[str, Tensor], image: Tensor) -> Tensor:
        evidence = super().summary(features, image).unflatten(1, (self.labels, -1))
        return torch.cat([evidence, self.signals(features, image)], 2).flatten(1)

    @torch.no_grad()
    def fit_scale(self, summaries: Tensor) -> None:
        """As of every head, over what is known of each column; a column that is never known stays as it is."""
        x = summaries.float()
        mean = x.nanmean(0)
        sd = (x - mean).square().nanmean(0).sqrt()
        self.mean.copy_(torch.where(mean.isnan(), self.mean, mean))
        self.sd.copy_(torch.where(sd.isnan(), self.sd, sd.clamp_min(1e-3)))

    def vector(self, summary: Tensor) -> Tensor:
        return self.standardised(summary).nan_to_num(0.0)
