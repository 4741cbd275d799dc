"""How long until each command says its first word?

    orthodx synth studies --lesions -n 2
    python examples/benchmarks/first_line.py studies [--runs 3]

STUDIES: a folder of `orthodx synth --lesions`, read and learned from as it is. A command is stopped once it has said
something on either stream. Prints, a line a command, the median by the clock and the first line.
"""

import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

COMMANDS = {
    "convert": "{studies} --out {out}",
    "synth": "{out} -n 1",
    "pretrain": "{studies} --view sagittal --out {out}",
    "finetune": "{studies} --encoders knee-small --out {out}",
    "finetune --task diagnose": "{studies} --encoders knee-small --probe --out {out}",
    "segment": "{studies} --out {out}",
    "diagnose": "{studies} --out {out}.csv",
    "evaluate": "--predictions {studies}/labels.csv --labels {studies}/labels.csv --out {out}",
    "transfer": "{studies} --from knee-small --joint knee --probe --out {out}",
    "followup": "--masks {studies}/truth --manifest {studies}/manifest.csv --out {out}",
    "models list": "",
}


def first_line(words: list[str]) -> tuple[float, str]:
    """Seconds, and the line; the command is killed then."""
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "orthodx", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    assert process.stdout is not None
    said = os.read(process.stdout.fileno(), 4096).decode(errors="replace")
    took = time.perf_counter() - began
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    return took, next((line for line in said.splitlines() if line.strip()), "")


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("studies", type=Path)
    parser.add_argument("--runs", type=int, default=3)
    given = parser.parse_args()
    print("| command | s | first line |\n|---|---|---|")
    for name, options in COMMANDS.items():
        runs = []
        for _ in range(given.runs):
            with tempfile.TemporaryDirectory() as scratch:
                words = options.format(studies=given.studies, out=f"{scratch}/out")
                runs.append(first_line([*name.split()[:1], *words.split(), *name.split()[1:]]))
        print(f"| {name} | {statistics.median(t for t, _ in runs):.1f} | {runs[-1][1][:90]} |", flush=True)


if __name__ == "__main__":
    main()
