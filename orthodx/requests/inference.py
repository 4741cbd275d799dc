"""What can be asked of `segment` and `diagnose`."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from pathlib import Path

from orthodx.joints import View
from orthodx.requests.grouping import GroupBy
from orthodx.requests.request import Request


@dataclass(frozen=True)
class SegmentRequest(Request):
    """Masks of studies.

    studies: manifests, folders of DICOM or NIfTI, files. out: folder of results. model: a shipped model's name, or a
    bundle folder; without it the shipped one of `joint` (a name or a file), or of the joint that the studies name.
    view: read every series as this view. only: table of the study_id that are read, of all there. group_by: what makes
    NIfTI files without a manifest one study. fuse_views: average the series of a study where they overlap. fast: one
    look at each series, in its own plane, which says nothing of quality. preview: draw pictures. formats: of the masks,
    "nifti" and "dicom-seg". device: "auto", "cpu", "cuda", "cuda:N" or "mps". workers: images read in advance; 0 for
    none. resume: keep finished cases of earlier runs with the same model, view and inputs. shard: "I/N", this run's
    share of the studies; all N write into one `out`. keep_paths: name inputs in tables and record by their paths.
    """

    studies: tuple[Path, ...]
    out: Path
    _: KW_ONLY
    model: str | Path | None = None
    joint: str | Path | None = None
    view: View | None = None
    only: Path | None = None
    group_by: GroupBy | None = None
    fuse_views: bool = False
    fast: bool = False
    formats: tuple[str, ...] = ("nifti",)
    preview: bool = True
    device: str = "auto"
    workers: int = 1
    resume: bool = False
    shard: str | None = None
    keep_paths: bool = False


@dataclass(frozen=True)
class DiagnoseRequest(Request):
    """Probabilities of abnormalities of studies.

    studies: manifests, folders of DICOM or NIfTI, files. out: a CSV, or a folder (there, or with a slash at its end)
    for `predictions.csv`. model: a shipped model's name, or a bundle folder; without it the shipped one of `joint` (a
    name or a file), or of the joint that the studies name. ehr: table of health records, a row a study. explain: folder
    for what each view and the record counted, and pictures. view: read every series as this view. only: table of the
    study_id that are read, of all there. group_by: what makes NIfTI files without a manifest one study. device: "auto",
    "cpu", "cuda", "cuda:N" or "mps". workers: images read in advance; 0 for none. resume: keep finished studies of
    earlier runs with the same model, series and record. shard: "I/N", this run's share of the studies; all N write into
    one `out`. keep_paths: name inputs in tables and record by their paths.
    """

    studies: tuple[Path, ...]
    out: str | Path
    _: KW_ONLY
    model: str | Path | None = None
    joint: str | Path | None = None
    ehr: Path | None = None
    explain: Path | None = None
    view: View | None = None
    only: Path | None = None
    group_by: GroupBy | None = None
    device: str = "auto"
    workers: int = 1
    resume: bool = False
    shard: str | None = None
    keep_paths: bool = False
