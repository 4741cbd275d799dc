"""What can be asked of `followup`."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from pathlib import Path

from orthodx.errors import UsageError
from orthodx.requests.request import Request


@dataclass(frozen=True)
class FollowupRequest(Request):
    """Changes of patients who were seen more than once, from their masks and probabilities.

    out: folder to write. folder: where files that are not named are looked for. masks: folder of
    `<series_id>.nii.gz`. predictions: table of probabilities. manifest: says which series are of which patient and
    study. visits: table of `study_id` and `days` between, or `visit`; else these columns of the manifest. link: what
    `convert --link` wrote, where that table names studies in a hospital's words. joint: a joint's name or file; else
    that of the masks' own record, or of the manifest. error: the measurement error, an
    `error.csv` of patients without change. no_change: these patients did not change; measure the error on them.
    picture: of each patient. workers: processes that measure, 0 for none. resume: keep what was measured in the same
    masks. keep_paths: name inputs in the record by their paths.
    """

    out: Path
    _: KW_ONLY
    folder: Path = Path(".")
    masks: Path | None = None
    predictions: Path | None = None
    manifest: Path | None = None
    visits: Path | None = None
    link: Path | None = None
    joint: str | Path | None = None
    error: Path | None = None
    no_change: bool = False
    picture: bool = True
    workers: int = 1
    resume: bool = False
    keep_paths: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.error is not None and self.no_change:
            raise UsageError("--no-change measures the error that --error gives", hint="give one of the two")
        if self.link is not None and self.visits is None:
            raise UsageError("--link is for the table of --visits", hint="give both, or leave it out")
