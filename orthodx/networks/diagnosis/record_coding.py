"""Health records as the numbers `LateFusion` takes; what training never saw, or nobody knows, says nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from orthodx.studies.records import Record

CONTINUOUS = ("age", "height", "weight")
SEXES = ("M", "F")
FURTHEST = 4.0  # standard deviations: one odd patient must not outshout the image
LEAST_SEEN = 3  # a word written less often teaches nothing and may point at a person


@dataclass(frozen=True, kw_only=True)
class RecordCoding:
    """How records become tensors, fitted on training records and kept with the model.

    means, sds: of age (years), height (cm), weight (kg); sd 0 where training saw no spread: such a column is
    always 0. patient_types, events: the words known, in the order of their columns and indices.
    """

    means: tuple[float, ...]
    sds: tuple[float, ...]
    patient_types: tuple[str, ...]
    events: tuple[str, ...]

    def __post_init__(self) -> None:
        if not len(self.means) == len(self.sds) == len(CONTINUOUS):
            raise ValueError(f"needs a mean and an sd for each of {', '.join(CONTINUOUS)}")
        if not np.isfinite([*self.means, *self.sds]).all() or min(self.sds) < 0:
            raise ValueError("means and sds must be finite, sds not negative")
        if any(len(set(words)) < len(words) for words in (self.patient_types, self.events)):
            raise ValueError("patient types and events must each stand once")

    @classmethod
    def fit(cls, records: Sequence[Record | None], max_events: int = 20) -> RecordCoding:
        """Means, sds and words of training records. max_events: rows of the event embedding, unknown included.

        Words written less than `LEAST_SEEN` times count as unknown; the most frequent events stay.
        """
        known = [record for record in records if record is not None]
        columns = [[v for r in known if (v := getattr(r, name)) is not None] for name in CONTINUOUS]
        return cls(
            means=tuple(float(np.mean(c)) if c else 0.0 for c in columns),
            sds=tuple(float(np.std(c)) if len(set(c)) > 1 else 0.0 for c in columns),
            patient_types=tuple(sorted(_frequent([r.patient_type for r in known]))),
            events=tuple(_frequent([r.event for r in known])[: max(max_events - 1, 0)]),
        )

    @property
    def sizes(self) -> dict[str, int]:
        """What `LateFusion` is built with: columns and categories, unknown included."""
        return {
            "continuous": len(CONTINUOUS), "sexes": len(SEXES) + 1, "patient_types": len(self.patient_types) + 1,
            "events": len(self.events) + 1,
        }  # fmt: skip

    def encode(self, records: Sequence[Record | None]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """What `LateFusion` takes beside the image; None is a study without a record, all unknown.

        Returns continuous (B, 3) float, standardised, missing 0; sex (B, 3) and patient type (B, P) float, one-hot,
        unknown last; event (B,) long, 0 unknown.
        """
        rows = [record or Record() for record in records]
        continuous = torch.tensor([self._standardised(r) for r in rows]).reshape(-1, len(CONTINUOUS))
        sex = _one_hot([r.sex for r in rows], SEXES)
        patient_type = _one_hot([r.patient_type for r in rows], self.patient_types)
        index: dict[str | None, int] = {word: i for i, word in enumerate(self.events, 1)}
        return continuous, sex, patient_type, torch.tensor([index.get(r.event, 0) for r in rows], dtype=torch.long)

    def known(self, records: Sequence[Record | None]) -> Tensor:
        """(B,) bool: the record holds something this coding understands; where not, only the image speaks."""
        return torch.tensor([record is not None and self._understands(record) for record in records], dtype=torch.bool)

    def _standardised(self, record: Record) -> list[float]:
        out = []
        for name, mean, sd in zip(CONTINUOUS, self.means, self.sds, strict=True):
            value = getattr(record, name)
            z = 0.0 if value is None or sd == 0 else (value - mean) / sd
            out.append(float(np.clip(z, -FURTHEST, FURTHEST)))
        return out

    def _understands(self, record: Record) -> bool:
        measured = (getattr(record, n) is not None and sd > 0 for n, sd in zip(CONTINUOUS, self.sds, strict=True))
        words = (record.sex in SEXES, record.patient_type in self.patient_types, record.event in self.events)
        return any((*measured, *words))


def _frequent(words: Sequence[str | None]) -> list[str]:
    """Words written often enough, the most frequent first, equals by name."""
    counts = Counter(word for word in words if word is not None)
    return sorted((w for w, n in counts.items() if n >= LEAST_SEEN), key=lambda w: (-counts[w], w))


def _one_hot(words: Sequence[str | None], known: tuple[str, ...]) -> Tensor:
    """(B, len(known) + 1) float; a word that is not known is in the last column."""
    index: dict[str | None, int] = {word: i for i, word in enumerate(known)}
    out = torch.zeros(len(words), len(known) + 1)
    for row, word in enumerate(words):
        out[row, index.get(word, len(known))] = 1
    return out
