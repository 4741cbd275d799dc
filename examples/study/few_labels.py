"""Does diffusion pretraining pay where labels are few? The whole study, from anatomies to a table, as one command.

    python examples/study/few_labels.py WORK [--size small|full]

Unlabelled synthetic knees pretrain an encoder a view. N patients with masks, always the same ones for a seed and a
smaller N a part of a larger one, teach each arm until masks of further patients get no better:

    tuned     the pretrained encoder and a head, all of it trained
    frozen    the pretrained encoder as it is, and a head
    scratch   the same network from noise
    tuned3, scratch3  the same with three times the steps
    dynunet   MONAI's DynUNet (nnU-Net) from noise

Patients of other anatomies test, from six centers, two of which no training saw. Each step is commands of orthodx; a
stopped study goes on when this one is given again, and several processes with one WORK share the fits. The results are
WORK/scores/<arm>-<count>-seed<seed>: reports of `orthodx evaluate`, which few_labels_table.py puts together.
"""

import argparse
import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

KNOWN = ("Harbour", "Meadow", "Northgate", "Outpost")  # the centers that train; Riverside and Uplands only test
ARMS = {
    "tuned": "--encoders pretrained",
    "frozen": "--encoders pretrained --probe",
    "scratch": "--from-scratch",
    "tuned3": "--encoders pretrained",
    "scratch3": "--from-scratch",
    "dynunet": "--from-scratch --encoder dynunet --head linear_segment",
}
LONGER = 3  # times the steps


@dataclass(frozen=True, kw_only=True)
class Size:
    """How large a study is. Lengths in mm, crops as slices, rows, columns; counts: labelled patients."""

    views: tuple[str, ...]
    pixel_mm: float
    crop: str
    unlabelled: int
    pretraining: int
    labelled: int
    validating: int
    testing: int
    counts: tuple[int, ...] = (4, 8, 2, 32, 16, 64)  # what matters most first, for those who stop it
    seeds: int = 3
    steps: int


SIZES = {
    "small": Size(
        views=("sagittal",), pixel_mm=2, crop="12 48 48", unlabelled=48, pretraining=4000, labelled=64, validating=8,
        testing=48, steps=1000,
    ),
    "full": Size(
        views=("sagittal", "coronal", "axial"), pixel_mm=1, crop="16 96 96", unlabelled=256, pretraining=60_000,
        labelled=64, validating=16, testing=200, steps=6000,
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Step:
    """Commands of orthodx, said one after the other."""

    name: str
    commands: tuple[str, ...]

    def do(self, work: Path, *, wait: bool) -> None:
        """Run it if it was not done yet. wait: for another process that is at it; else it is left to that one."""
        done = work / ".steps" / self.name
        done.parent.mkdir(parents=True, exist_ok=True)
        with done.with_suffix(".lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                return
            if done.exists():
                return
            for command in self.commands:
                print(f"orthodx {command}", flush=True)
                subprocess.run([sys.executable, "-m", "orthodx", *command.split()], cwd=work, check=True)
            done.touch()


def cohorts(size: Size) -> Iterator[Step]:
    """Anatomies without labels, and patients with masks who train, validate and test, all of different anatomies."""
    views = " ".join(f"--view {view}" for view in size.views)
    known = " ".join(f"--center {name}" for name in KNOWN)
    yield Step("unlabelled", (f"synth unlabelled --bank -n {size.unlabelled} --seed 9501 --resume --quiet",))
    for name, patients, seed, centers in (
        ("validation", size.validating, 9512, known),
        ("train", size.labelled, 9511, known),
        ("test", size.testing, 9513, ""),
    ):
        yield Step(name, (f"synth {name} --studies {patients} --seed {seed} {centers} {views} --resume --quiet",))


def pretraining(size: Size) -> Iterator[Step]:
    """An encoder a view, from noise, and the bundle of them."""
    for view in size.views:
        yield Step(
            f"pretrained-{view}",
            (
                f"pretrain unlabelled --view {view} --pixel-mm {size.pixel_mm:g} --crop {size.crop} --batch 8 "
                f"--steps {size.pretraining} --learning-rate 1e-3 --sample-every {size.pretraining // 4} --seed 9502 "
                f"--workers 0 --out pretrained-{view} --resume --quiet",
            ),
        )
    runs = " ".join(f"pretrained-{view}" for view in size.views)
    yield Step("pretrained", (f"models pack {runs} --out pretrained --name few-labels-pretrained",))


def fits(size: Size, arms: Sequence[str], seeds: Sequence[int], counts: Sequence[int]) -> Iterator[Step]:
    """Every arm, number of labelled patients and seed: trained, and its masks and scores of those who test."""
    views = " ".join(f"--view {view}" for view in size.views)
    for seed in seeds:
        for count in counts:
            for arm in arms:
                name, steps = f"{arm}-{count}-seed{seed}", size.steps * (LONGER if arm.endswith("3") else 1)
                yield Step(
                    name,
                    (
                        f"finetune train {ARMS[arm]} --label-fraction {count / size.labelled:g} {views} "
                        f"--pixel-mm {size.pixel_mm:g} --crop {size.crop} --batch 4 --steps {steps} "
                        f"--validation validation --validate-every 50 --validation-samples 24 --patience 6 "
                        f"--seed {seed} --workers 0 --name {name} --out fits/{name} --resume --quiet",
                        f"segment test --model fits/{name}/{name} --out masks/{name} --no-preview --resume --quiet",
                        f"evaluate --masks masks/{name} --truth test/truth --manifest test/manifest.csv "
                        f"--by center,field_strength --resamples 200 --worst 0 --out scores/{name} --resume --quiet",
                    ),
                )


def main() -> None:
    """Run what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--arm", nargs="+", choices=ARMS, default=list(ARMS), help="only these")
    parser.add_argument("--seed", type=int, nargs="+", help="only these")
    parser.add_argument("--count", type=int, nargs="+", help="only these numbers of labelled patients")
    options = parser.parse_args()
    work, size = options.work.resolve(), SIZES[options.size]
    work.mkdir(parents=True, exist_ok=True)
    os.environ["OMP_NUM_THREADS"] = os.environ.get("OMP_NUM_THREADS", str(os.cpu_count()))
    first = [*cohorts(size), *(pretraining(size) if any("--encoders" in ARMS[arm] for arm in options.arm) else ())]
    for step in first:
        step.do(work, wait=True)
    for step in fits(size, options.arm, options.seed or range(size.seeds), options.count or size.counts):
        step.do(work, wait=False)


if __name__ == "__main__":
    main()
