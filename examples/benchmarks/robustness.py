"""One scan, changed in ways that do not change its anatomy: how far do the masks agree with those of the scan itself?

    python examples/benchmarks/robustness.py scan.nii.gz [--model knee-small] [--out table.csv]

The scan in all 48 orders and directions of its array axes (the same place in the world), mirrored left to right, with
gamma 0.6 and 1.6, with its intensities inverted, cropped to the middle 60 % of rows and columns, and with two, or
three, slices averaged to one. The mask of the scan itself, changed in the same way, is what each is held against: no
truth is needed.
"""

import argparse
import csv
import itertools
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.orientations import apply_orientation, inv_ornt_aff

import orthodx
from orthodx.evaluation.overlap import dice_by_structure
from orthodx.studies.nifti import read_volume
from orthodx.studies.view import slice_axis
from orthodx.studies.volume import Volume, turned_like

Change = Callable[[Volume], Volume]  # of an image, and of its mask


def turned(order: tuple[int, int, int], signs: tuple[int, int, int]) -> Change:
    """The same voxels at the same places, in another order."""
    turn = np.array(list(zip(order, signs, strict=True)), float)
    return lambda v: replace(v, data=apply_orientation(v.data, turn), affine=v.affine @ inv_ornt_aff(turn, v.shape))


def mirrored(volume: Volume) -> Volume:
    """Left and right exchanged."""
    axis = int(np.abs(volume.affine[0, :3] / volume.spacing_mm).argmax())
    return replace(volume, data=np.flip(volume.data, axis))


def cropped(volume: Volume, share: float = 0.6) -> Volume:
    """The middle of rows and columns."""
    depth, first, parts = slice_axis(volume.affine, volume.shape), np.zeros(3), [slice(None)] * 3
    for axis in set(range(3)) - {depth}:
        n = round(share * volume.shape[axis])
        first[axis] = (volume.shape[axis] - n) // 2
        parts[axis] = slice(int(first[axis]), int(first[axis]) + n)
    affine = volume.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ first
    return replace(volume, data=volume.data[tuple(parts)], affine=affine)


def thicker(groups: int, labels: bool) -> Change:
    """Neighbouring slices as one: their mean, or the value that most of them have."""

    def change(volume: Volume) -> Volume:
        axis = slice_axis(volume.affine, volume.shape)
        data = np.moveaxis(volume.data, axis, 0)
        data = data[: len(data) // groups * groups].reshape(-1, groups, *data.shape[1:])
        if labels:
            values = np.unique(data)
            merged = values[np.stack([(data == value).sum(1) for value in values]).argmax(0)]
        else:
            merged = data.mean(1)
        affine = volume.affine.copy()
        affine[:3, 3] += affine[:3, axis] * (groups - 1) / 2
        affine[:3, axis] *= groups
        return replace(volume, data=np.moveaxis(merged, 0, axis), affine=affine)

    return change


def light(curve: Callable[[np.ndarray], np.ndarray]) -> Change:
    """Another curve of intensities, of 0..1."""

    def change(volume: Volume) -> Volume:
        data = volume.data.astype(np.float32)
        low, high = np.percentile(data, (0, 99.5))
        return replace(volume, data=1000 * curve(((data - low) / (high - low)).clip(0, 1)))

    return change


def changes() -> Iterator[tuple[str, Change, Change]]:
    """Name, what is done to the image, and to the mask."""
    same: Change = lambda volume: volume  # noqa: E731
    for order in itertools.permutations(range(3)):
        for signs in itertools.product((1, -1), repeat=3):
            name = "".join(f"{'+' if s > 0 else '-'}{'ijk'[a]}" for a, s in zip(order, signs, strict=True))
            yield f"turned {name}", turned(order, signs), turned(order, signs)
    yield "mirrored", mirrored, mirrored
    yield "gamma 0.6", light(lambda x: x**0.6), same
    yield "gamma 1.6", light(lambda x: x**1.6), same
    yield "inverted", light(lambda x: 1 - x), same
    yield "cropped to 60 %", cropped, cropped
    yield "2 slices as one", thicker(2, False), thicker(2, True)
    yield "3 slices as one", thicker(3, False), thicker(3, True)


def segmented(volume: Volume, model: str, name: str, names: dict[int, str]) -> Volume:
    """Its mask. `names` is filled with the joint's structures."""
    with tempfile.TemporaryDirectory() as folder:
        image, out = Path(folder) / f"{name}.nii.gz", Path(folder) / "masks"
        nib.save(nib.Nifti1Image(np.ascontiguousarray(volume.data, np.float32), volume.affine), image)
        (case,) = orthodx.segment([image], out, model=model, preview=False, workers=0)
        names |= orthodx.open_bundle(model).info.joint.names
        return replace(read_volume(out / f"{case.series_id}.nii.gz"), source=name)


def main() -> None:
    """Segment every change and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scan", type=Path)
    parser.add_argument("--model", default="knee-small")
    parser.add_argument("--only", nargs="+", default=[""], help="changes whose name begins so")
    parser.add_argument("--out", type=Path, help="CSV of every change and structure")
    options = parser.parse_args()
    volume, names, rows = read_volume(options.scan), dict[int, str](), []
    own = segmented(volume, options.model, "scan", names)
    for name, of_image, of_mask in changes():
        if not name.startswith(tuple(options.only)):
            continue
        found, wanted = segmented(of_image(volume), options.model, "changed", names), of_mask(own)
        dice = dice_by_structure(turned_like(found, wanted).data, wanted.data, names)
        rows.append({"change": name, **{names[value]: f"{one:.4f}" for value, one in dice.items()}})
        print(name, *(f"{key} {value}" for key, value in rows[-1].items() if key != "change"), flush=True)
    if options.out:
        with options.out.open("w", newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)


if __name__ == "__main__":
    main()
