"""The training record of the masks of knee-small 0.7.0 as a program: injured knees, cartilage that ends early; a mean.

    python examples/train_knee_small_masks.py WORK --maps ATLAS/knee

Goes on from the encoders and head of the shipped knee-small (0.6.0 when it was run), on new anatomies: procedural knees
whose cartilage is worn evenly and in patches, completed label maps, injuries and effusions of both, and from the
3,600th step on knees whose cartilage ends early, too; takes the mean of the weights before and after, which keeps what
each does best (Wortsman 2022); then learns what it knows. Of one core of an AMD EPYC (Zen 5) anatomies take 15 minutes,
training 93 with other work beside it, known studies 5, calibration 11. Writes WORK/knee-small: the shipped bundle with
new masks and its diagnosis as it was. (The records of 0.4.0, 0.5.0 and 0.6.0: this file at commits d645c28, 1ada8ed and
656c0a1.)
"""

import argparse
import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file

from orthodx.bundles.bundle import Bundle, open_bundle, save_bundle
from orthodx.joints import KNEE
from orthodx.synth.anatomy import Anatomy
from orthodx.synth.bank import write_bank
from orthodx.synth.knee.procedural import build_knee, sample_shape

MOST_WORN = 0.5  # synthetic femoral cartilage had 19.5 mL, 44 real knees 12.5
PATCHY = 0.5  # share of knees whose cartilage is worn in patches too
BARE = {"front": 40.0, "back": 25.0, "medial": 0.7, "lateral": 0.7, "rim": 0.22, "patella": 0.4}  # the most of each
WORN = "30 procedural knees of seed 9300, cartilage worn evenly and in patches (examples/train_knee_small_masks.py)"
ENDS = "36 procedural knees of seed 9340, whose cartilage also ends early (examples/train_knee_small_masks.py)"
MAPS = "synth bank --bank -n 12 --seed 9309 --workers 2 --anatomy MAPS --map zanatomy --map right_knee_example"
INJURED = "--bank --lesions --prevalence 0.85 --workers 2"
FIT = "--task segment --batch 2 --learning-rate 4e-4 --name knee-small --workers 0"
MEAN = "the mean of the weights of 0.6.0 (1/2), fit and fit2 (1/4 each; examples/train_knee_small_masks.py)"
STAGES = {
    "hurt/knee-9331-0083.npy": f"synth hurt -n 84 --anatomy bank --seed 9331 {INJURED}",
    "fit/knee-small/model.json": (
        f"finetune bank hurt {FIT} --encoders knee-small --out fit --steps 4500 --stop-at 3600 --seed 9322"
    ),
    "hurtbare/knee-9342-0047.npy": f"synth hurtbare -n 48 --anatomy bare --seed 9342 {INJURED}",
    "fit2/knee-small/model.json": (
        f"finetune bank hurt bare hurtbare {FIT} --encoders fit/knee-small --out fit2 --steps 2000 --seed 9343"
    ),
    "kbank/knee-4100-0013.npy": "synth kbank --bank -n 14 --seed 4100",
    "kfit/manifest.csv": "synth kfit --lesions -n 60 --seed 4121 --anatomy kbank",
    "known/model.json": "models calibrate mean/knee-small kfit --out known --seed 4100",
}
# The commits whose code ran: the first training, the second, calibration.
FIRST, CODE, LAST = "656c0a1", "173a311", "00b9328"


def worn_shape(rng: np.random.Generator) -> dict[str, float]:
    """The shape of a procedural knee whose cartilage is worn by its own share, and in patches."""
    shape = sample_shape(rng)
    shape["cartilage_loss"] = float(rng.uniform(0.0, MOST_WORN))
    if rng.random() < PATCHY:
        shape["worn_patches"] = float(rng.uniform(0.3, 1.0))
    return shape


def either_side(shape: dict[str, float], rng: np.random.Generator) -> Anatomy:
    """The knee of a shape, right or left."""
    return build_knee(shape, side="right" if rng.random() < 0.5 else "left")


def worn_knee(rng: np.random.Generator) -> Anatomy:
    """A procedural knee whose cartilage is worn."""
    return either_side(worn_shape(rng), rng)


def bare_knee(rng: np.random.Generator) -> Anatomy:
    """A procedural knee whose cartilage is worn, and ends early here and there."""
    shape = worn_shape(rng)
    for where, most in BARE.items():
        if rng.random() < 0.5:
            shape[f"bare_{where}"] = float(rng.uniform(0.0, most))
    return either_side(shape, rng)


def average(work: Path) -> Bundle:
    """The weights of the masks half-way between those that are shipped and the mean of those that were fitted."""
    after = open_bundle(work / "fit2/knee-small")
    folders = {open_bundle("knee-small").path: 0.5, work / "fit/knee-small": 0.25, after.path: 0.25}
    weights = {}
    for file in after.info.sha256:
        parts = [(share, load_file(folder / file)) for folder, share in folders.items()]
        names = parts[0][1]
        mean = {name: torch.stack([share * part[name].float() for share, part in parts]).sum(0) for name in names}
        weights[file] = {name: value.half() for name, value in mean.items()}
    return save_bundle(work / "mean/knee-small", dataclasses.replace(after.info, joint=KNEE), weights)


def pack(work: Path) -> Bundle:
    """The shipped bundle with the new encoders and head, what they know of themselves, and the record of all."""
    shipped, fitted = open_bundle("knee-small"), open_bundle(work / "known")
    record: list[dict[str, Any]] = [*shipped.info.training, {"stage": "synth", "command": WORN, "code": FIRST}]
    settings = {one["stage"].split()[0]: one for one in fitted.info.training}
    code = FIRST
    for command in (MAPS, *STAGES.values()):
        stage = command.split()[1] if command.startswith("models") else command.split()[0]
        told: dict[str, Any] = {"stage": stage, "command": f"orthodx {command}", "code": code}
        if stage == "calibrate" or "--out fit2" in command:
            told |= {"settings": settings[stage]}
        record.append(told)
        if "--out fit " in command:
            code = CODE
            record.append({"stage": "synth", "command": ENDS, "code": code})
        if "--out fit2" in command:
            record.append({"stage": "mean", "command": MEAN, "code": code})
            code = LAST
    info = dataclasses.replace(
        shipped.info,
        version="0.7.0",
        joint=KNEE,
        training=record,
        encoders={v: shipped.info.encoders[v] for v in fitted.info.encoders},
        familiarity={**shipped.info.familiarity, **fitted.info.familiarity},
        quality=fitted.info.quality,
    )
    parts = [*info.encoders.values(), *info.heads.values(), *fitted.info.familiarity.values()]
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
    write_bank(work / "bank", anatomies=30, seed=9300, anatomy=worn_knee, workers=2)
    write_bank(work / "bare", anatomies=36, seed=9340, anatomy=bare_knee, workers=2)
    maps = MAPS.replace("MAPS", str(options.maps.resolve())).split()
    subprocess.run([sys.executable, "-m", "orthodx", *maps], cwd=work, check=True)
    for result, command in STAGES.items():
        if "mean/" in command:
            average(work)
        if not (work / result).exists():
            subprocess.run([sys.executable, "-m", "orthodx", *command.split()], cwd=work, check=True)
    print(f"-> {pack(work).path}")


if __name__ == "__main__":
    main()
