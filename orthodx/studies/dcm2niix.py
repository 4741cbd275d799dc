"""The second converter, dcm2niix (extra `dicom`): run on one stack, its doubts taken as refusals."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from functools import lru_cache
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import nibabel as nib
import numpy as np

from orthodx.errors import StudyError
from orthodx.studies.grouping import Stack

_FLAGS = ("-p", "n", "-b", "n", "-c", "", "-i", "n", "-z", "n", "-f", "volume")
_DOUBTS = ("Interslice distance varies", "Missing images", "not stacked", "slices may be missing")
_SECONDS = 600


def available() -> bool:
    """Whether the wheel that carries the program is installed."""
    return find_spec("dcm2niix") is not None


@lru_cache(maxsize=1)
def version() -> str:
    """Version of the wheel."""
    return metadata.version("dcm2niix")


def convert(stack: Stack, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Voxels and affine, not yet verified; raises `StudyError` for errors, doubts and extra outputs."""
    import dcm2niix

    with tempfile.TemporaryDirectory(prefix="orthodx-") as temporary:
        source, target = Path(temporary) / "in", Path(temporary) / "out"
        source.mkdir()
        target.mkdir()
        for k, file in enumerate(stack.files):
            with file.open() as stream, (source / f"{k:06d}.dcm").open("wb") as copy:
                shutil.copyfileobj(stream, copy)
        try:
            done = subprocess.run(
                [dcm2niix.bin, *_FLAGS, "-o", str(target), str(source)],
                capture_output=True, text=True, errors="replace", timeout=_SECONDS, check=False,
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired) as error:
            raise StudyError(f"{name}: dcm2niix did not finish") from error
        made = sorted(target.iterdir())
        doubt = next((d for d in _DOUBTS if d in done.stdout + done.stderr), None)
        if doubt:
            raise StudyError(f"{name}: dcm2niix doubts the series ({doubt})")
        if done.returncode or not made:
            raise StudyError(f"{name}: dcm2niix refused the series (exit code {done.returncode})")
        if [m.name for m in made] != ["volume.nii"]:
            raise StudyError(f"{name}: dcm2niix made {len(made)} images of it, or an interpolated or tilted one")
        try:
            image = nib.Nifti1Image.from_bytes(made[0].read_bytes())  # no map of a file about to vanish
            return np.asarray(image.dataobj), np.asarray(image.affine, float)
        except Exception as error:
            raise StudyError(f"{name}: dcm2niix made an unreadable image") from error
