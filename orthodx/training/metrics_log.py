"""`metrics.csv`: one row a logged step, appended and flushed, so that a killed run keeps its curve."""

from __future__ import annotations

import csv
from pathlib import Path

from orthodx.studies.writing import atomic


class MetricsLog:
    """Append rows of named numbers; on resume, rows after `step` are dropped first."""

    def __init__(self, path: Path, columns: list[str], step: int = 0) -> None:
        self.path, self.columns = path, columns
        kept: list[dict[str, str]] = []
        if step and path.exists():
            with path.open(newline="") as file:
                kept = [row for row in csv.DictReader(file) if int(row["step"]) <= step]
        with atomic(path) as temporary, temporary.open("w", newline="") as file:
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows(kept)

    def best(self, column: str) -> float | None:
        """The highest value of a column so far; None where it has none."""
        with self.path.open(newline="") as file:
            return max((float(row[column]) for row in csv.DictReader(file) if row.get(column)), default=None)

    def add(self, row: dict[str, float]) -> None:
        """Append one row; columns it lacks stay blank."""
        with self.path.open("a", newline="") as file:
            csv.DictWriter(file, self.columns).writerow({k: f"{v:.6g}" for k, v in row.items()})
