"""Segment two images of one scan (two echoes, two contrasts on one grid) and print how far their masks agree.

    python examples/benchmarks/echo_agreement.py echo1.nii.gz echo2.nii.gz --model knee-small other-model

One anatomy has one mask: where no truth is at hand, the Dice of the two masks tells what the contrast alone changes.
"""

import argparse
import tempfile
from pathlib import Path

import orthodx
from orthodx.bundles.bundle import open_bundle
from orthodx.evaluation.overlap import dice_by_structure, on_grid_of
from orthodx.studies.nifti import read_volume


def agreement(images: list[Path], model: str, out: Path) -> dict[str, tuple[float, float, float]]:
    """Structure -> Dice of the two masks, and the volume of each, mL."""
    names = open_bundle(model).info.joint.names
    found = []
    for i, image in enumerate(images):
        (case,) = orthodx.segment([image], out / str(i), model=model, preview=False)
        found.append(read_volume(out / str(i) / f"{case.series_id}.nii.gz"))
    one, two = on_grid_of(found[0], found[1], "the two images"), found[1]
    dice = dice_by_structure(one.data, two.data, names)
    ml = abs(float(one.spacing_mm.prod())) / 1000
    volumes = [[float((v.data == value).sum()) * ml for value in names] for v in (one, two)]
    return {name: (dice[value], volumes[0][i], volumes[1][i]) for i, (value, name) in enumerate(names.items())}


def main() -> None:
    """Parse, segment, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images", type=Path, nargs=2)
    parser.add_argument("--model", nargs="+", default=["knee-small"])
    parser.add_argument("--out", type=Path, help="where masks are kept (default: nowhere)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        out = options.out or Path(scratch)
        tables = [agreement(options.images, model, out / str(i)) for i, model in enumerate(options.model)]
    print("| structure | " + " | ".join(f"{Path(model).name}: Dice (mL, mL)" for model in options.model) + " |")
    print("|---" * (1 + len(tables)) + "|")
    for name in tables[0]:
        cells = [f"{dice:.3f} ({one:.1f}, {two:.1f})" for dice, one, two in (table[name] for table in tables)]
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
