"""The training record of ankle-small and shoulder-small as a program: the commands that made them, and the packing.

    python examples/train_joint_small.py ankle|shoulder WORK

WORK takes banks, cohorts, checkpoints and logs; a stage whose result is there is not run again. Begins with the
diagnosis of the shipped knee-small: encoders and evidence maps. About two hours a joint on one core with bf16. Writes
WORK/<joint>-small.
"""

import argparse
import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from orthodx.bundles.bundle import Bundle, open_bundle, save_bundle

SEEDS = {"ankle": 7, "shoulder": 8}  # the first digit of all seeds
ANATOMIES = {"ankle": 32, "shoulder": 24}
STUDIES = {"ankle": 160, "shoulder": 240}
VERSION = {"ankle": "0.1.0", "shoulder": "0.2.0"}
CODE = {"ankle": "b1a0a95", "shoulder": "cd63f29"}  # the commit whose code ran
THICK_MM = 2.4  # three in four training images had slices of 2.4 to 4.6 mm: thinner ones are averaged when read
CENTERS = "--center Harbour --center Meadow --center Northgate --center Outpost"
STAGES = {  # the file that a stage leaves in WORK: its command. J: the joint, S: its digit
    "J-bank/J-S100-LAST.npy": "synth J-bank --joint J --bank -n ANATOMIES --seed S100",
    "J-hurt/J-S201-0159.npy": (
        "synth J-hurt --bank --lesions -n 160 --joint J --anatomy J-bank --seed S201 --prevalence 0.85"
    ),
    "J-maps/maps/model.json": (
        "finetune J-hurt --task diagnose --encoders knee-small --out J-maps --name maps --steps 1500 --batch 2"
        " --crop 16 80 80 --focus 0.4 --learning-rate 8e-4 --encoder-share 0.5 --workers 0 --seed S203"
    ),
    "J-train/manifest.csv": f"synth J-train --joint J --lesions -n STUDIES --seed S121 --anatomy J-bank {CENTERS}",
    "J-diag/J-small/model.json": (
        "finetune J-train --task diagnose --probe --head anatomy --encoders J-maps/maps --ehr J-train/ehr.csv"
        " --out J-diag --name J-small --seed S204"
    ),
}


def commands(joint: str) -> dict[str, str]:
    """STAGES of one joint."""
    words = {"STUDIES": STUDIES, "ANATOMIES": ANATOMIES, "S": SEEDS}
    out = {}
    for result, command in STAGES.items():
        for word, of in words.items():
            command = command.replace(word, str(of[joint])) if word != "S" else command.replace(" S", f" {of[joint]}")
        last = f"{ANATOMIES[joint] - 1:04d}"
        result = result.replace("LAST", last).replace("-S", f"-{SEEDS[joint]}").replace("J", joint)
        out[result] = command.replace("J", joint)
    return out


def pack(work: Path, joint: str) -> Bundle:
    """The fitted bundle with its whole record and its sources, in WORK/<joint>-small."""
    fitted = open_bundle(work / f"{joint}-diag/{joint}-small")
    start = open_bundle("knee-small")
    settings = {record["stage"]: record for record in fitted.info.training}
    began = json.loads((work / f"{joint}-maps/run.json").read_text(encoding="utf-8"))["starts"]
    record: list[dict[str, Any]] = [{"stage": "start", "bundle": "knee-small", "sha256": began}]
    for command in commands(joint).values():
        stage: dict[str, Any] = {"stage": command.split()[0], "command": f"orthodx {command}", "code": CODE[joint]}
        if "--name maps" in command:
            stage |= {"settings": settings.get("finetune segment+evidence", {})}
        record.append(stage)
    record.append(settings["finetune diagnose"])
    sources = [f"orthodx procedural {joint}s", *start.info.sources]
    grid = dataclasses.replace(fitted.info.grid, min_slice_mm=THICK_MM)
    assert fitted.info.diagnosis is not None
    diagnosis = dataclasses.replace(fitted.info.diagnosis, synthetic_only=True)  # which the code that ran did not know
    info = dataclasses.replace(
        fitted.info, version=VERSION[joint], training=record, sources=sources, grid=grid, diagnosis=diagnosis
    )
    weights = {file: load_file(fitted.path / file) for file in info.sha256}
    return save_bundle(work / f"{joint}-small", info, weights)


def main() -> None:
    """Run what is not there yet, then pack."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("joint", choices=SEEDS)
    parser.add_argument("work", type=Path)
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    for result, command in commands(options.joint).items():
        if not (options.work / result).exists():
            print(f"$ orthodx {command}", flush=True)
            subprocess.run([sys.executable, "-m", "orthodx", *command.split()], cwd=options.work, check=True)
    print(f"-> {pack(options.work.resolve(), options.joint).path}")


if __name__ == "__main__":
    main()
