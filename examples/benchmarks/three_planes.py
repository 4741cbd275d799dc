"""What does reading a 3D series in three planes gain, and up to which slice thickness?

    orthodx synth bank --bank -n 6 --seed 9177 --anatomy MAPS --map dess_real_10labels --map t2_label
    python examples/benchmarks/three_planes.py bank [--slices 0.7,1.5,2,3] [--model knee-small]

Each anatomy of the bank is deformed and imaged once a thickness, as a volume of 160 mm with pixels of 0.5 mm, by a
sequence set at random. Prints the mean Dice of each structure: series read in their own plane -> in three planes.
"""

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch

from orthodx.bundles.bundle import open_bundle
from orthodx.evaluation.overlap import dice_by_structure
from orthodx.grid.canonical import to_grid
from orthodx.inference.decision import mask_of
from orthodx.inference.predict import Segmenter
from orthodx.inference.sights import Sight, in_all_planes
from orthodx.joints import Joint, View
from orthodx.studies.volume import Volume
from orthodx.synth.anatomy_bank import AnatomyBank
from orthodx.synth.deformation import random_deformation
from orthodx.synth.grammar import synthetic
from orthodx.synth.scanner import make_plane, render, sample_scan
from orthodx.synth.signals import random_sequence_signal

FIELD_MM, DEPTH_MM, PIXEL_MM = 160, 110, 0.5


def imaged(
    tissues: np.ndarray, affine: np.ndarray, view: View, slice_mm: float, seed: int
) -> tuple[Volume, np.ndarray]:
    """A volume of an anatomy and its truth, array axes (slice, row, column)."""
    rng, made = np.random.default_rng(seed), synthetic("knee")
    shape = (round(DEPTH_MM / slice_mm), round(FIELD_MM / PIXEL_MM), round(FIELD_MM / PIXEL_MM))
    plane = make_plane(view, shape, (slice_mm, PIXEL_MM), slice_mm, np.zeros(3), tuple(rng.normal(0, 4, 3)))
    params = sample_scan(rng, plane, random_sequence_signal(rng, made.tissues), float(rng.uniform(0.01, 0.05)))
    image, truth = render(torch.from_numpy(np.array(tissues)), affine, params, random_deformation(rng), made.tissues)
    return Volume((image.numpy() * 1000).astype(np.float32), plane.affine, Path("synthetic")), truth.numpy()


def masks(segmenter: Segmenter, volume: Volume, view: View, joint: Joint) -> dict[str, np.ndarray]:
    """Way -> labels on the volume's grid."""
    grid = to_grid(volume, segmenter.grid, view)
    own = Sight("", grid, segmenter(grid))
    found = {"own plane": own, "three planes": in_all_planes(segmenter, own, volume)}
    return {
        way: mask_of(sight.prediction.probabilities, grid, volume, joint, several=sight.planes > 1)
        for way, sight in found.items()
    }


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bank", type=Path)
    parser.add_argument("--model", default="knee-small")
    parser.add_argument("--slices", default="0.7,1.5,2,3", help="mm")
    given = parser.parse_args()
    segmenter, bank = Segmenter(open_bundle(given.model), torch.device("cpu")), AnatomyBank(given.bank)
    joint = segmenter.bundle.info.joint
    print("| structure | " + " | ".join(f"{mm} mm" for mm in given.slices.split(",")) + " |")
    cells: dict[str, list[str]] = defaultdict(list)
    for mm in map(float, given.slices.split(",")):
        dice: dict[tuple[str, str], list[float]] = defaultdict(list)
        for i in range(len(bank)):
            view = list(View)[i % 3]
            volume, truth = imaged(*bank[i], view, mm, seed=i)
            for way, labels in masks(segmenter, volume, view, joint).items():
                for value, score in dice_by_structure(labels, truth, joint.names).items():
                    if (truth == value).sum() > 100:
                        dice[way, joint.names[value]].append(score)
        for name in joint.names.values():
            one, three = (np.mean(dice[way, name]) for way in ("own plane", "three planes"))
            cells[name].append(f"{one:.3f} -> {three:.3f}")
    for name, row in cells.items():
        print(f"| {name} | {' | '.join(row)} |")


if __name__ == "__main__":
    main()
