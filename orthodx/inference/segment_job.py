"""One run of `orthodx segment` at work: each series read, segmented, written and told of in the tables."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from orthodx.errors import OrthodxError, StudyError
from orthodx.inference.decision import mask_of
from orthodx.inference.dicom_seg import write_dicom_seg
from orthodx.inference.fuse_views import StudySights, fused
from orthodx.inference.model_choice import other_joint
from orthodx.inference.plausibility import strange, volumes_ml, warnings_for
from orthodx.inference.predict import Segmenter
from orthodx.inference.segment_case import STATUS_COLUMNS, VOLUME_COLUMNS, Case, volume_rows
from orthodx.inference.segment_files import SegmentFiles
from orthodx.inference.sights import Sight, see
from orthodx.inference.study_measures import STUDIES, StudyMeasurer, measures_table
from orthodx.measuring.of_study import COLUMNS as MEASURE_COLUMNS
from orthodx.measuring.of_study import FACTS, MEASURES_FILE
from orthodx.networks.device import OUT_OF_MEMORY, memory_errors
from orthodx.requests import SegmentRequest
from orthodx.studies.claim import Place, turn
from orthodx.studies.discover import Found
from orthodx.studies.mask_files import VOLUMES
from orthodx.studies.nifti import write_mask
from orthodx.studies.read_ahead import read_ahead
from orthodx.studies.receipts import Receipts
from orthodx.studies.series import Series
from orthodx.studies.shards import Seldom, Shard
from orthodx.studies.tables import write_table
from orthodx.studies.volume import Volume


@dataclass(frozen=True, eq=False)
class Job:
    """One run over many series: what it reads with, and where it writes. everything: with what other shards do."""

    segmenter: Segmenter
    request: SegmentRequest
    files: SegmentFiles
    shard: Shard | None
    everything: Found
    due: Seldom = field(default_factory=Seldom)

    @property
    def receipts(self) -> Receipts:
        """What earlier runs and this one have finished."""
        return self.files.receipts

    @cached_property
    def measurer(self) -> StudyMeasurer:
        """What is measured of studies."""
        receipts = Receipts(self.receipts.folder / STUDIES, self.receipts.common)
        joint, request = self.segmenter.bundle.info.joint, self.request
        return StudyMeasurer(request.out, joint, receipts, request.preview, self.files.nifti)

    @cached_property
    def sights(self) -> StudySights:
        """What the model sees in the series of a study."""
        return StudySights(self.segmenter, self.everything.studies, self.request.fast)

    def all(self, found: Found, tell: Callable[[Case, int, int], None]) -> list[Case]:
        """Every series of this run, one after the other; the tables are whole after each."""
        cases = self._refused(found)
        kept = {s.series_id: self.finished(s) for s in found.series} if self.request.resume else {}
        if "nifti" not in self.request.formats:
            kept = self._to_be_measured(found, kept)
        cases += filter(None, kept.values())
        total, earlier = len(found.refused) + len(found.series), self._earlier(found.series)
        paths = {one.series_id: one.paths for one in found.series}
        rows = [self._row(case, paths.get(case.series_id, ())) for case in cases]
        self.measurer.expect(found.series)
        for i, case in enumerate(cases):
            tell(case, i + 1, total)
        for one in found.series:
            if kept.get(one.series_id):
                self._measured(one, rows, earlier)
        self._write_tables(rows, earlier)  # before the first mask: by its tables a folder of masks is known
        for series, read in read_ahead([s for s in found.series if not kept.get(s.series_id)], self.request.workers):
            cases.append(self.do(series, read))
            rows.append(self._row(cases[-1], series.paths))
            self._measured(series, rows, earlier)
            tell(cases[-1], len(cases), total)
            self._write_tables(rows, earlier)
        self._write_tables(rows, earlier, last=True)
        return cases

    def _measured(self, series: Series, rows: Sequence[dict[str, Any]], earlier: Sequence[dict[str, Any]]) -> None:
        """One series more is done; with the last of its study the study is measured."""
        study = series.study_id

        def of_study() -> list[dict[str, Any]]:
            return [row for row in (*rows, *earlier) if row["study_id"] == study and row["volumes"]]

        def volumes() -> list[dict[str, Any]]:
            return [one for row in of_study() for one in row["volumes"]]

        def made_from() -> dict[str, Any]:
            return {row["series_id"]: self._origin(row["series_id"], row["volumes"]) for row in of_study()}

        self.measurer.done(study, volumes, made_from)

    def _origin(self, series_id: str, volumes: Sequence[dict[str, Any]]) -> str:
        """What the measures of a study depend on: the image's content, and what its manifest says of the joint."""
        told = [f"{name} {volumes[0][name]}" for name in FACTS if volumes and volumes[0].get(name)]
        return "; ".join([self.receipts.made_from(series_id).get("input", ""), *told])

    def _refused(self, found: Found) -> list[Case]:
        return [Case(bad.study_id, "", bad.source, "failed", bad.reason, 0.0) for bad in found.refused]

    def _row(self, case: Case, paths: Iterable[Path]) -> dict[str, Any]:
        return case.row(self.request.keep_paths, (*self.request.studies, *paths))

    def _earlier(self, series: Sequence[Series]) -> list[dict[str, Any]]:
        """The rows of earlier runs into this folder, and of other shards, of series that are not in this one."""
        here = {one.file_name for one in series}
        return [row for name, row in self.receipts.results().items() if name not in here]

    def together(self, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """The rows of this run with those of all shards so far, in the order of one run."""
        own = {row["series_id"] for row in rows if row["series_id"]}
        refused = [self._row(case, ()) for case in self._refused(self.everything)]
        done = [row for row in self._earlier(()) if row["series_id"] not in own]
        order = {one.series_id: i for i, one in enumerate(self.everything.series)}
        found = [*(row for row in rows if row["series_id"]), *done]
        return [*refused, *sorted(found, key=lambda row: order.get(row["series_id"], len(order)))]

    def earlier_inputs(self, series: Sequence[Series]) -> list[dict[str, str]]:
        """What the record says of the images behind these rows."""
        ids = [{name: row[name] for name in ("study_id", "series_id")} for row in self._earlier(series)]
        return [{**one, "sha256": self.receipts.made_from(one["series_id"]).get("input", "")} for one in ids]

    def _write_tables(
        self, rows: Sequence[dict[str, Any]], earlier: Sequence[dict[str, Any]], last: bool = False
    ) -> None:
        """Of shards, of all of them, now and then and `last`."""
        if self.shard is not None and not (last or self.due()):
            return
        with turn(Place(self.request.out), self.shard):
            told = [*rows, *earlier] if self.shard is None else self.together(rows)
            columns = (*STATUS_COLUMNS, "source") if self.request.keep_paths else STATUS_COLUMNS
            write_table(self.request.out / "status.csv", told, columns)
            write_table(self.request.out / VOLUMES, [one for row in told for one in row["volumes"]], VOLUME_COLUMNS)
            measured = self.measurer.rows if self.shard is None else self.measurer.known()
            measures = measures_table(measured, [row["study_id"] for row in told])
            write_table(self.request.out / MEASURES_FILE, measures, MEASURE_COLUMNS)

    def do(self, series: Series, read: Callable[[], Volume]) -> Case:
        """One series, with a receipt for `resume`; one that cannot be done says why, and the others go on."""
        began = time.perf_counter()
        case = Case(series.study_id, series.series_id, str(series.path), "ok", "", 0.0)
        self.receipts.begin(series.series_id, self.files.of(series))
        try:
            with memory_errors():
                notes = self._segment(series, read(), case)
            case.status, case.reason = ("warned", "; ".join(notes)) if notes else ("ok", "")
        except OrthodxError as error:
            case.status, case.reason = "failed", error.line
        except MemoryError:
            case.status, case.reason = "failed", OUT_OF_MEMORY
        case.seconds = round(time.perf_counter() - began, 2)
        result = {**self._row(case, series.paths), **self.files.about(series)}
        if case.status == "failed":
            self.receipts.fail(series.series_id, self.files.made_from(series), result)
        else:
            self.receipts.write(series.series_id, self.files.made_from(series), self.files.written(series), result)
        return case

    def _segment(self, series: Series, volume: Volume, case: Case) -> list[str]:
        """The main path: to grid -> blocks and head -> back to the input's grid -> write; what a reader should know."""
        info = self.segmenter.bundle.info
        sight, notes = self._sight(series, volume, case)
        prediction, case.planes = sight.prediction, sight.planes
        formats = self.files.formats(series)
        labels = mask_of(prediction.probabilities, sight.grid, volume, info.joint, several=sight.planes > 1)
        sizes = volumes_ml(labels, volume.voxel_mm3, info.joint)
        quality = self.segmenter.quality(prediction)
        notes += strange(prediction.strangeness, info.name)
        notes += warnings_for(sizes, None if self.request.fast else quality, info.joint, info.quality)
        case.strangeness = None if prediction.strangeness is None else round(prediction.strangeness, 3)
        notes += other_joint([series], self.segmenter.bundle)
        if series.oblique:
            notes.append("oblique series: the view is uncertain")
        notes += series.doubts
        if "nifti" in formats:
            write_mask(self.files.mask(series, "nifti"), labels, volume, info.joint)
        if "dicom-seg" in formats:
            try:
                write_dicom_seg(
                    self.files.mask(series, "dicom-seg"), labels, volume.affine, series, info.joint, info.name
                )
            except StudyError as error:
                if "nifti" not in formats:
                    raise
                notes.append(error.line)  # the mask is there all the same
        if self.request.preview:
            from orthodx.inference.preview import write_preview  # matplotlib takes longer to load than a series to read

            write_preview(self.files.preview(series), volume, labels, series.view, info.joint, series.series_id)
        mask = Volume(labels, volume.affine, volume.source)
        self.measurer.hold(series, mask)
        case.volumes += volume_rows(series, mask, info, sizes, quality)
        return notes

    def _sight(self, series: Series, volume: Volume, case: Case) -> tuple[Sight, list[str]]:
        """What a series shows, helped by the others of its study where that is asked for; and which could not help."""
        if not self.request.fuse_views:
            return see(self.segmenter, series, volume, fast=self.request.fast), []
        own = self.sights.of(series, volume)
        probabilities, case.fused, apart = fused(own, self.sights.others(series))
        notes = [f"not fused with {name}: their masks agree by {agree:.2f} only" for name, agree in apart.items()]
        return replace(own, prediction=replace(own.prediction, probabilities=probabilities)), notes

    def finished(self, series: Series) -> Case | None:
        """The case of an earlier run, where it need not be done again."""
        kept = self.files.finished(series)
        return None if kept is None else Case(**kept, source=str(series.path))

    def _to_be_measured(self, found: Found, kept: dict[str, Case | None]) -> dict[str, Case | None]:
        """Without the series of studies that are not measured and have no mask to measure in: these are done again."""
        out = dict(kept)
        for study in found.studies:
            names = [one.series_id for one in study.series]
            done = {name: case for name in names if (case := kept.get(name))}
            inputs = {name: self._origin(name, case.volumes) for name, case in done.items()}
            if not self.measurer.whole(study.study_id, inputs) and not all(
                self.files.nifti(n).is_file() for n in inputs
            ):
                out |= dict.fromkeys(names)
        return out
