"""The end of a run whose validation gets no better, and the weights that validated best."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor

from orthodx.networks.weights import load_file
from orthodx.studies.writing import atomic
from orthodx.training.metrics_log import MetricsLog

SCORE = "validation"  # column of `metrics.csv`: the mean of all scores
BEST = "best.safetensors"


class Waiting:
    """Counts the validations since the best one. patience: how many are waited for. out: folder of the run."""

    def __init__(self, patience: int, out: Path) -> None:
        self.patience, self.log, self.path = patience, out / "metrics.csv", out / BEST
        self.best: float | None = None
        self.since = 0

    @property
    def over(self) -> bool:
        """Whether the last `patience` validations were no better than one before."""
        return self.since >= self.patience

    def go_on(self) -> None:
        """Count what an earlier part of the run found."""
        if self.path.is_file():
            for score in MetricsLog(self.log, [], writes=False).values(SCORE):
                self._is_better(score)

    def judge(self, scores: Mapping[str, float], weights: Mapping[str, Tensor]) -> float | None:
        """The mean of the scores, as the table has it; the weights are kept where it is the best. None without any."""
        known = [value for value in scores.values() if math.isfinite(value)]
        if not known:
            return None
        score = float(f"{sum(known) / len(known):.6g}")
        if self._is_better(score):
            with atomic(self.path) as temporary:
                save_file({name: value.detach().cpu().contiguous() for name, value in weights.items()}, temporary)
        return score

    def _is_better(self, score: float) -> bool:
        better = self.best is None or score > self.best
        self.best, self.since = (score, 0) if better else (self.best, self.since + 1)
        return better

    def best_weights(self, part: str) -> dict[str, Tensor]:
        """The weights of a part that validated best; none before the first validation."""
        if self.best is None:
            return {}
        kept = load_file(self.path)
        return {name.removeprefix(f"{part}."): w for name, w in kept.items() if name.startswith(f"{part}.")}
