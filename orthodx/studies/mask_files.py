"""Masks in a folder, found by their series."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path

import numpy as np

from orthodx.errors import StudyError
from orthodx.studies.keys import file_name
from orthodx.studies.nifti import is_nifti, read_volume
from orthodx.studies.series import Series
from orthodx.studies.volume import Volume

TRUTH, NNUNET_TRUTH = "truth", "labelsTr"
VOLUMES = "volumes.csv"  # lies beside the masks that `segment` writes


def stem_of(path: Path) -> str:
    """The name of a NIfTI file without its ending."""
    return re.sub(r"\.nii(\.gz)?$", "", path.name, flags=re.IGNORECASE)


def files_by_name(folder: Path) -> dict[str, Path]:
    """`file_name` -> NIfTI file of a folder, so that a mask is found by its series, however it spells the id.

    Raises `StudyError` where two files have one name, as `knee.nii` and `knee.nii.gz`.
    """
    return _listed(folder, folder.stat().st_mtime_ns) if folder.is_dir() else {}


def read_labels_file(path: Path) -> Volume:
    """A label map, (I, J, K) uint8; raises `StudyError` for values that are no labels."""
    volume = read_volume(path)
    values = volume.data.astype(np.uint8)
    if not np.array_equal(values, volume.data):
        raise StudyError(
            f"{path.parent.name}/{path.name}: holds values that are no labels (0 to 255)",
            hint="give a label map, not an image or probabilities",
        )
    return Volume(values, volume.affine, volume.source, volume.codes)


def truth_of(study: Path, series: Series) -> Path | None:
    """The true mask of a series: in a folder `truth` of its study, or beside it, or in nnU-Net's `labelsTr`."""
    roots = (study, study.parent)
    places = [root / TRUTH for root in roots] + [root / NNUNET_TRUTH for root in (*roots, series.path.parent.parent)]
    return next((file for place in places if (file := files_by_name(place).get(series.file_name))), None)


@lru_cache(maxsize=32)
def _listed(folder: Path, changed: int) -> dict[str, Path]:
    files = (p for p in sorted(folder.iterdir()) if is_nifti(p) and not p.name.startswith(".") and p.is_file())
    out: dict[str, Path] = {}
    for path in files:
        name = file_name(stem_of(path))
        if name in out:
            raise StudyError(f"{folder}: holds {out[name].name} and {path.name}", hint="keep the one that counts")
        out[name] = path
    return out
