"""`orthodx transfer`: encoders of one joint taken to another, tested against the same network from scratch."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orthodx.bundles.bundle import Bundle, open_bundle, save_bundle
from orthodx.errors import UsageError
from orthodx.inference.diagnose import PREDICTIONS, diagnose
from orthodx.inference.segment import segment
from orthodx.joints import Joint, open_joint
from orthodx.networks.weights import load_file
from orthodx.requests import Task, TransferRequest, takes
from orthodx.studies.claim import Owner, Place, claimed
from orthodx.studies.keys import study_key
from orthodx.studies.nameless import nameless_command, nameless_options
from orthodx.studies.readable import counted, in_words
from orthodx.studies.receipts import DONE, Receipts
from orthodx.studies.run_record import RUN, write_run
from orthodx.studies.tables import read_table, write_table
from orthodx.training.finetune import finetune
from orthodx.training.sources import joint_of_data
from orthodx.trials.arms import Arm, Plan, planned, rank
from orthodx.trials.parts import Parts, part
from orthodx.trials.remaining import Remaining

if TYPE_CHECKING:
    from orthodx.evaluation.evaluate import Evaluation

ARMS, MASKS, REPORT, TABLE, VALIDATION = "arms", "masks", "report", "arms.csv", "validation.csv"
ABOUT_ARMS = ("arm", "kind", "label_fraction", "seed", "train", "validation", "test", "failed", "seconds", "folder")
UNWANTED = ("stage_one_*.safetensors", "checkpoint*.safetensors", "encoder_*.safetensors", "segment.safetensors")
NOT_MADE_FROM = {"out", "device", "workers", "resume", "cache", "studies", "only"}  # of an arm's request


@dataclass(frozen=True, eq=False)
class Transferred:
    """What a transfer gave. arms: a row an arm, as in `arms.csv`. left_out: training inputs, a row each."""

    bundle: Bundle
    arms: list[dict[str, Any]]
    evaluation: Evaluation
    left_out: list[dict[str, str]]

    @property
    def failed(self) -> int:
        """Cases that an arm could not read."""
        return sum(int(row["failed"]) for row in self.arms)


@takes(TransferRequest)
def transfer(
    request: TransferRequest,
    *,
    tell: Callable[[str, int, int], None] = lambda line, done, total: None,
    say: Callable[[str], None] = lambda line: None,
    command: Sequence[str] = (),
) -> Transferred:
    """Fit the encoders of a bundle to another joint, and the same network from scratch, and compare them.

    Every arm (kind, share of the labels, seed) is one `finetune` on the same patients, tested on the same others.
    Writes the model `out/<name>` (transferred, largest share, first seed), `arms.csv`, `arms/<arm>/` with the model,
    `validation.csv` and predictions or masks of each, `split/`, the comparison `report/` by `evaluate`, and `run.json`.
    tell: called after each arm with (line, done, total). say: told how it goes. Raises what `finetune` and `evaluate`
    do.

    >>> _ = orthodx.synth("others", studies=1, seed=1)
    >>> done = orthodx.transfer("cohort", "transfer", start="fit/my-model", task="segment", test="others", steps=1,
    ...                         crop=(4, 32, 32), scratch=False, workers=0)
    >>> [row["arm"] for row in done.arms]
    ['transferred-100pc-seed0']
    """
    started, out = datetime.now(timezone.utc), request.out
    joint, bundle = _joint(request), open_bundle(request.start)
    plan = planned(request, bundle)
    _refuse_earlier(request)
    outputs = [] if (out / ARMS).is_dir() else [out / TABLE, out / RUN]
    with claimed(Place(out), Owner(by="orthodx transfer", outputs=outputs)):
        return _transferred(plan, joint, started, tell=tell, say=say, command=command)


def _transferred(
    plan: Plan,
    joint: Joint,
    started: datetime,
    *,
    tell: Callable[[str, int, int], None],
    say: Callable[[str], None],
    command: Sequence[str],
) -> Transferred:
    """Patients parted -> every arm fitted and tested -> the model, the comparison, the record."""
    request, bundle, out = plan.request, plan.bundle, plan.request.out
    parts = part(request, joint, say)
    arms = plan.arms(parts)
    say(
        f"{counted(parts.patients, 'patients train')} and calibrate, {counted(parts.tested, 'studies test')}; "
        f"{counted(len(arms), 'arms')}"
    )
    trial = Trial(plan, parts, Receipts(out / DONE, {"from": bundle.digest, "inputs": parts.inputs}), say)
    remaining = Remaining(arms, lambda arm: arm.share if request.task is Task.DIAGNOSE else 1.0)
    rows: list[dict[str, Any]] = []
    for arm in arms:
        rows.append(trial.finished(arm) or trial.do(arm))
        remaining.seconds[arm] = float(rows[-1]["seconds"])
        took = in_words(float(rows[-1]["seconds"]))
        tell(f"{arm.told}: {took}{remaining.told()}", len(rows), len(arms))
        write_table(out / TABLE, rows, ABOUT_ARMS)
    chosen = rank(arms)
    made = _handed_out(trial.folder(chosen) / chosen.name, out / request.name, request.name)
    evaluation = _compared(trial, arms, chosen, joint)
    options = nameless_options(request, keep_paths=request.keep_paths)
    facts = {
        "task": str(request.task),
        "joint": joint.to_json(),
        "seed": request.seed,
        "options": {name: str(value) for name, value in options.items() if name in request.given},
        "starts": {bundle.info.name: bundle.digest},
        "inputs": parts.inputs,
        "arms": [row["arm"] for row in rows],
        "left_out": (left := trial.left_out(arms)),
        "model": {"name": request.name, "sha256": made.digest},
    }
    words = nameless_command(command, request, keep_paths=request.keep_paths)
    write_run(out / RUN, command=words, started=started, facts=facts)
    return Transferred(made, rows, evaluation, left)


@dataclass(frozen=True, eq=False)
class Trial:
    """One transfer at work."""

    plan: Plan
    parts: Parts
    receipts: Receipts
    say: Callable[[str], None]

    def folder(self, arm: Arm) -> Path:
        """Where an arm is kept."""
        return self.plan.request.out / ARMS / arm.name

    def results(self, arm: Arm) -> Path:
        """What `evaluate` reads: a table of predictions, or a folder of masks."""
        return self.folder(arm) / (PREDICTIONS if self.plan.request.task is Task.DIAGNOSE else MASKS)

    def finished(self, arm: Arm) -> dict[str, Any] | None:
        """The row of an arm that an earlier run finished with the same options and inputs."""
        row: dict[str, Any] | None = self.receipts.find(arm.name, self._made_from(arm))
        return row

    def do(self, arm: Arm) -> dict[str, Any]:
        """Fit an arm and test it, with a receipt for `resume`."""
        began, folder = time.perf_counter(), self.folder(arm)
        self.say(f"{arm.told} ...")
        bundle = finetune(self._asked(arm), say=lambda line: self.say(f"  {line}"))
        failed = self._test(arm, bundle)
        row = {
            "arm": arm.name,
            "kind": arm.kind,
            "label_fraction": f"{arm.share:.6g}",
            "seed": arm.seed,
            **self._counts(arm),
            "test": self.parts.tested,
            "failed": failed,
            "seconds": round(time.perf_counter() - began, 1),
            "folder": f"{ARMS}/{arm.name}",
        }
        results = self.results(arm)
        made = [*bundle.path.iterdir(), *(results.iterdir() if results.is_dir() else [results])]
        self.receipts.write(arm.name, self._made_from(arm), sorted(p for p in made if p.is_file()), row)
        for pattern in UNWANTED:
            for path in folder.glob(pattern):
                path.unlink()
        return row

    def _asked(self, arm: Arm) -> Any:
        return self.plan.asked(arm, self.parts, self.folder(arm))

    def _made_from(self, arm: Arm) -> dict[str, Any]:
        asked = asdict(self._asked(arm))
        return {name: str(value) for name, value in asked.items() if name not in NOT_MADE_FROM}

    def _test(self, arm: Arm, bundle: Bundle) -> int:
        """Predictions or masks of the test studies; how many could not be read."""
        request, results = self.plan.request, self.results(arm)
        same: dict[str, Any] = {"model": bundle.path, "only": self.parts.test, "device": request.device, "resume": True}
        same["workers"] = request.workers
        paths = self.parts.tested_in
        if request.task is Task.DIAGNOSE:
            cases: Sequence[Any] = diagnose(paths, results, **same)
        else:
            cases = segment(paths, results, preview=False, **same)
            rows = read_table(self.parts.test).to_dict("records")
            unread = {study_key(row["series_id"]) for row in rows if row["view"] not in set(self.plan.views)}
            cases = [case for case in cases if study_key(case.series_id) not in unread]  # no encoder was asked for
        bad = [case for case in cases if case.status == "failed"]
        for case in bad:
            self.say(f"  {case.source}: {case.reason}")
        return len(bad)

    def left_out(self, arms: Sequence[Arm]) -> list[dict[str, str]]:
        """The training inputs that an arm could not use, each once, as its record tells them."""
        rows = [row for arm in arms for row in self._record(arm).get("left_out", ())]
        return list({repr(row): row for row in rows}.values())

    def _record(self, arm: Arm) -> dict[str, Any]:
        record: dict[str, Any] = json.loads((self.folder(arm) / RUN).read_text(encoding="utf-8"))
        return record

    def _counts(self, arm: Arm) -> dict[str, Any]:
        """Studies that trained and calibrated, where the arm's record says it."""
        return {name: self._record(arm).get("counts", {}).get(name, "") for name in ("train", "validation")}


def _joint(request: TransferRequest) -> Joint:
    """The joint asked for, or that of the data."""
    if request.joint is not None:
        return open_joint(request.joint)
    known = joint_of_data(request.studies)
    if known is None:
        raise UsageError("which joint do the studies show?", hint="give --joint")
    return known


def _refuse_earlier(request: TransferRequest) -> None:
    taken = {ARMS, REPORT, "split", "cache", DONE}
    if request.name in taken or "/" in request.name:
        raise UsageError(f"--name: '{request.name}' is another folder's", hint="choose another name")
    if (request.out / ARMS).is_dir() and not request.resume:
        raise UsageError(f"{request.out} already holds a run", hint="go on with --resume, or give another --out")


def _handed_out(made: Path, folder: Path, name: str) -> Bundle:
    """An arm's model under the name that was asked for."""
    bundle = open_bundle(made)
    weights = {file: load_file(made / file) for file in bundle.info.sha256}
    return save_bundle(folder, replace(bundle.info, name=name), weights)


def _compared(trial: Trial, arms: Sequence[Arm], chosen: Arm, joint: Joint) -> Evaluation:
    """The chosen arm against all others on the test studies."""
    from orthodx.evaluation.evaluate import evaluate  # pandas and the statistics take long to load

    request, parts = trial.plan.request, trial.parts
    others = [trial.results(arm) for arm in arms if arm != chosen]
    ours: dict[str, Any] = (
        {"predictions": trial.results(chosen), "labels": parts.truth}
        if request.task is Task.DIAGNOSE
        else {"masks": trial.results(chosen), "truth": parts.truth}
    )
    return evaluate(
        request.out / REPORT,
        **ours,
        folder=parts.folder,
        manifest=parts.test,
        compare=others,
        joint=request.joint,
        seed=request.seed,
        workers=min(request.workers, 2),
        tell=lambda line, refused: trial.say(line),
    )
