"""The first thing to run: make one synthetic patient, segment the three series, show where the pictures are."""

import subprocess
import sys
from pathlib import Path

OUT = Path("first_knee")


def orthodx(*arguments: object) -> None:
    """Run the command line tool of this very Python."""
    line = [sys.executable, "-m", "orthodx", *map(str, arguments)]
    print("$ orthodx", *arguments, flush=True)
    subprocess.run(line, check=True)


if __name__ == "__main__":
    orthodx("synth", OUT / "study", "--studies", 1, "--seed", 2026, "--resume")
    orthodx("segment", OUT / "study", "--out", OUT / "masks", "--resume")
    print("Look at:")
    for picture in sorted((OUT / "masks" / "previews").glob("*.png")):
        print(f"  {picture}")
