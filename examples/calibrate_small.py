"""The record's shares, thresholds and the flag of a shipped diagnosis, chosen on studies that it has not seen.

    python examples/calibrate_small.py knee WORK

Makes two cohorts of injured joints on anatomies of their own, from all centers and with health records, calibrates the
shipped model's diagnosis on them (`orthodx models calibrate --task diagnose`; knee-small 0.7.0 when it was run) and
writes WORK/JOINT-small: the shipped bundle whose answers are fitted anew, with these commands in its record. Encoders,
masks and, but for the record's share, the heads stay to the byte.
"""

import argparse
import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Any

from orthodx.bundles.bundle import Bundle, open_bundle, save_bundle
from orthodx.networks.weights import load_file


@dataclasses.dataclass(frozen=True)
class Plan:
    """What calibrates a model: its new version, the seeds of bank and studies of each cohort, and whose code ran."""

    version: str
    cohorts: tuple[tuple[int, int], ...]
    code: str


ANATOMIES, STUDIES = 14, 120  # of a cohort
PLANS = {"knee": Plan("0.7.1", ((4100, 9631), (4110, 9632)), "d83b33b")}


def synthesis(joint: str, plan: Plan) -> dict[str, str]:
    """Commands by the file that each leaves last."""
    commands = {}
    for bank, cohort in plan.cohorts:
        commands[f"bank{bank}/{joint}-{bank}-{ANATOMIES - 1:04d}.npy"] = (
            f"synth bank{bank} --joint {joint} --bank -n {ANATOMIES} --seed {bank}"
        )
        commands[f"cohort{cohort}/manifest.csv"] = (
            f"synth cohort{cohort} --joint {joint} --lesions -n {STUDIES} --seed {cohort} --anatomy bank{bank}"
        )
    return commands


def calibration(joint: str, plan: Plan) -> str:
    """The command that fits the answers."""
    studies = " ".join(f"cohort{cohort}" for _, cohort in plan.cohorts)
    tables = "--labels labels.csv --ehr ehr.csv"
    return (
        f"models calibrate {joint}-small {studies} {tables} --task diagnose --specificity 0.95 --seed 4100 --out known"
    )


def joined(work: Path, plan: Plan, table: str) -> None:
    """One table of all cohorts' rows."""
    parts = [(work / f"cohort{cohort}" / table).read_text().splitlines() for _, cohort in plan.cohorts]
    (work / table).write_text("\n".join([parts[0][0], *(row for part in parts for row in part[1:])]) + "\n")


def pack(joint: str, plan: Plan, work: Path) -> Bundle:
    """The shipped bundle with what was fitted, and the record of it."""
    shipped, fitted = open_bundle(f"{joint}-small"), open_bundle(work / "known")
    made = [
        {"stage": "synth", "command": f"orthodx {one}", "code": plan.code} for one in synthesis(joint, plan).values()
    ]
    last: dict[str, Any] = {"stage": "calibrate", "command": f"orthodx {calibration(joint, plan)}", "code": plan.code}
    record = [*shipped.info.training, *made, last | {"settings": fitted.info.training[-1]}]
    info = dataclasses.replace(fitted.info, version=plan.version, training=record)
    return save_bundle(work / f"{joint}-small", info, {file: load_file(fitted.path / file) for file in info.sha256})


def main() -> None:
    """Run what is not there yet, then pack."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("joint", choices=list(PLANS))
    parser.add_argument("work", type=Path)
    options = parser.parse_args()
    work, plan = options.work.resolve(), PLANS[options.joint]
    work.mkdir(parents=True, exist_ok=True)
    stages = synthesis(options.joint, plan) | {"known/model.json": calibration(options.joint, plan)}
    for result, command in stages.items():
        if not (work / result).exists():
            for table in ("labels.csv", "ehr.csv") if "calibrate" in command else ():
                joined(work, plan, table)
            subprocess.run([sys.executable, "-m", "orthodx", *command.split()], cwd=work, check=True)
    print(f"-> {pack(options.joint, plan, work).path}")


if __name__ == "__main__":
    main()
