"""What can be asked of `transfer`."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from pathlib import Path

from orthodx.errors import UsageError
from orthodx.joints import View
from orthodx.requests.request import Request
from orthodx.requests.training import Task

VALIDATED = ("validation", "validate_every", "patience")


@dataclass(frozen=True)
class TransferRequest(Request):
    """Encoders of one joint fitted to another, against the same network from scratch, on one split.

    studies: of the new joint. out: folder of the bundle, the arms and the report. start: the bundle whose encoders are
    taken, a folder or a shipped model's name. joint: the new one's name or file; else that of the data. task:
    "diagnose" from labels, or "segment" from masks. labels: table, if not beside the studies. link: what `convert
    --link` wrote, where that names studies in a hospital's words. probe: leave the encoders as they are. full: train
    them at the head's rate; without either they are lightly tuned, as published. scratch: an arm from scratch.
    baseline: one more arm, a supervised network from scratch: "resnet18" diagnoses, "dynunet" segments. label_fraction:
    shares of the training patients, an arm each. label_count: their numbers instead. seeds: how many, from `seed` on.
    name: of the new model. views: only these. head: registered name.

    Who tests: test: other studies, hold_out_center: those of these centers, or test_share: of the patients.

    learning_rate: its peak. batch: volumes a step. To diagnose: epochs, region (slices, rows, columns), cache (folder
    for regions and features). To segment: steps, crop (slices, rows, columns). With validation, studies of further
    patients with masks, patience ends an arm after so many validations in a row (one every validate_every steps)
    without a better one, and its best weights test. Rate, epochs and region that are not given are those of
    `finetune`. device: "auto", "cpu", "cuda", "cuda:N" or "mps". workers: processes that prepare
    data. seed: of everything random. resume: keep finished arms.
    keep_paths: name inputs in the record by their paths.
    """

    studies: tuple[Path, ...]
    out: Path
    _: KW_ONLY
    start: str | Path
    joint: str | Path | None = None
    task: Task = Task.DIAGNOSE
    labels: Path | None = None
    link: Path | None = None
    probe: bool = False
    full: bool = False
    scratch: bool = True
    baseline: str | None = None
    label_fraction: tuple[float, ...] = (1.0,)
    label_count: tuple[int, ...] = ()
    seeds: int = 1
    test: tuple[Path, ...] = ()
    hold_out_center: tuple[str, ...] = ()
    test_share: float = 0.25
    views: tuple[View, ...] = ()
    name: str = "my-model"
    head: str | None = None
    learning_rate: float | None = None
    batch: int = 2
    epochs: int | None = None
    region: tuple[int, int, int] | None = None
    cache: Path | None = None
    steps: int = 1000
    crop: tuple[int, int, int] = (16, 112, 112)
    validation: Path | None = None
    validate_every: int = 100
    patience: int | None = None
    device: str = "auto"
    workers: int = 1
    seed: int = 0
    resume: bool = False
    keep_paths: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.probe and self.full:
            raise UsageError("--probe leaves the encoders as they are, --full trains them", hint="give one of the two")
        self.refuse({"label_count"} if "label_fraction" in self.given else (), "and --label-fraction say the same")
        if strange := [share for share in self.label_fraction if not 0 < share <= 1] or not self.label_fraction:
            raise UsageError(f"--label-fraction: {strange} is no share above 0 and at most 1", hint="0.1,0.25,1")
        if any(number < 1 for number in self.label_count):
            raise UsageError("--label-count: a number of patients is 1 or more", hint="1,4,16")
        if self.seeds < 1:
            raise UsageError(f"{self.seeds} seeds train nothing", hint="give --seeds 1 or more")
        ways = [name for name in ("test", "hold_out_center", "test_share") if name in self.given]
        self.refuse(ways[1:], f"and --{(ways or ['test'])[0].replace('_', '-')} both say who tests", "give one of them")
        only = {
            Task.DIAGNOSE: ("steps", "crop", *VALIDATED),
            Task.SEGMENT: ("labels", "link", "epochs", "region", "cache"),
        }
        other = Task.DIAGNOSE if self.task is Task.SEGMENT else Task.SEGMENT
        self.refuse(only[self.task], f"is for --task {other}")
        self.refuse(VALIDATED[1:] if self.validation is None else (), "needs --validation")
        if self.validation is not None and self.patience is None:
            raise UsageError("--validation is for --patience", hint="give both")
