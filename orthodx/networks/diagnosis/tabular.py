"""Late fusion of image and health-record (EHR) logits."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class RecordBranch(nn.Module):
    """The record's own logits, and per label a learned share `alpha` of the image's.

    Built from the numbers of continuous columns, of sex and of patient-type categories (unknown included), of
    injury events (unknown included), the event embedding, the hidden layer and the labels.
    """

    def __init__(
        self, continuous: int = 3, sexes: int = 3, patient_types: int = 3, events: int = 20, event_width: int = 8,
        hidden: int = 64, labels: int = 8,
    ) -> None:  # fmt: skip
        super().__init__()
        self.alpha_param = nn.Parameter(torch.zeros(labels))
        self.event_embed = nn.Embedding(events, event_width)
        self.tab_proj = nn.Sequential(
            nn.Linear(continuous + sexes + patient_types + event_width, hidden), nn.ReLU(), nn.LayerNorm(hidden)
        )
        self.tab_head = nn.Linear(hidden, labels)

    @property
    def alpha(self) -> Tensor:
        """(L,), the image's share, 0..1."""
        return self.alpha_param.sigmoid()

    def tabular(self, continuous: Tensor, sex: Tensor, patient_type: Tensor, event: Tensor) -> Tensor:
        """(B, 3) standardised, (B, S) and (B, P) one-hot, (B,) event index -> the record's logits (B, L)."""
        row = torch.cat([continuous, sex, patient_type, self.event_embed(event)], 1)
        return self.tab_head(self.tab_proj(row))


class LateFusion(RecordBranch):
    """The published form: a linear layer on the image vector (B, `width`), mixed with the record's logits."""

    def __init__(self, width: int, **sizes: int) -> None:
        super().__init__(**sizes)
        self.mri_head = nn.Linear(width, self.tab_head.out_features)

    def forward(self, mri: Tensor, continuous: Tensor, sex: Tensor, patient_type: Tensor, event: Tensor) -> Tensor:
        record = self.tabular(continuous, sex, patient_type, event)
        return self.alpha * self.mri_head(mri) + (1 - self.alpha) * record
