"""A request to fine-tune, checked: what contradicts itself or would do nothing is refused, the rest is resolved."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from orthodx.errors import UsageError
from orthodx.joints import DEFAULT_JOINT, Joint, View, open_joint
from orthodx.networks.device import pick_device
from orthodx.networks.reading import Noising
from orthodx.requests import FinetuneRequest, Noise, Task, TransferRequest
from orthodx.synth.anatomy_bank import AnatomyBank
from orthodx.training.distributed import Team, join, processes
from orthodx.training.sources import joint_of_data
from orthodx.training.starting import Start, start_of

AS_PUBLISHED = 0.05  # encoders' learning rate relative to the head's, from labels
FROM_LESIONS = ("focus", "focus_label")
FROM_MASKS = (
    *("steps", "stop_at", "crop", "shared_encoder", "validate_every", "validation_samples", "patience", "bank_share"),
    *FROM_LESIONS,
)
FROM_LABELS = (
    *("labels", "link", "ehr", "fusion", "hold_out_center", "validation_share", "into", "epochs", "region"),
    *("cache", "block", "timestep", "noise"),
)
PUBLISHED = "published"  # the encoder that is read as its authors do, where nothing else is asked for:
PUBLISHED_HEAD, PUBLISHED_REGION, PUBLISHED_TIMESTEP = "sap", (16, 256, 256), 100


@dataclass(frozen=True, eq=False)
class Run:
    """A checked request, and what it resolves to. dense: from voxel-wise truth, not from labels.

    encoder, preset: of the bundle it starts from, where none is asked for. region, noising: of what a diagnosis reads.
    """

    request: FinetuneRequest
    start: Start
    joint: Joint
    views: tuple[View, ...]
    dense: bool
    share: float
    encoder: str
    preset: str
    head: str
    region: tuple[int, int, int]
    noising: Noising
    detail: int
    team: Team
    say: Callable[[str], None]


def checked(request: FinetuneRequest, say: Callable[[str], None]) -> Run:
    """Raises `UsageError`; joins the processes of torchrun, once nothing is left to refuse."""
    if (request.encoders is None) == (not request.from_scratch):
        raise UsageError("where do the encoders start?", hint="give --encoders FOLDER or --from-scratch, not both")
    if request.task is Task.SEGMENT:
        request.refuse(("detail", *FROM_LESIONS), "is for --task diagnose")
    if not request.focus:
        request.refuse(("focus_label",), "needs --focus")
    if request.probe and (request.from_scratch or request.encoder_share):
        raise UsageError("--probe leaves the encoders as they are", hint="leave it or the other option out")
    views = tuple(dict.fromkeys(request.views or View))
    start = start_of(request.encoders, views, str(request.task))
    banks = sum(len(AnatomyBank(path)) > 0 for path in request.studies)
    if request.task is Task.DIAGNOSE and banks and len(request.studies) > 1:
        raise UsageError("lesion masks are read from one bank alone", hint="give one bank, or studies and labels")
    dense = request.task is Task.SEGMENT or banks > 0
    _refuse_idle(request, dense)
    if processes() > 1 and not dense:
        raise UsageError("a diagnosis is fitted by one process", hint="run it without torchrun")
    team = join(pick_device(request.device))
    share = request.encoder_share
    share = (1.0 if dense or request.from_scratch else AS_PUBLISHED) if share is None else share
    encoder, preset = request.encoder, request.preset
    if start.kind is not None and not request.given & {"encoder", "preset"}:
        encoder, preset = start.kind
    published = encoder == PUBLISHED and not dense
    head = request.head or (PUBLISHED_HEAD if published and not start.diagnoser else start.default_head())
    region = request.region if dense else region_of(encoder, request)
    timestep = (PUBLISHED_TIMESTEP if published else 0) if request.timestep is None else request.timestep
    if not timestep:
        request.refuse(("noise",), "needs --timestep")
    noising = Noising(timestep=timestep, fresh=request.noise is Noise.FRESH, seed=request.seed if timestep else 0)
    detail = request.detail or (1 if request.task is Task.SEGMENT else start.detail_of(head))
    share = 0.0 if request.probe else share
    quiet: Callable[[str], None] = say if team.chief else lambda line: None
    own = (encoder, preset, head, region, noising, detail)
    return Run(request, start, _joint(request, start), views, dense, share, *own, team, quiet)


def region_of(encoder: str, request: FinetuneRequest | TransferRequest) -> tuple[int, int, int]:
    """Slices, rows and columns that a diagnosis by an encoder reads: those asked for, else as its authors do."""
    return PUBLISHED_REGION if encoder == PUBLISHED and "region" not in request.given else request.region


def _refuse_idle(request: FinetuneRequest, dense: bool) -> None:
    """Refuses options that would do nothing in this run."""
    if len(set(request.views)) == 1:
        request.refuse(("shared_encoder",), "needs several views")
    if dense:
        request.refuse(FROM_LABELS, "is for --task diagnose, from studies with labels.csv")
        if request.validation is None:
            request.refuse(("validate_every", "validation_samples", "patience"), "needs --validation")
        return
    request.refuse(FROM_MASKS, "is for training from masks or a bank, not from labels.csv")
    if request.workers:
        request.refuse(("workers",), "does nothing when a diagnosis is trained from studies")
    if request.probe:
        request.refuse(("epochs", "batch", "learning_rate"), "does nothing with --probe")
    if request.validation is not None:
        request.refuse(("validation_share",), "does nothing with --validation")


def _joint(request: FinetuneRequest, start: Start) -> Joint:
    """The joint asked for, else that of the data, else that of the bundle it starts from."""
    if request.joint is not None:
        return open_joint(request.joint)
    known = joint_of_data(request.studies)
    return known or (start.bundle.info.joint if start.bundle else DEFAULT_JOINT)
