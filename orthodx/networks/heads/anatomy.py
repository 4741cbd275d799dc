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
from orthodx.networks.encoders.encoder import ViewEncoder
from orthodx.networks.heads.evidence import EvidenceConfig, EvidenceHead
from orthodx.networks.heads.head import Wanted, register_head
from orthodx.networks.heads.skip_segment import SkipSegmentConfig, SkipSegmentHead
from orthodx.networks.heads.structure_signal import SIGNALS, structure_signal
from orthodx.networks.layout import coarse


@dataclass(frozen=True, kw_only=True)
class AnatomyConfig(EvidenceConfig):
    """structures: class of the structure that each label is an injury of, 0 for none. classes: of its masks, background
    included. pixel_mm: the encoder's.
    """

    structures: tuple[int, ...] = (0,) * 8
    classes: int = 12
    pixel_mm: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.structures) != self.labels or not all(0 <= s < self.classes for s in self.structures):
            raise ValueError(f"{self.labels} labels need a structure each, not {self.structures}")
        if not 0.01 <= self.pixel_mm <= 100:
            raise ValueError(f"a pixel of {self.pixel_mm} mm is impossible")


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
        self.segment = SkipSegmentHead(
            SkipSegmentConfig(
                classes=config.classes,
                block=config.blocks[0],
                block_channels=config.block_channels[0],
                stride=config.block_strides[0],
            )
        )
        self.segment.requires_grad_(False)
        self.numbers += SIGNALS
        self.width = config.labels * self.numbers
        self.classifier = torch.nn.Linear(self.width, config.labels)
        self._standardised_by(self.width)

    @classmethod
    def config_for(cls, encoder: ViewEncoder, wanted: Wanted) -> AnatomyConfig:
        """As of `evidence`; raises `UsageError` where no label is an injury of a structure."""
        if not any(wanted.harmed):
            raise UsageError("no label is an injury of a structure of this joint", hint="use --head evidence")
        own = asdict(super().config_for(encoder, wanted))
        return AnatomyConfig(**own, structures=wanted.harmed, classes=wanted.classes, pixel_mm=wanted.pixel_mm)

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
