"""What can be set about an evaluation, checked at birth."""

from __future__ import annotations

from dataclasses import dataclass

from orthodx.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Choices that change numbers; all are printed in the report."""

    by: tuple[str, ...] = ()  # columns of the manifest or the EHR table
    thresholds: tuple[str, ...] = ()  # "0.4" for all labels, or "ACL=0.4"
    tolerance_mm: float = 1.0  # of the normalised surface Dice
    min_cell: int = 10  # fewest patients (of each class) for a number of a group
    resamples: int = 2000
    worst: int = 8  # cases in the gallery
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.tolerance_mm > 0:
            raise UsageError(f"a tolerance of {self.tolerance_mm} mm is impossible", hint="give more than 0")
        if self.resamples < 100:
            raise UsageError(f"{self.resamples} resamples give no interval", hint="give 100 or more")
        if self.min_cell < 2:
            raise UsageError(f"groups of {self.min_cell} have no spread", hint="give --min-cell 2 or more")
        if len(set(self.by)) != len(self.by):
            raise UsageError(f"--by names a column twice: {','.join(self.by)}", hint="name each once")
        self.threshold_for("")

    def threshold_for(self, label: str) -> float | None:
        """The threshold given for a label, else the one given for all, else None."""
        common = None
        for item in self.thresholds:
            name, _, text = item.rpartition("=")
            try:
                value = float(text)
            except ValueError:
                value = -1.0
            if not 0 < value < 1:
                raise UsageError(f"the threshold '{item}' is not between 0 and 1", hint="--threshold 0.4 or ACL=0.4")
            if name == label and name:
                return value
            common = value if not name else common
        return common
