"""The files of `segment`: where they lie, whose they are, and which are those of an earlier run."""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from orthodx.errors import OrthodxError, UsageError
from orthodx.inference.fuse_views import beside
from orthodx.inference.segment_case import told_of
from orthodx.inference.study_measures import StudyMeasurer
from orthodx.requests import SegmentRequest
from orthodx.studies.dicom import images_of as images_in
from orthodx.studies.identity import whereabouts
from orthodx.studies.keys import file_name
from orthodx.studies.manifest import MANIFEST
from orthodx.studies.mask_files import read_labels_file
from orthodx.studies.receipts import Receipts
from orthodx.studies.run_record import content_of
from orthodx.studies.series import Series
from orthodx.studies.study import Study

NOT_OF_CASE = ("at", "asked", "images", "source")  # what a receipt tells beside the case
FORMATS = {"nifti": ".nii.gz", "dicom-seg": ".seg.dcm"}


@dataclass(frozen=True, eq=False)
class SegmentFiles:
    """Of one run. studies: all that were found."""

    request: SegmentRequest
    receipts: Receipts
    studies: Sequence[Study]
    known_formats: dict[str, tuple[str, ...]] = field(default_factory=dict)

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
        another. So are other images of one DICOM series. A mask that was corrected by hand is no result of ours.
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
            images = self._before(one).get("images")
            if images and not set(images) & set(images_of(one)):
                raise UsageError(
                    f"--out: '{one.series_id}' in {self.request.out} is the result of other images of that series",
                    hint="give all images of a series at once, or choose another folder",
                )
            for path in filter(_is_mask, self.receipts.altered(one.series_id)):
                raise UsageError(
                    f"--out: {path} was changed since it was written", hint="move it, or choose another folder"
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
        told = {"study_id": series.study_id, "volumes": [row | told_of(series) for row in kept["volumes"]]}
        if told != {name: kept[name] for name in told}:  # the manifest says otherwise now
            self.receipts.write(series.series_id, self.made_from(series), self._there(series), kept | told)
        return {name: value for name, value in (kept | told).items() if name not in NOT_OF_CASE}

    def _there(self, series: Series) -> list[Path]:
        """The files of a finished case, those included that this run would not write."""
        return [self.receipts.folder / name for name in sorted(self.receipts.outputs_of(series.series_id))]

    def asked(self) -> list[str]:
        """What is written of a case, beside tables."""
        return [*self.request.formats, *(["preview"] if self.request.preview else [])]

    def formats(self, series: Series) -> tuple[str, ...]:
        """Those asked for, and those in which an earlier run left a mask of the series that would else be taken away,
        as they were when first asked for.
        """
        if (known := self.known_formats.get(series.series_id)) is None:
            masks = {kind: self.mask(series, kind) for kind in FORMATS if self.request.resume}
            there = {
                kind for kind, path in masks.items() if path.is_file() and self.receipts.owns(series.series_id, path)
            }
            if find_spec("highdicom") is None:
                there.discard("dicom-seg")
            known = tuple(kind for kind in FORMATS if kind in there or kind in self.request.formats)
            self.known_formats[series.series_id] = known
        return known

    def _before(self, series: Series) -> dict[str, Any]:
        """What an earlier run kept of a series whose files are there."""
        told = self.receipts.result(series.series_id)
        return told if isinstance(told, dict) and self.receipts.outputs_of(series.series_id) else {}

    def made_from(self, series: Series) -> dict[str, Any]:
        """What a case's files depend on, beside the model."""
        own = {"input": content_of(series), "view": str(series.view)}
        if not self.request.fuse_views:
            return own
        return {**own, "beside": sorted(content_of(one) for one in beside(series, self.studies))}

    def written(self, series: Series) -> list[Path]:
        """Of its files those that are there."""
        return [path for path in self.of(series) if path.is_file()]

    def about(self, series: Series) -> dict[str, Any]:
        """What a receipt keeps beside the case: where the input lay, which images it was, what was asked for."""
        asked = [*self.formats(series), *(["preview"] if self.request.preview else [])]
        return {"at": whereabouts(series.path), "images": images_of(series), "asked": asked}

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
        masks = [self.mask(series, kind) for kind in self.formats(series)]
        return [*masks, self.preview(series)] if self.request.preview else masks


def images_of(series: Series) -> list[str]:
    """Keyed hashes of the images of a DICOM series; none of another."""
    return [] if series.stack is None else images_in(series.stack)


def _is_mask(path: Path) -> bool:
    """Whether a file is a whole NIfTI mask, as one is that a person has saved."""
    try:
        with gzip.open(path) as packed:
            while packed.read(1 << 20):  # to its checksum
                pass
        return path.name.endswith(FORMATS["nifti"]) and bool(read_labels_file(path).data.size)
    except (OrthodxError, OSError, EOFError, zlib.error):
        return False
