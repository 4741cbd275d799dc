"""What can be asked of `pretrain` and `finetune`."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from enum import Enum
from pathlib import Path

from orthodx.joints import View
from orthodx.requests.grouping import GroupBy
from orthodx.requests.request import Request


class Noise(str, Enum):
    """Noise of images that are read at a timestep above 0."""

    KEPT = "kept"
    FRESH = "fresh"

    def __str__(self) -> str:
        return self.value


class RecipeName(str, Enum):
    """How a diagnosis is fitted to labels."""

    OURS = "ours"
    PUBLISHED = "published"

    def __str__(self) -> str:
        return self.value


class Task(str, Enum):
    """What to fine-tune for."""

    SEGMENT = "segment"
    DIAGNOSE = "diagnose"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True)
class PretrainRequest(Request):
    """Diffusion pretraining of one view's encoder.

    studies: unlabelled studies, or banks made by `synth`. out: folder for checkpoints, metrics and weights. view: the
    imaging plane. encoder, preset: registered encoder and its size. steps: of the optimiser. batch: volumes a step and
    process. accumulate: batches a process adds up before each step. learning_rate: its peak. crop: slices, rows and
    columns of a sample. pixel_mm: in-plane pixel of the model's grid. cache: folder for studies on the model's grid,
    memory-mapped. bank_share: of the samples, where banks and studies are given. sample_every: steps between pictures
    drawn from noise, 0 for none. probe: held-out bank or studies with truth; the weights that probe best are kept.
    probe_every: steps between two probes. init: encoder weights to start from. distil: weights to start from, whose
    noisy features clean images learn. distil_weight, align: weights of the losses on features. compile: the network by
    torch.compile, which takes minutes at first. device: "auto", "cpu", "cuda", "cuda:N" or "mps". workers:
    processes that prepare samples. seed: of everything random. resume: go on.
    keep_paths: name inputs in the record by their paths.
    """

    studies: tuple[Path, ...]
    out: Path
    _: KW_ONLY
    view: View
    encoder: str = "ortho"
    preset: str = "small"
    steps: int = 20_000
    batch: int = 8
    accumulate: int = 1
    learning_rate: float = 4e-4
    crop: tuple[int, int, int] = (16, 96, 96)
    pixel_mm: float = 1.0
    cache: Path | None = None
    bank_share: float | None = None
    sample_every: int = 0
    probe: Path | None = None
    probe_every: int = 1000
    init: Path | None = None
    distil: Path | None = None
    distil_weight: float = 1.0
    align: float | None = None
    compile: bool = False
    device: str = "auto"
    workers: int = 1
    seed: int = 0
    resume: bool = False
    keep_paths: bool = False


@dataclass(frozen=True)
class FinetuneRequest(Request):
    """Encoders and a head fitted to masks, to labels, or to a synthetic bank; a model bundle comes out.

    studies: with masks in `truth/`, or with `labels.csv`; or one bank, or banks and studies. out: folder for
    checkpoints, metrics and the bundle. task: "segment" or "diagnose". joint: a joint's name or file; else that of the
    data. encoders: folder or bundle to start from. from_scratch: start every encoder from noise instead. probe: leave
    the encoders as they are. encoder_share: their learning rate relative to the head's. views: only these. only: table
    of the study_id that are learned from, of all there. group_by: what makes NIfTI files without a manifest one study.
    name: of the new model. encoder, preset: registered names, else those of the bundle. head: registered name. batch:
    volumes a step. learning_rate: its peak, 6e-4 if the recipe says nothing else. pixel_mm: in-plane pixel of the
    model's grid, else that of the bundle or 1 mm. detail: pixels that the head sees along one of the encoders'.
    validation: held-out bank or studies.

    From masks or a bank: steps, and stop_at to end a part of them. crop: slices, rows and columns of a sample.
    shared_encoder: one for all views. bank_share: of the samples, where banks and studies are given. augment: crops of
    studies are turned, scaled, mirrored and their light changed (a bank draws these anew). validate_every,
    validation_samples: how often, and how many crops of each view. patience: validations in a row without a better one
    that end the run, whose weights are then the best ones. From a bank of injuries: focus, the share of crops on a
    lesion or where one could be, and focus_label, of these labels only.

    From labels: labels, ehr: tables, if not beside the studies. link: what `convert --link` wrote, where these name
    studies in a hospital's words. label_fraction: share of the training patients used (of
    masks too). fusion: of the views. hold_out_center: centers left out. validation_share: of the patients, who
    calibrate. into: bundle to add the diagnosis to. cache: folder for regions and frozen features. recipe: "ours" or
    "published" (that of the published encoder), which decide what is not asked for: head, epochs (passes over the
    studies), region (slices, rows and columns read in the middle of a series), timestep (noise of the images that are
    read, 0 for none), and how stage I is fitted. block: of the encoder, which the head pools, if not its own choice.
    Timesteps and blocks are one for all views or one a view. noise: "kept", one for all by the seed, or "fresh" at each
    reading.

    device: "auto", "cpu", "cuda", "cuda:N" or "mps". workers: processes that prepare samples. seed: of everything
    random. resume: go on. keep_paths: name inputs in the record by their paths.
    """

    studies: tuple[Path, ...]
    out: Path
    _: KW_ONLY
    task: Task = Task.SEGMENT
    joint: str | Path | None = None
    encoders: Path | None = None
    from_scratch: bool = False
    probe: bool = False
    encoder_share: float | None = None
    views: tuple[View, ...] = ()
    only: Path | None = None
    group_by: GroupBy | None = None
    name: str = "my-model"
    encoder: str = "ortho"
    preset: str = "small"
    head: str | None = None
    batch: int = 2
    learning_rate: float | None = None
    pixel_mm: float | None = None
    detail: int | None = None
    validation: Path | None = None
    steps: int = 10_000
    stop_at: int | None = None
    crop: tuple[int, int, int] = (16, 112, 112)
    shared_encoder: bool = False
    bank_share: float | None = None
    augment: bool = True
    validate_every: int = 400
    validation_samples: int = 4
    patience: int | None = None
    focus: float = 0.0
    focus_label: tuple[str, ...] = ()
    labels: Path | None = None
    link: Path | None = None
    ehr: Path | None = None
    label_fraction: float = 1.0
    fusion: str = "gating"
    hold_out_center: tuple[str, ...] = ()
    validation_share: float = 0.2
    into: Path | None = None
    cache: Path | None = None
    recipe: RecipeName | None = None
    epochs: int | None = None
    region: tuple[int, int, int] | None = None
    block: tuple[str, ...] = ()
    timestep: tuple[int, ...] = ()
    noise: Noise = Noise.KEPT
    device: str = "auto"
    workers: int = 1
    seed: int = 0
    resume: bool = False
    keep_paths: bool = False
