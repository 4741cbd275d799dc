"""`orthodx diagnose`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import typer

from orthodx.cli import exits
from orthodx.cli.command import Given, command
from orthodx.cli.options import (
    DEVICE,
    GROUP_BY,
    JOINT,
    KEEP_PATHS,
    MODEL,
    ONLY,
    RESUME,
    SHARD,
    STUDIES,
    VIEW,
    WORKERS,
    out,
    print_json,
)
from orthodx.requests import DiagnoseRequest

if TYPE_CHECKING:
    from orthodx.inference.diagnose_case import StudyCase

WORDS = {
    "studies": STUDIES,
    "out": out("CSV of probabilities, or a folder for predictions.csv."),
    "model": MODEL,
    "joint": JOINT,
    "ehr": typer.Option(help="Table of health records, one row per study (ehr.csv)."),
    "explain": typer.Option(help="Folder for what each view and the record counted, and heat-map pictures."),
    "view": VIEW,
    "only": ONLY,
    "group_by": GROUP_BY,
    "device": DEVICE,
    "workers": WORKERS,
    "resume": RESUME,
    "shard": SHARD,
    "keep_paths": KEEP_PATHS,
}


def _answered(case: StudyCase) -> str:
    """What is positive, from which probability on and by what; then labels that need a view which is not there.

    Of a study that is unlike what the model has learned from, that there is no answer.
    """
    if any(a["positive"] == "" for a in case.answers):
        return f"no answer ({', '.join(case.above) or 'none'} would be positive)"
    found = [f"{a['label']} {a['probability']:.2f} (from {a['threshold']:.2f}, {a['by']})"
             for a in case.answers if a["positive"]]  # fmt: skip
    unseen: dict[str, list[str]] = {}
    for answer in case.answers:
        if answer["not_seen_in"]:
            unseen.setdefault(answer["not_seen_in"], []).append(answer["label"])
    missing = [f"no {views} series for {', '.join(labels)}" for views, labels in unseen.items()]
    return "; ".join([", ".join(found) or "none positive", *missing])


@command(DiagnoseRequest, WORDS)
def run(given: Given) -> None:
    """Probability of each abnormality: one answer per study, from all its series and the health record."""
    from orthodx.inference.diagnose import diagnose, table_at

    voice, table = given.voice, table_at(given.request.out)
    with voice.progress() as line:

        def tell(case: StudyCase, done: int, total: int) -> None:
            name = case.study_id or case.source
            if case.status == "failed":
                exits.say_error(f"{name}: {case.reason}" if name not in case.reason else case.reason)
            else:
                warning = f"  warning: {case.reason}" if case.status == "warned" else ""
                line(f"{name}  {case.views}  {_answered(case)}  {case.seconds:.1f} s{warning}", done, total)

        cases = diagnose(given.request, tell=tell, note=voice.note, command=sys.argv)
    failed = sum(case.status == "failed" for case in cases)
    voice.say(f"{len(cases) - failed} of {len(cases)} studies diagnosed -> {table}")
    if given.request.explain:
        voice.say(f"explained -> {given.request.explain}")
    if given.json:
        print_json(
            {"out": str(table), "cases": [case.row(given.request.keep_paths, given.request.studies) for case in cases]}
        )
    if failed:
        raise SystemExit(exits.SOME_FAILED)
