"""What a study was answered, a row a label: the threshold, what counted most, and which view was not there."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np

from orthodx.inference.study_reader import Answer
from orthodx.joints import Joint, View

ANSWERS = "answers.csv"  # behind the name of the table of probabilities
SYNTHETIC_ONLY = "trained on synthetic lesions only"
COLUMNS = ("study_id", "label", "meaning", "probability", "threshold", "positive", "by", "not_seen_in")
RECORD = "health record"


def answer_rows(study: str, answer: Answer, there: Collection[View], joint: Joint) -> list[dict[str, Any]]:
    """The rows of `<stem>.answers.csv` of one study.

    there: views that were read. positive: blank of a study that is unlike what the model has learned from. by: what
    spoke most for a positive answer, or against it: a view or the health record. not_seen_in: the views of which one
    shows it, where none of them is there; else blank.
    """
    seen_in = {a.code: a.seen_in for a in joint.abnormalities}
    out = []
    for i, label in enumerate(answer.labels):
        wanted = seen_in.get(label, ())
        missing = () if set(there) & set(wanted) else wanted
        out.append(
            {
                "study_id": study,
                "label": label,
                "meaning": joint.meanings.get(label, ""),
                "probability": float(answer.probability[i]),
                "threshold": float(answer.threshold[i]),
                "positive": "" if answer.strange else int(answer.positive[i]),
                "by": _speaks_most(answer, i),
                "not_seen_in": " or ".join(map(str, missing)),
            }
        )
    return out


def _speaks_most(answer: Answer, label: int) -> str:
    """What has the greatest part in how far the logit lies from its threshold, on the side of the answer."""
    share = 0.0 if answer.record_share is None else float(answer.record_share[label])
    from_threshold = answer.view_logits[label] - answer.threshold_logit[label]
    parts = {str(view): (1 - share) * answer.weights[label, v] * from_threshold[v]
             for v, view in enumerate(View) if not np.isnan(from_threshold[v])}  # fmt: skip
    if answer.record_logit is not None:
        parts[RECORD] = share * (answer.record_logit[label] - answer.threshold_logit[label])
    return (max if answer.positive[label] else min)(parts, key=lambda name: parts[name])
