"""Losses averaged between two log lines, and `metrics.csv`: appended and flushed, so a killed run keeps its curve."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from orthodx.studies.writing import atomic, blaming
from orthodx.training.distributed import Team


class MetricsLog:
    """Append rows of named numbers; on resume, rows after `step` are dropped first. writes: False reads nothing too."""

    def __init__(self, path: Path, columns: list[str], step: int = 0, *, writes: bool = True) -> None:
        self.path, self.columns, self.writes = path, columns, writes
        if not writes:
            return
        kept: list[dict[str, str]] = []
        if step and path.exists():
            with path.open(newline="") as file:
                kept = [row for row in csv.DictReader(file) if int(row["step"]) <= step]
        with atomic(path) as temporary, temporary.open("w", newline="") as file:
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows(kept)

    def values(self, column: str) -> list[float]:
        """A column so far, without its blanks."""
        if not self.path.exists():
            return []
        with self.path.open(newline="") as file:
            return [float(row[column]) for row in csv.DictReader(file) if row.get(column)]

    def best(self, column: str) -> float | None:
        """The highest value of a column so far; None where it has none."""
        return max(self.values(column), default=None)

    def add(self, row: dict[str, float]) -> None:
        """Append one row; columns it lacks stay blank."""
        if not self.writes:
            return
        with blaming(self.path), self.path.open("a", newline="") as file:
            csv.DictWriter(file, self.columns).writerow({k: f"{v:.6g}" for k, v in row.items()})


class Means:
    """Means of named numbers since they were last taken, over all processes of a team."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names, self.sums = list(names), torch.zeros(len(names), 2)

    def add(self, name: str, values: Tensor) -> None:
        """Count one value or several under a name."""
        self.sums[self.names.index(name)] += torch.tensor([float(values.sum()), float(values.numel())])

    def take(self, team: Team) -> dict[str, float]:
        """Means of the names that have any value, and start over."""
        total = team.sum(self.sums)
        self.sums = torch.zeros_like(self.sums)
        return {name: float(row[0] / row[1]) for name, row in zip(self.names, total, strict=True) if row[1]}
