"""What can be asked of `synth`."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from pathlib import Path

from orthodx.joints import View
from orthodx.requests.request import Request


@dataclass(frozen=True)
class SynthRequest(Request):
    """Synthetic studies with their truth, or anatomies to train on.

    out: folder to write. joint: which; else that of the bank in `anatomy`, or the knee. studies: patients, three
    series each; anatomies of a bank. bank: write anatomies for training instead of studies. anatomy: folder of label
    maps (.nii.gz), or a bank, instead of procedural joints. maps: only these maps of the folder. centers: only these
    synthetic centers. formats: "nifti" and "dicom". lesions: injured joints, with labels, health records and lesion
    masks. prevalence: share of injured or worn ones. views: write only these. visits: studies of each patient, in
    order of time. cartilage_loss: share of its thickness that cartilage has lost at the last visit. workers:
    processes. seed: study i of a seed is always the same. resume: keep studies that are there.
    """

    out: Path
    _: KW_ONLY
    joint: str | None = None
    studies: int = 3
    bank: bool = False
    anatomy: Path | None = None
    maps: tuple[str, ...] = ()
    centers: tuple[str, ...] = ()
    formats: tuple[str, ...] = ("nifti",)
    lesions: bool = False
    prevalence: float | None = None
    views: tuple[View, ...] = ()
    visits: int = 1
    cartilage_loss: float = 0.0
    workers: int = 1
    seed: int = 0
    resume: bool = False
