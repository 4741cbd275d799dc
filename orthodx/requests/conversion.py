"""What can be asked of `convert`."""

from __future__ import annotations

import os
from dataclasses import KW_ONLY, dataclass
from pathlib import Path

from orthodx.requests.request import Request

CORES = min(4, os.cpu_count() or 1)


@dataclass(frozen=True)
class ConvertRequest(Request):
    """Verified NIfTI of DICOM.

    dicom: folders of any depth, files or zips. out: folder of images, sidecars and tables. site_map: CSV that names
    centers. key: key file of the ids, outside `out`. link: file that tells what each id stands for, private, outside
    `out`. descriptions: copy series descriptions, free text, into the manifest. workers: processes; 0 always works.
    resume: keep what an earlier run finished. shard: "I/N", this run's share of the studies; all N write into one
    `out`.
    """

    dicom: tuple[Path, ...]
    out: Path
    _: KW_ONLY
    site_map: Path | None = None
    key: Path | None = None
    link: Path | None = None
    descriptions: bool = False
    workers: int = CORES
    resume: bool = False
    shard: str | None = None
