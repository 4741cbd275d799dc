"""The files of `segment`: where they lie, whose they are, and which are those of an earlier run."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orthodx.errors import UsageError
from orthodx.inference.fuse_views import beside
from orthodx.inference.study_measures import StudyMeasurer
from orthodx.requests import SegmentRequest
from orthodx.studies.identity import whereabouts
from orthodx.studies.keys import file_name
from orthodx.studies.manifest import MANIFEST
from orthodx.studies.receipts import Receipts
from orthodx.studies.run_record import content_of
from orthodx.studies.series import Series
from orthodx.studies.study import Study

FORMATS = {"nifti": ".nii.gz", "dicom-seg": ".seg.dcm"}


@dataclass(frozen=True, eq=False)
class SegmentFiles:
    """Of one run. studies: all that were found."""

    request: SegmentRequest
    receipts: Receipts
    studies: Sequence[Study]

    def spare_images(self, series: Sequence[Series]) -> None:
        """Raise `UsageError` where a result would be written over an image, or into the folder of a cohort."""
        if (self.request.out / MANIFEST).is_file():
            raise UsageError(
                f"--out: {self.request.out} holds a cohort, whose record stays", hint="choose another folder"
            )
        images = {os.path.realpath(one.path) for one in series}
        for path in (path for one in series for path in self.of(one)):
            if os.path.realpath(path) in images:
                raise UsageError(f"--out: {path} is there and is no result of ours", hint="choose another folder")

    def spare_others(self, series: Sequence[Series], measurer: StudyMeasurer) -> None:
        """Raise `UsageError` where a result would be written over what no run of ours wrote, or over another image's.

        An image that has changed where it lies is the same one; of one name, but elsewhere and of other content, it is
        another.
        """
        for study in {one.study_id for one in series} if self.request.preview else ():
            if (path := measurer.picture(study)).exists() and not measurer.receipts.owns(study, path):
                raise UsageError(f"--out: {path} is there and is no result of ours", hint="choose another folder")
        for one in series:
            for path in self.of(one):
                if path.exists() and not self.receipts.owns(one.series_id, path):
                    raise UsageError(f"--out: {path} is there and is no result of ours", hint="choose another folder")
            before, at = self.receipts.result(one.series_id), whereabouts(one.path)
            moved = before is not None and one.stack is None and at and before.get("at") not in ("", None, at)
            if moved and self.receipts.made_from(one.series_id).get("input") != content_of(one):
                raise UsageError(
                    f"--out: '{one.series_id}' in {self.request.out} is the result of another image of that name",
                    hint="choose another folder, or name the images in a manifest.csv",
                )

    def finished(self, series: Series) -> dict[str, Any] | None:
        """What an earlier run kept of a case, if model, view and input are the same and all files asked for whole."""
        kept: dict[str, Any] | None = self.receipts.find(series.series_id, self.made_from(series))
        if kept is None or not set(self.asked()) <= set(kept["asked"]):
            return None
        if any(row["voxels"] and "voxel_mm" not in row for row in kept["volumes"]):  # of a version that measured less
            return None
        if kept.get("planes") is None:  # of a version that read 3D series in one plane
            return None
        return {name: value for name, value in kept.items() if name not in ("at", "asked", "source")}

    def asked(self) -> list[str]:
        """What is written of a case, beside tables."""
        return [*self.request.formats, *(["preview"] if self.request.preview else [])]

    def made_from(self, series: Series) -> dict[str, Any]:
        """What a case's files depend on, beside the model."""
        own = {"input": content_of(series), "view": str(series.view)}
        if not self.request.fuse_views:
            return own
        return {**own, "beside": sorted(content_of(one) for one in beside(series, self.studies))}

    def written(self, series: Series) -> list[Path]:
        """Of its files those that are there."""
        return [path for path in self.of(series) if path.is_file()]

    def mask(self, series: Series, kind: str) -> Path:
        """A series' mask in one of `FORMATS`."""
        return self.request.out / f"{series.file_name}{FORMATS[kind]}"

    def nifti(self, series_id: str) -> Path:
        """The NIfTI mask of a series of that id."""
        return self.request.out / f"{file_name(series_id)}{FORMATS['nifti']}"

    def preview(self, series: Series) -> Path:
        """Its picture."""
        return self.request.out / "previews" / f"{series.file_name}.png"

    def of(self, series: Series) -> list[Path]:
        """All files that a case may have."""
        masks = [self.mask(series, kind) for kind in self.request.formats]
        return [*masks, self.preview(series)] if self.request.preview else masks
