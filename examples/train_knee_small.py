"""The training record of knee-small as a program: the commands that made it, and how it was packed.

    python examples/train_knee_small.py WORK --maps ATLAS/knee --start START

WORK takes banks, checkpoints and logs; a stage whose result is there is not run again. ATLAS/knee is a folder
with the label maps `zanatomy` and `right_knee_example` (see the model card). START is a folder with the weights
the run started from: `encoder_<view>.safetensors` and `segment.safetensors`, as the card names them. About 100
minutes on two cores with bf16. Writes WORK/knee-small.
"""

import argparse
import csv
import dataclasses
import shutil
import subprocess
import sys
from pathlib import Path

from safetensors.torch import load_file

from orthodx.bundles.bundle import Bundle, open_bundle, save_bundle
from orthodx.joints import View
from orthodx.studies.run_record import sha256

SOURCES = [
    "orthodx procedural knees",
    "Z-Anatomy (CC BY-SA 4.0) on BodyParts3D, (c) The Database Center for Life Science (CC BY-SA 2.1 JP)",
    "mskt 0.1.22 right_knee_example label map (MIT by package metadata)",
]
PRETRAIN = "--steps 350 --batch 4 --learning-rate 3e-4 --seed 21"
STAGES = {  # the file that a stage leaves in WORK: its command
    "bank/knee-0007-0029.npy": "synth bank --bank --studies 30 --seed 7",
    "bank/knee-0008-0017.npy": "synth bank --bank --studies 18 --seed 8",
    "bank/knee-0009-0015.npy": (
        "synth bank --bank --studies 16 --seed 9 --anatomy MAPS --map zanatomy --map right_knee_example"
    ),
    "val/knee-0077-0002.npy": "synth val --bank --studies 3 --seed 77",
    **{
        f"pre/{v}/encoder_{v}.safetensors": (
            f"pretrain bank --view {v} --out pre/{v} --init START/encoder_{v}.safetensors {PRETRAIN}"
        )
        for v in View
    },
    "fit1/knee-small/model.json": (
        "finetune bank --encoders pre --out fit1 --name knee-small --steps 6600 --stop-at 3900 --batch 2"
        " --learning-rate 6e-4 --seed 22 --validation val --validate-every 600"
    ),
    "fit2/knee-small/model.json": (
        "finetune bank --encoders fit1 --out fit2 --name knee-small --steps 1400 --batch 2"
        " --learning-rate 3e-4 --seed 23 --validation val --validate-every 700"
    ),
}
CODE = {  # the commit whose code ran: later ones draw other noise in pretraining
    "synth": "5a9d260", "pretrain": "816042e", "finetune": "816042e; from step 3900 on 8552b31",
}  # fmt: skip


def run(work: Path, maps: Path, start: Path) -> None:
    """Every stage whose result is not there yet."""
    for result, command in STAGES.items():
        if (work / result).exists():
            continue
        if "--encoders pre" in command:
            for view in View:
                shutil.copy(work / f"pre/{view}/encoder_{view}.safetensors", work / "pre")
            shutil.copy(start / "segment.safetensors", work / "pre")
        print(f"$ orthodx {command}", flush=True)
        words = [w.replace("MAPS", str(maps)).replace("START", str(start)) for w in command.split()]
        subprocess.run([sys.executable, "-m", "orthodx", *words], cwd=work, check=True)


def last_loss(metrics: Path) -> float:
    """Mean training loss over the last logged steps."""
    with metrics.open(newline="") as file:
        return round(float(list(csv.DictReader(file))[-1]["loss"]), 4)


def pack(work: Path, start: Path) -> Bundle:
    """The fine-tuned bundle with the whole record, licence and sources, in WORK/knee-small."""
    fitted = open_bundle(work / "fit2/knee-small")
    record: list[dict] = [
        {"stage": "start", "sha256": {p.name: sha256(p) for p in sorted(start.glob("*.safetensors"))}}
    ]
    for result, command in STAGES.items():
        stage = command.split()[0]
        record.append({"stage": stage, "command": f"orthodx {command}", "code": CODE[stage]})
        if stage != "synth":
            folder = work / Path(result).parts[0] if stage == "finetune" else (work / result).parent
            record[-1]["last_loss"] = last_loss(folder / "metrics.csv")
    record[-1]["settings"] = fitted.info.training[0]
    info = dataclasses.replace(fitted.info, version="0.1.0", training=record, licence="CC BY-SA 4.0", sources=SOURCES)
    parts = [p.file for p in (*info.encoders.values(), *info.heads.values())]
    return save_bundle(work / "knee-small", info, {file: load_file(fitted.path / file) for file in parts})


def main() -> None:
    """Run what is not there yet, then pack."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", type=Path)
    parser.add_argument("--maps", type=Path, required=True)
    parser.add_argument("--start", type=Path, required=True)
    options = parser.parse_args()
    work, maps, start = (p.resolve() for p in (options.work, options.maps, options.start))
    work.mkdir(parents=True, exist_ok=True)
    run(work, maps, start)
    print(f"-> {pack(work, start).path}")


if __name__ == "__main__":
    main()
