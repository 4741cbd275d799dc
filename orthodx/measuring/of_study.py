"""What is measured of a study: of each structure in the series that shows it best."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np
from scipy import ndimage

from orthodx.joints import Joint, Plate, plates_of
from orthodx.measuring.extrusion import extrusion_mm, shows_extrusion
from orthodx.measuring.field_of_view import seen
from orthodx.measuring.plates import layer_thickness
from orthodx.measuring.sides import Sides, members, sides_of
from orthodx.measuring.thickness import Thickness
from orthodx.studies.laterality import LEFT, RIGHT, side_of_row
from orthodx.studies.volume import Volume, turned_to_ras

WIDEST_MM = 130.0  # no layer of a joint reaches farther; what does is no layer, and would take long
MEASURES_FILE = "measures.csv"
FACTS = ("laterality", "center", "field_strength")  # of the manifest
COLUMNS = ("study_id", "structure", "plate", "measure", "value", "series_id", "view", "cut", "voxel_mm", *FACTS, "note")
APART_MM = 100.0  # from left to right between two joints of a patient, and more than any one joint spans
BY_PLACE = "of two joints, whose sides nobody tells: by their places"
VOLUME, MEAN, P5, AREA, EXTRUSION = "volume_ml", "thickness_mm", "thickness_p5_mm", "area_mm2", "extrusion_mm"
Row = dict[str, Any]


@dataclass(frozen=True, eq=False)
class LayerMap:
    """The thickness of one layer, for a picture.

    name: the layer's. values: of the layer and of the bone in `volume`, a label map with axes about RAS+. plates: plate
    -> its places, None where it is unknown which these are.
    """

    name: str
    values: tuple[int, int]
    volume: Volume
    sides: Sides
    plates: Mapping[str, Thickness | None]
    side: str = ""


@dataclass(eq=False)
class StudyMeasures:
    """Rows of `COLUMNS`, and the layers whose thickness was measured."""

    rows: list[Row] = field(default_factory=list)
    layers: list[LayerMap] = field(default_factory=list)


def how_seen(labels: np.ndarray, affine: np.ndarray, spacing_mm: np.ndarray) -> dict[int, Row]:
    """Value -> what a series' row of volumes says of how it is seen: `cut` and `voxel_mm`, and if extrusion shows."""
    fine = shows_extrusion(affine)
    at = ndimage.find_objects(labels)
    return {
        v: {
            "cut": int(s.cut),
            "voxel_mm": round(s.voxel_mm, 3),
            "shows_extrusion": fine,
            "x_mm": round(float((affine @ [*((part.start + part.stop - 1) / 2 for part in at[v - 1]), 1])[0]), 1),
        }
        for v, s in seen(labels, spacing_mm).items()
    }


def best(rows: Iterable[Row]) -> Row | None:
    """The row of the series that shows a structure best; None where none does.

    Whole before cut by the field of view, then sure before unsure, then by the shortest voxels across its outline.
    """
    shown = [row for row in rows if row["voxels"] and "voxel_mm" in row]
    return min(shown, key=_rank, default=None)


def _rank(row: Row) -> tuple[bool, bool, float]:
    return bool(row["cut"]), bool(row["unsure"]), float(row["voxel_mm"])


def measure_study(volumes: Sequence[Row], labels_of: Callable[[str], Volume | None], joint: Joint) -> StudyMeasures:
    """Everything that is measured of one study; where it shows a left and a right joint, of each.

    volumes: its rows of volumes.csv, with what `how_seen` adds and if it is `unsure`. labels_of: series -> label map of
    the joint, None where there is none any more.
    """
    out, placed = StudyMeasures(), _sided_by_place(volumes)
    for side, rows in _by_side(placed).items():
        one = _measure_joint(rows, labels_of, joint)
        out.rows += one.rows if placed is volumes else [_noted(row, BY_PLACE) for row in one.rows]
        out.layers += [replace(layer, side=side) for layer in one.layers]
    return out


def _by_side(volumes: Sequence[Row]) -> dict[str, Sequence[Row]]:
    """Side -> its rows, where there are both sides; else all together."""
    sides: dict[str, list[Row]] = {}
    for row in volumes:
        sides.setdefault(side_of_row(row), []).append(row)
    return {**sides} if {LEFT, RIGHT} <= sides.keys() else {"": volumes}


def _sided_by_place(volumes: Sequence[Row]) -> Sequence[Row]:
    """The rows with sides by where the masks lie, if no side is told and they lie at two places; else as they are.

    The joint with the greater x is the right one (RAS+).
    """
    at: dict[str, list[float]] = {}
    for row in volumes:
        if "x_mm" in row:
            at.setdefault(row["series_id"], []).append(row["x_mm"])
    old = any(
        row["voxels"] and "voxel_mm" in row and "x_mm" not in row for row in volumes
    )  # receipts of a version before
    if old or len(at) < 2 or any(map(side_of_row, volumes)):
        return volumes
    middle = {series: float(np.median(found)) for series, found in at.items()}
    order = sorted(middle.values())
    gap, below = max((b - a, a) for a, b in pairwise(order))
    if gap < APART_MM:
        return volumes
    sides = {series: LEFT if x <= below else RIGHT for series, x in middle.items()}
    return [{**row, "laterality": side} for row in volumes if (side := sides.get(row["series_id"]))]


def _noted(row: Row, note: str) -> Row:
    return {**row, "note": "; ".join(filter(None, (row["note"], note)))}


def _measure_joint(volumes: Sequence[Row], labels_of: Callable[[str], Volume | None], joint: Joint) -> StudyMeasures:
    out = StudyMeasures()
    of = {name: [row for row in volumes if row["structure"] == name] for name in joint.names.values()}
    looks = _Looks(labels_of, joint, {row["series_id"]: str(row.get("laterality", "")) for row in volumes})
    for rows in of.values():
        if rows:
            chosen = best(rows)
            value = None if chosen is None else chosen["ml"]
            out.rows.append(_row(rows, chosen, VOLUME, value, note="" if chosen else "in no series"))
    by_layer: dict[str, list[Plate]] = {}
    for plate in plates_of(joint):
        by_layer.setdefault(plate.layer, []).append(plate)
    for layer, plates in by_layer.items():
        with_bone = {row["series_id"] for row in of.get(plates[0].bone, ()) if row["voxels"]}
        chosen = best(row for row in of.get(layer, ()) if row["series_id"] in with_bone)
        if of.get(layer):
            _add_layer(out, of[layer], chosen, plates, looks)
    for pair in joint.pairs:
        for name in members(pair):
            if of.get(name):
                chosen = best(row for row in of[name] if row.get("shows_extrusion"))
                out.rows.append(_extrusion_row(of[name], chosen, name, looks))
    return out


@dataclass(eq=False)
class _Looks:
    """Label maps of a study, each turned and its sides found once."""

    labels_of: Callable[[str], Volume | None]
    joint: Joint
    laterality: Mapping[str, str]
    known: dict[str, tuple[Volume, Sides] | None] = field(default_factory=dict)
    extruded: dict[str, dict[str, float]] = field(default_factory=dict)

    def at(self, series_id: str) -> tuple[Volume, Sides] | None:
        """Label map with axes about RAS+, and its sides."""
        if series_id not in self.known:
            volume = self.labels_of(series_id)
            if volume is not None:
                turned = turned_to_ras(volume)
                self.known[series_id] = turned, sides_of(turned, self.joint, self.laterality[series_id])
            else:
                self.known[series_id] = None
        return self.known[series_id]


def _add_layer(
    out: StudyMeasures, rows: Sequence[Row], chosen: Row | None, plates: Sequence[Plate], looks: _Looks
) -> None:
    look = looks.at(chosen["series_id"]) if chosen is not None else None
    value = {name: v for v, name in looks.joint.names.items()}
    far = 0.0 if look is None else _reach_mm(look[0], value[plates[0].layer])
    if look is None or far > WIDEST_MM:
        why = "in no series" if chosen is None else f"reaches over {far:.0f} mm" if far else "its mask is not there"
        for plate in plates:
            out.rows += [_row(rows, chosen, m, None, plate=plate.name, note=why) for m in (MEAN, P5, AREA)]
        return
    volume, sides = look
    found = layer_thickness(volume, looks.joint, plates, sides)
    values = (value[plates[0].layer], value[plates[0].bone])
    out.layers.append(LayerMap(plates[0].layer, values, volume, sides, found))
    for plate in plates:
        thick = found[plate.name]
        note = "" if thick is not None else sides.note or "where the notch begins is not seen"
        told: dict[str, float | None] = dict.fromkeys((MEAN, P5, AREA))
        if thick is not None:
            told = {MEAN: round(thick.mean_mm, 3), P5: round(thick.p5_mm, 3), AREA: round(thick.area_mm2.sum())}
        out.rows += [_row(rows, chosen, m, v, plate=plate.name, note=note) for m, v in told.items()]


def _reach_mm(volume: Volume, value: int) -> float:
    """How far a structure reaches along the array axis where that is most; 0 where it is not there."""
    found = ndimage.find_objects(volume.data, max_label=value)[value - 1 :]
    return max(
        (max((s.stop - s.start) * mm for s, mm in zip(f, volume.spacing_mm, strict=True)) for f in found if f),
        default=0.0,
    )


def _extrusion_row(rows: Sequence[Row], chosen: Row | None, name: str, looks: _Looks) -> Row:
    look = looks.at(chosen["series_id"]) if chosen is not None else None
    if look is None or chosen is None:
        return _row(rows, chosen, EXTRUSION, None, note="in no series that shows the coronal plane finely")
    volume, sides = look
    if (series := chosen["series_id"]) not in looks.extruded:
        looks.extruded[series] = extrusion_mm(volume, looks.joint, sides)
    value = looks.extruded[series].get(name)
    note = "" if value is not None else sides.note or "not in the middle of the plateau"
    return _row(rows, chosen, EXTRUSION, None if value is None else round(value, 2), note=note)


def _row(
    rows: Sequence[Row], chosen: Row | None, measure: str, value: float | None, *, plate: str = "", note: str = ""
) -> Row:
    """One number of a structure. rows: of all its series; chosen: of the one it was measured in."""
    told = chosen or {}
    about = {name: rows[0].get(name, "") for name in ("study_id", "structure", *FACTS)}
    from_series = {name: told.get(name, "") for name in ("series_id", "view", "cut", "voxel_mm")}
    facts = {name: told[name] for name in FACTS if told.get(name)}
    return {**about, **facts, **from_series, "plate": plate, "measure": measure, "value": value, "note": note}
