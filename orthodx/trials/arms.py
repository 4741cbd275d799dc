"""The arms of a transfer: which fine-tunings there are, in which order, and what each is asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orthodx.bundles.bundle import Bundle
from orthodx.errors import UsageError
from orthodx.joints import View
from orthodx.networks import ENCODERS
from orthodx.requests import FinetuneRequest, Task, TransferRequest
from orthodx.requests.transfer import VALIDATED
from orthodx.studies.readable import counted
from orthodx.training.diagnosis.recipe import recipe_of
from orthodx.training.diagnosis.splits import validating
from orthodx.trials.parts import Parts

TRANSFERRED, SCRATCH = "transferred", "scratch"
BASELINES = {  # encoder -> what it does, and the head that completes it
    "resnet18": (Task.DIAGNOSE, "mean"),
    "dynunet": (Task.SEGMENT, "linear_segment"),
}
HEADS_OF = {Task.DIAGNOSE: "global_local", Task.SEGMENT: "skip_segment"}  # where neither person nor recipe asks
CALIBRATE = FinetuneRequest.validation_share  # of the patients, where labels are learned
LIGHTLY = 0.05  # encoders' learning rate relative to the head's, as published


@dataclass(frozen=True)
class Arm:
    """One fine-tuning. kind: transferred, scratch, or a baseline's name. share: of the training patients.

    count: of patients, where that was asked for.
    """

    kind: str
    share: float
    seed: int
    count: int | None = None

    @property
    def name(self) -> str:
        """What its folder, its model and its curve are called."""
        much = f"{100 * self.share:.3g}pc" if self.count is None else f"n{self.count}"
        return f"{self.kind}-{much}-seed{self.seed}"

    @property
    def told(self) -> str:
        """For people."""
        much = f"{100 * self.share:.3g} % of the labels" if self.count is None else counted(self.count, "patients")
        return f"{self.kind}, {much}, seed {self.seed}"


@dataclass(frozen=True, eq=False)
class Plan:
    """A checked request: what every arm shares. encoder, preset: those of the bundle it starts from."""

    request: TransferRequest
    bundle: Bundle
    encoder: str
    preset: str
    views: tuple[View, ...]

    def arms(self, parts: Parts) -> list[Arm]:
        """All arms, the largest shares of every kind first: the model comes early, and so does what an arm costs."""
        request = self.request
        kinds = [TRANSFERRED, *([SCRATCH] if request.scratch else []), *filter(None, [request.baseline])]
        seeds = range(request.seed, request.seed + request.seeds)
        shares = sorted(self._shares(parts).items(), reverse=True)
        return [Arm(kind, share, seed, count) for seed in seeds for share, count in shares for kind in kinds]

    def _shares(self, parts: Parts) -> dict[float, int | None]:
        """Share -> the number of patients, where that was asked for."""
        request = self.request
        if not request.label_count:
            return dict.fromkeys(request.label_fraction)
        calibrate = validating(parts.patients, CALIBRATE) if request.task is Task.DIAGNOSE else 0
        learners = parts.patients - calibrate
        if max(request.label_count) > learners:
            apart = f" ({calibrate} more calibrate)" if calibrate else ""
            raise UsageError(
                f"--label-count {max(request.label_count)} is more than the {learners} patients who can train{apart}",
                hint="give fewer, or more studies",
            )
        return {number / learners: number for number in request.label_count}

    def asked(self, arm: Arm, parts: Parts, out: Path) -> FinetuneRequest:
        """What fine-tuning is asked for an arm."""
        request, recipe = self.request, recipe_of(None, self.encoder)
        diagnoses = request.task is Task.DIAGNOSE
        masks = self.bundle.info.heads.get("segment")
        own = masks.name if masks else None
        words: dict[str, Any] = {
            "task": request.task,
            "joint": request.joint,
            "views": self.views,
            "only": parts.train,
            "name": arm.name,
            "encoder": self.encoder,
            "preset": self.preset,
            "head": request.head or (recipe.head if diagnoses else own) or HEADS_OF[request.task],
            "pixel_mm": self.bundle.info.grid.pixel_mm,
            "label_fraction": arm.share,
            "device": request.device,
            "seed": arm.seed,
            "resume": True,
        }
        if diagnoses:
            words |= {
                "labels": parts.labels,
                "link": request.link,
                "region": request.region or recipe.region,
                "cache": request.cache or request.out / "cache",
            }
        else:
            words |= {"steps": request.steps, "crop": request.crop, "workers": request.workers}
            if masks is not None and words["head"] == masks.name:  # from scratch it looks as closely
                words |= {"detail": getattr(masks.config, "detail", 1)}
            if request.validation is not None:
                words |= {name: getattr(request, name) for name in VALIDATED}
        learned: dict[str, Any] = {"learning_rate": request.learning_rate, "batch": request.batch}
        learned |= {"epochs": request.epochs} if diagnoses else {}
        if arm.kind == TRANSFERRED:
            words |= {"encoders": self.bundle.path}
            words |= {"probe": True} if request.probe else {"encoder_share": 1.0 if request.full else LIGHTLY}
        else:
            words |= {"from_scratch": True}
        if arm.kind in BASELINES:
            encoder = ENCODERS.get(arm.kind)
            words |= {"encoder": arm.kind, "preset": next(iter(encoder.presets)), "head": BASELINES[arm.kind][1]}
            words.pop("detail", None)
        probed = request.probe and arm.kind == TRANSFERRED and diagnoses
        return FinetuneRequest(request.studies, out, **words, **({} if probed else learned))


def planned(request: TransferRequest, bundle: Bundle) -> Plan:
    """Raises `UsageError` for what cannot be followed, before anything is read."""
    parts = bundle.info.diagnosis.encoders if bundle.info.diagnosis and request.task is Task.DIAGNOSE else {}
    parts = {**bundle.info.encoders, **parts}
    views = tuple(dict.fromkeys(request.views)) or tuple(parts)
    if missing := [view for view in views if view not in parts]:
        raise UsageError(f"{bundle.info.name} has no {missing[0]} encoder", hint="give other --view")
    kinds = {(parts[view].name, parts[view].config) for view in views}
    if len(kinds) > 1:
        raise UsageError(f"the encoders of {bundle.info.name} differ", hint="give one --view")
    ((encoder, config),) = kinds
    presets = [name for name, known in ENCODERS.get(encoder).presets.items() if known == config]
    if not presets:
        raise UsageError(f"the encoders of {bundle.info.name} are of no preset", hint="pretrain with --preset")
    _check_baseline(request)
    return Plan(request, bundle, encoder, presets[0], views)


def _check_baseline(request: TransferRequest) -> None:
    if request.baseline is None:
        return
    task, _ = BASELINES.get(request.baseline, (None, ""))
    if task is not request.task:
        known = [name for name, (does, _) in BASELINES.items() if does is request.task]
        raise UsageError(
            f"no baseline '{request.baseline}' can {request.task}", hint=f"give --baseline {' or '.join(known)}"
        )


def rank(arms: Sequence[Arm]) -> Arm:
    """The arm whose model is handed out: transferred, the largest share, the first seed."""
    return min((arm for arm in arms if arm.kind == TRANSFERRED), key=lambda arm: (-arm.share, arm.seed))
