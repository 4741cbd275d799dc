"""The measures of each study, once all of its series are segmented: rows of measures.csv, a picture, a receipt."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orthodx.errors import OrthodxError
from orthodx.joints import Joint
from orthodx.measuring.of_study import StudyMeasures, measure_study
from orthodx.studies.keys import file_name
from orthodx.studies.mask_files import read_labels_file
from orthodx.studies.receipts import Receipts
from orthodx.studies.series import Series
from orthodx.studies.volume import Volume

STUDIES = "studies"  # the folder of their receipts, in that of the series'
PICTURES = Path("previews") / "thickness"
Row = dict[str, Any]


@dataclass(eq=False)
class StudyMeasurer:
    """What is measured of the studies of a run into `out`.

    joint: of the masks. receipts: of studies. preview: draw pictures. mask_of: series -> its NIfTI mask, there or not.
    Label maps are held where no mask can be read again, and for the study at hand only.
    """

    out: Path
    joint: Joint
    receipts: Receipts
    preview: bool
    mask_of: Callable[[str], Path]
    waiting: Counter[str] = field(default_factory=Counter)
    held: dict[str, Volume] = field(default_factory=dict)
    rows: dict[str, list[Row]] = field(default_factory=dict)

    def expect(self, series: Sequence[Series]) -> None:
        """The series of this run, and what earlier ones measured."""
        self.waiting = Counter(one.study_id for one in series)
        self.rows = self.known()

    def known(self) -> dict[str, list[Row]]:
        """Study -> its rows, of all runs and shards so far."""
        return {told["study_id"]: told["rows"] for told in self.receipts.results().values()}

    def hold(self, series: Series, labels: Volume) -> None:
        """Keep a label map that is in no file."""
        if not self.mask_of(series.series_id).is_file():
            self.held[series.series_id] = labels

    def whole(self, study_id: str, made_from: Mapping[str, Any]) -> bool:
        """Whether an earlier run measured the study as this one would."""
        return self._kept(study_id, made_from) is not None

    def done(
        self, study_id: str, volumes: Callable[[], Sequence[Row]], made_from: Callable[[], Mapping[str, Any]]
    ) -> None:
        """Count one more of a study's series as done; the study is measured with its last one.

        volumes: rows of volumes.csv of all series of the study, of all runs. made_from: series -> its image's content.
        """
        self.waiting[study_id] -= 1
        if self.waiting[study_id] > 0:
            return
        origin = made_from()
        kept = self._kept(study_id, origin)
        self.rows[study_id] = kept["rows"] if kept is not None else self._measure(study_id, volumes(), origin)
        self.held.clear()

    def _kept(self, study_id: str, made_from: Mapping[str, Any]) -> Any | None:
        kept = self.receipts.find(study_id, made_from)
        return None if kept is None or (self.preview and not kept["preview"]) else kept

    def _measure(self, study_id: str, volumes: Sequence[Row], made_from: Mapping[str, Any]) -> list[Row]:
        picture = self.picture(study_id)
        self.receipts.begin(study_id, [picture] if self.preview else [])
        found, drawn = self._found(volumes), False
        if self.preview and found.layers:
            from orthodx.inference.thickness_picture import write_thickness_picture  # matplotlib loads slowly

            drawn = write_thickness_picture(picture, found.layers, study_id)
        told = {"study_id": study_id, "rows": found.rows, "preview": self.preview}
        self.receipts.write(study_id, made_from, [picture] if drawn else [], told)
        return found.rows

    def _found(self, volumes: Sequence[Row]) -> StudyMeasures:
        """All that is measured; where the memory does not hold it, what needs no label map."""
        try:
            return measure_study(volumes, self._labels, self.joint)
        except MemoryError:
            return measure_study(volumes, lambda series_id: None, self.joint)

    def picture(self, study_id: str) -> Path:
        """The picture of a study's thickness."""
        return self.out / PICTURES / f"{file_name(study_id)}.png"

    def _labels(self, series_id: str) -> Volume | None:
        if series_id in self.held:
            return self.held[series_id]
        try:
            return read_labels_file(self.mask_of(series_id))
        except OrthodxError:
            return None


def measures_table(rows: Mapping[str, Sequence[Row]], order: Sequence[str]) -> list[Row]:
    """Rows of measures.csv, in the order of the studies."""
    return [row for study in dict.fromkeys(order) for row in rows.get(study, ())]
