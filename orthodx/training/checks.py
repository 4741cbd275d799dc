"""A request to fine-tune, checked: what contradicts itself or would do nothing is refused, the rest is resolved."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from orthodx.errors import UsageError
from orthodx.grid.region import RegionSpec
from orthodx.grid.spec import GridSpec
from orthodx.joints import DEFAULT_JOINT, Joint, View, open_joint
from orthodx.networks.device import pick_device
from orthodx.networks.heads.head import refuse_detail
from orthodx.networks.reading import Noising
from orthodx.requests import FinetuneRequest, Noise, Task
from orthodx.synth.anatomy_bank import AnatomyBank
from orthodx.training.diagnosis.recipe import OURS, StageOne, recipe_of
from orthodx.training.distributed import Team, join, processes
from orthodx.training.masks.tasks import SegmentTask
from orthodx.training.sources import joint_of_data
from orthodx.training.starting import Start, start_of

AS_PUBLISHED = 0.05  # encoders' learning rate relative to the head's, from labels
FROM_LESIONS = ("focus", "focus_label")
FROM_MASKS = (
    *(
        "steps",
        "stop_at",
        "crop",
        "shared_encoder",
        "validate_every",
        "validation_samples",
        "patience",
        "bank_share",
        "augment",
    ),
    *FROM_LESIONS,
)
FROM_LABELS = (
    *("labels", "link", "ehr", "fusion", "hold_out_center", "validation_share", "into", "epochs", "region"),
    *("cache", "recipe", "block", "timestep", "noise"),
)
RATE, PIXEL_MM = 6e-4, 1.0  # where neither person nor recipe nor bundle says


@dataclass(frozen=True, eq=False)
class Run:
    """A checked request, and what it resolves to. dense: from voxel-wise truth, not from labels.

    encoder, preset, pixel_mm: of the bundle it starts from, where none is asked for. The rest is what the recipe says
    where nothing is asked for: region, noising and blocks of what a diagnosis reads.
    """

    request: FinetuneRequest
    start: Start
    joint: Joint
    views: tuple[View, ...]
    dense: bool
    share: float
    encoder: str
    preset: str
    pixel_mm: float
    head: str
    detail: int
    region: RegionSpec
    noising: Noising
    blocks: tuple[str, ...]
    epochs: int
    learning_rate: float
    stage_one: StageOne
    team: Team
    say: Callable[[str], None]


def checked(request: FinetuneRequest, say: Callable[[str], None]) -> Run:
    """Raises `UsageError`; joins the processes of torchrun, once nothing is left to refuse."""
    if (request.encoders is None) == (not request.from_scratch):
        raise UsageError("where do the encoders start?", hint="give --encoders FOLDER or --from-scratch, not both")
    if request.task is Task.SEGMENT:
        request.refuse(FROM_LESIONS, "is for --task diagnose")
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
    if request.encoder_share == 0 and not dense:
        raise UsageError("--encoder-share 0 leaves the encoders as they are", hint="say --probe instead")
    _refuse_idle(request, dense)
    if processes() > 1 and not dense:
        raise UsageError("a diagnosis is fitted by one process", hint="run it without torchrun")
    team = join(pick_device(request.device))
    share = request.encoder_share
    share = (1.0 if dense or request.from_scratch else AS_PUBLISHED) if share is None else share
    quiet: Callable[[str], None] = say if team.chief else lambda line: None
    return Run(
        request=request,
        start=start,
        joint=_joint(request, start),
        views=views,
        dense=dense,
        share=0.0 if request.probe else share,
        team=team,
        say=quiet,
        **_resolved(request, start, views, dense),
    )


def _resolved(request: FinetuneRequest, start: Start, views: Sequence[View], dense: bool) -> dict[str, Any]:
    """What was not asked for, by the bundle, the recipe, or what is usual."""
    encoder, preset = request.encoder, request.preset
    if start.kind is not None and not request.given & {"encoder", "preset"}:
        encoder, preset = start.kind
    recipe = OURS if dense else recipe_of(request.recipe, encoder)
    before = start.bundle.info.diagnosis if start.bundle and request.recipe is None and not dense else None
    head = request.head or (before.diagnoser.head if before else None) or recipe.head or start.default_head()
    if request.task is Task.SEGMENT:
        head = request.head or start.masks_head() or SegmentTask.heads["segment"]
    detail = request.detail or (start.masks_detail if request.task is Task.SEGMENT else start.detail_of)(head)
    if request.task is Task.SEGMENT:
        refuse_detail(head, detail)
    pixel_mm = request.pixel_mm or (start.bundle.info.grid.pixel_mm if start.bundle else PIXEL_MM)
    slices, rows, columns = shape = request.region or recipe.region
    GridSpec(pixel_mm=pixel_mm).require_readable("region", shape)
    same = before is not None and before.diagnoser.head == head
    timesteps = _a_view("timestep", request.timestep, views)
    if before is not None and same and not timesteps:
        noising = before.noising
    else:
        one = timesteps[0] if timesteps else recipe.timestep
        noising = Noising(timestep=one, by_view=timesteps if len(set(timesteps)) > 1 else ())
    blocks = _a_view("block", request.block, views)
    if before is not None and same and not blocks:
        blocks = before.diagnoser.blocks
    if not any((noising.timestep, *noising.by_view)):
        request.refuse(("noise",), "needs --timestep")
        fresh, seed = False, 0
    else:
        fresh, seed = request.noise is Noise.FRESH, request.seed
    stage_one = recipe.stage_one
    if request.probe and not dense:
        if not stage_one.descent:
            request.refuse(
                ("epochs", "learning_rate"), "does nothing with --probe", "leave it out, or --recipe published"
            )
        stage_one = replace(
            stage_one, descent=request.epochs or stage_one.descent, rate=request.learning_rate or stage_one.rate
        )
    return {
        "encoder": encoder,
        "preset": preset,
        "pixel_mm": pixel_mm,
        "head": head,
        "detail": detail,
        "region": RegionSpec(slices=slices, rows=rows, columns=columns, detail=detail, whole=recipe.whole),
        "noising": replace(noising, fresh=fresh, seed=seed),
        "blocks": blocks,
        "epochs": request.epochs or recipe.epochs,
        "learning_rate": request.learning_rate or (RATE if dense else recipe.learning_rate),
        "stage_one": stage_one,
    }


def _a_view(option: str, given: tuple[Any, ...], views: Sequence[View]) -> tuple[Any, ...]:
    """One value for all views as it is; else one of each view that there is, of one that is not read the first."""
    if len(given) < 2:
        return given
    if len(given) != len(views):
        raise UsageError(f"--{option}: {len(given)} values for {len(views)} views", hint="give one, or one a view")
    named = dict(zip(views, given, strict=True))
    return tuple(named.get(view, given[0]) for view in View)


def _refuse_idle(request: FinetuneRequest, dense: bool) -> None:
    """Refuses options that would do nothing in this run."""
    if len(set(request.views)) == 1:
        request.refuse(("shared_encoder",), "needs several views")
    if dense and all(len(AnatomyBank(path)) > 0 for path in request.studies):
        request.refuse(("augment",), "changes crops of studies, and there are none")
    if dense:
        request.refuse(FROM_LABELS, "is for --task diagnose, from studies with labels.csv")
        if request.validation is None:
            request.refuse(("validate_every", "validation_samples", "patience"), "needs --validation")
        return
    request.refuse(FROM_MASKS, "is for training from masks or a bank, not from labels.csv")
    if request.workers:
        request.refuse(("workers",), "does nothing when a diagnosis is trained from studies")
    if request.probe:
        request.refuse(("batch",), "does nothing with --probe")
    if request.validation is not None:
        request.refuse(("validation_share",), "does nothing with --validation")


def _joint(request: FinetuneRequest, start: Start) -> Joint:
    """The joint asked for, else that of the data, else that of the bundle it starts from."""
    if request.joint is not None:
        return open_joint(request.joint)
    known = joint_of_data(request.studies)
    return known or (start.bundle.info.joint if start.bundle else DEFAULT_JOINT)
