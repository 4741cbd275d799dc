"""What can be asked of `evaluate`; choices that change numbers are checked at birth."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from pathlib import Path

from orthodx.errors import UsageError
from orthodx.requests.request import Request


@dataclass(frozen=True, kw_only=True)
class Settings(Request):
    """Choices that change numbers; all are printed in the report."""

    by: tuple[str, ...] = ()  # columns of the manifest or the EHR table
    thresholds: tuple[str, ...] = ()  # "0.4" for all labels, or "CODE=0.4"
    tolerance_mm: float = 1.0  # of the normalised surface Dice
    min_cell: int = 10  # fewest patients (of each class) for a number of a group
    resamples: int = 2000
    worst: int = 8  # cases in the gallery
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.tolerance_mm > 0:
            raise UsageError(f"a tolerance of {self.tolerance_mm} mm is impossible", hint="give more than 0")
        if self.resamples < 100:
            raise UsageError(f"{self.resamples} resamples give no interval", hint="give 100 or more")
        if self.min_cell < 2:
            raise UsageError(f"groups of {self.min_cell} have no spread", hint="give --min-cell 2 or more")
        if len(set(self.by)) != len(self.by):
            raise UsageError(f"--by names a column twice: {','.join(self.by)}", hint="name each once")
        self.threshold_for("")

    @property
    def threshold_labels(self) -> list[str]:
        """The labels that have a threshold of their own."""
        return [name for item in self.thresholds if (name := item.rpartition("=")[0])]

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
                raise UsageError(f"the threshold '{item}' is not between 0 and 1", hint="--threshold 0.4 or CODE=0.4")
            if name == label and name:
                return value
            common = value if not name else common
        return common


@dataclass(frozen=True)
class EvaluateRequest(Settings):
    """Scores of predictions and masks against their truth.

    out: report folder. joint: a joint's name or file; else that of the masks' own record, or of the manifest. folder:
    where files that are not named are looked for. predictions, labels: tables. link: what `convert --link` wrote, where
    labels or EHR name studies in a hospital's words. masks, truth: folders of
    `<series_id>.nii.gz`. manifest, ehr: tables to group by. compare: other runs on the same cases, each a predictions
    CSV, a folder of masks, or a folder with either. by: columns to group by. thresholds: "0.4" for all labels, or
    "CODE=0.4". tolerance_mm: of the surface Dice. min_cell: fewest patients (of each class) for a number of a group.
    resamples: of the bootstrap. worst: cases in the gallery. seed: of the bootstrap. workers: processes that score
    masks, 0 for none. resume: keep finished cases of the same files and options. keep_paths: name inputs in report and
    record by their paths.
    """

    out: Path = Path("evaluation")
    _: KW_ONLY
    joint: str | Path | None = None
    folder: Path = Path(".")
    predictions: Path | None = None
    labels: Path | None = None
    link: Path | None = None
    masks: Path | None = None
    truth: Path | None = None
    manifest: Path | None = None
    ehr: Path | None = None
    compare: tuple[Path, ...] = ()
    workers: int = 2
    resume: bool = False
    keep_paths: bool = False
