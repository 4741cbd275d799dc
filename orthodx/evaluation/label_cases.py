"""The known cases of one label, ready to be ranked, counted and split into groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from orthodx.evaluation.estimates import Linear
from orthodx.evaluation.ranking import auroc
from orthodx.evaluation.rows import MICRO
from orthodx.evaluation.tables import Diagnoses


@dataclass(frozen=True, eq=False)
class LabelCases:
    """Cases of one label with probability and truth.

    scores, positive, patient: (k,) probability, truth, patient index below `patients`. member: (k,) row of each
    case among all n studies.
    """

    name: str
    scores: np.ndarray
    positive: np.ndarray
    patient: np.ndarray
    patients: int
    member: np.ndarray

    def among(self, chosen: np.ndarray) -> LabelCases:
        """The cases that are also in chosen (n,) bool."""
        keep = chosen[self.member]
        arrays = (x[keep] for x in (self.scores, self.positive, self.patient))
        return LabelCases(self.name, *arrays, self.patients, self.member[keep])

    def auroc(self) -> Linear:
        """Area under the ROC curve with DeLong's variance."""
        return auroc(self.scores, self.positive, self.patient, self.patients)

    def counts(self) -> dict[str, int]:
        """Cases, and positives among them."""
        return {"n": len(self.scores), "positives": int(self.positive.sum())}

    def patients_of_class(self) -> tuple[int, int]:
        """Patients with a positive, and with a negative, case."""
        return len(np.unique(self.patient[self.positive])), len(np.unique(self.patient[~self.positive]))

    @property
    def both_classes(self) -> bool:
        """Whether there is anything to rank."""
        return bool(self.positive.any() and not self.positive.all())


def cases_by_label(d: Diagnoses) -> list[LabelCases]:
    """The known cases of every label, with one numbering of patients."""
    patient = patient_index(d)
    out = []
    for i, name in enumerate(d.labels):
        member = np.flatnonzero(d.known(i))
        answers = d.truth[member, i] == 1
        out.append(LabelCases(name, d.probability[member, i], answers, patient[member], int(patient.max()) + 1, member))
    return out


def patient_index(d: Diagnoses) -> np.ndarray:
    """(n,) patient of each study as a number from 0."""
    return np.unique(d.patients, return_inverse=True)[1]


def pooled(labels: Sequence[LabelCases]) -> LabelCases:
    """All study-label pairs as one label (micro average)."""
    names = ("scores", "positive", "patient", "member")
    scores, positive, patient, member = (np.concatenate([getattr(x, f) for x in labels]) for f in names)
    return LabelCases(MICRO, scores, positive, patient, labels[0].patients, member)
