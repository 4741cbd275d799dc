"""Where do masks go wrong: how far from the true boundary do the voxels lie that are painted wrongly, or missed?

    python examples/benchmarks/error_distance.py COHORT MASKS

COHORT is a folder written by `orthodx synth` (truth/), MASKS what `orthodx segment` made of it. Per structure, in
shares of its true volume and as means over series: painted beside it, and missed, up to 0.6, 1.2, 2.5 mm from it in the
plane of the slice, and further. The table is Markdown.
"""

import argparse
from pathlib import Path

import numpy as np
from scipy import ndimage

from orthodx.evaluation.overlap import on_grid_of
from orthodx.joints import KNEE
from orthodx.studies.nifti import read_volume
from orthodx.studies.view import slice_axis

LIMITS_MM = (0.6, 1.2, 2.5)
LEAST_MM3 = 100.0  # a structure of which the field of view holds less is not scored, as in segment_dice.py


def within_slices_mm(outside: np.ndarray, spacing: np.ndarray, across: int) -> np.ndarray:
    """Distance of each voxel of (I, J, K) bool to the nearest one that is not `outside`, in its own slice."""
    out = np.full(outside.shape, np.inf)
    mm = np.delete(spacing, across)
    for k in range(outside.shape[across]):
        plane = (slice(None),) * across + (k,)
        if not outside[plane].all():
            out[plane] = ndimage.distance_transform_edt(outside[plane], sampling=mm)
    return out


def shares(wrong: np.ndarray, away: np.ndarray, volume: int) -> list[float]:
    """Of `wrong` voxels, by how far away they are, relative to a volume in voxels."""
    counts = np.bincount(np.digitize(away[wrong], LIMITS_MM, right=True), minlength=len(LIMITS_MM) + 1)
    return [float(n) / volume for n in counts]


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cohort", type=Path)
    parser.add_argument("masks", type=Path)
    options = parser.parse_args()
    rows: dict[int, list[list[float]]] = {value: [] for value in KNEE.names}
    for path in sorted(options.masks.glob("*.nii.gz")):
        truth = read_volume(options.cohort / "truth" / path.name)
        found = np.asarray(on_grid_of(read_volume(path), truth, path.stem).data)
        true, spacing = np.asarray(truth.data), truth.spacing_mm
        across = slice_axis(truth.affine, truth.shape)
        for value in KNEE.names:
            inside, painted = true == value, found == value
            volume = int(inside.sum())
            if volume * truth.voxel_mm3 < LEAST_MM3:
                continue
            beside = shares(painted & ~inside, within_slices_mm(~inside, spacing, across), volume)
            missed = shares(inside & ~painted, within_slices_mm(~painted, spacing, across), volume)
            rows[value].append(beside + missed)
    heads = [*(f"<= {mm}" for mm in LIMITS_MM), "further"]
    print("| structure | " + " | ".join([f"beside {h}" for h in heads] + [f"missed {h}" for h in heads]) + " |")
    print("|" + "---|" * (1 + 2 * len(heads)))
    for value, name in KNEE.names.items():
        print(f"| {name} | " + " | ".join(f"{share:.2f}" for share in np.mean(rows[value], axis=0)) + " |")


if __name__ == "__main__":
    main()
