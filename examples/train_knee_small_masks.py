"""The training record of the masks of knee-small 0.4.0 as a program: thinner cartilage and images closer to life.

    python examples/train_knee_small_masks.py WORK --maps ATLAS/knee

Goes on from the encoders and head of the shipped knee-small (0.3.1 when it was run), on new anatomies: procedural knees
whose cartilage is worn by up to 55 %, and completed label maps. 65 minutes of one core with bf16, and the anatomies.
Writes WORK/knee-small: the shipped bundle with new masks and its diagnosis as it was.
"""

import argparse
import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.torch import load_file

from orthodx.bundles.bundle import Bundle, open_bundle, save_bundle
from orthodx.synth.anatomy import Anatomy
from orthodx.synth.bank import write_bank
from orthodx.synth.knee.procedural import build_knee, sample_shape

MOST_WORN = 0.55  # synthetic femoral cartilage had 19.5 mL, 44 real knees 12.5
WORN = "30 procedural knees of seed 3100, cartilage worn by 0-55 % (examples/train_knee_small_masks.py)"
MAPS = "synth bank --bank -n 10 --seed 3109 --anatomy MAPS --map zanatomy --map right_knee_example"
FIT = "finetune bank --task segment --batch 2 --learning-rate 4e-4 --workers 0 --name knee-small"
STAGES = {
    "fit/knee-small/model.json": f"{FIT} --encoders knee-small --out fit --steps 1500 --seed 3122",
    "fit2/knee-small/model.json": f"{FIT} --encoders fit/knee-small --out fit2 --steps 1100 --seed 3123",
}
CODE = "25f9331"  # the training code; the anatomies were drawn by that of 6c7b1ea, whose knees are the same


def worn_knee(rng: np.random.Generator) -> Anatomy:
    """A procedural knee whose cartilage is worn evenly, by its own share."""
    shape = sample_shape(rng)
    shape["cartilage_loss"] = float(rng.uniform(0.0, MOST_WORN))
    return build_knee(shape, side="right" if rng.random() < 0.5 else "left")


def pack(work: Path) -> Bundle:
    """The shipped bundle with the new encoders and head, and its record with what made them."""
    shipped, fitted = open_bundle("knee-small"), open_bundle(work / "fit2/knee-small")
    record: list[dict[str, Any]] = list(shipped.info.training)
    record.append({"stage": "synth", "command": WORN, "code": CODE})
    for command in (MAPS, *STAGES.values()):
        record.append({"stage": command.split()[0], "command": f"orthodx {command}", "code": CODE})
    record[-1]["settings"] = fitted.info.training[-1]
    info = dataclasses.replace(
        shipped.info,
        version="0.4.0",
        training=record,
        encoders={v: shipped.info.encoders[v] for v in fitted.info.encoders},
    )
    parts = [*info.encoders.values(), *info.heads.values()]
    new = {part.file: load_file(fitted.path / part.file) for part in parts}
    return save_bundle(work / "knee-small", info, {f: load_file(shipped.path / f) for f in info.sha256} | new)


def main() -> None:
    """Run what is not there yet, then pack."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", type=Path)
    parser.add_argument("--maps", type=Path, required=True)
    options = parser.parse_args()
    work = options.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    write_bank(work / "bank", anatomies=30, seed=3100, anatomy=worn_knee)
    maps = MAPS.replace("MAPS", str(options.maps.resolve())).split()
    subprocess.run([sys.executable, "-m", "orthodx", *maps], cwd=work, check=True)
    for result, command in STAGES.items():
        if not (work / result).exists():
            subprocess.run([sys.executable, "-m", "orthodx", *command.split()], cwd=work, check=True)
    print(f"-> {pack(work).path}")


if __name__ == "__main__":
    main()
