"""Why a diagnosis says what it says: a JSON and a row a label for programs, a picture a positive label for people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch.nn import functional

from orthodx.inference.answers import SYNTHETIC_ONLY
from orthodx.inference.plausibility import unlike
from orthodx.inference.study_reader import Answer, Reading, StudyReader
from orthodx.joints import View
from orthodx.studies.keys import file_name
from orthodx.studies.run_record import write_json
from orthodx.studies.study import Study

TABLE = "explanation.csv"
STRONGEST = 0.01  # share of a slice's pixels that stand for it: one pixel is noise, and small lesions have few
COLUMNS = (
    "study_id", "label", "probability", "threshold", "positive", *(f"weight_{view}" for view in View),
    "image_logit", "record_logit", "record_share",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Panel:
    """One view of a picture. plane: (H, W). heat: (H, W) >= 0. affine: (4, 4) index (d, h, w) -> RAS mm."""

    plane: np.ndarray
    heat: np.ndarray
    affine: np.ndarray
    title: str


@dataclass(frozen=True, eq=False)
class Place:
    """The slice of a series with the most evidence of one label.

    heat: (H, W). peak: its highest. strength: mean of its `STRONGEST` pixels, by which slices are compared.
    """

    reading: Reading
    depth: int
    heat: np.ndarray
    peak: float
    strength: float

    def panel(self, weight: float) -> Panel:
        """Slice and heat as they are drawn, cut to what the series covers. weight: of the view, 0..1."""
        region, number = self.reading.region, self.reading.slice_numbers[self.depth]
        _, rows, columns = region.inside
        title = f"{region.view}, slice {number} of {self.reading.slices}\nweight {weight:.0%}"
        return Panel(region.image[self.depth].numpy()[rows, columns], self.heat[rows, columns], region.affine, title)


def pictures(folder: Path, study: str, labels: Sequence[str]) -> dict[str, Path]:
    """Label -> the file its picture has."""
    return {label: folder / f"{file_name(study)}.{file_name(label)}.png" for label in labels}


def files(folder: Path, study: str, positive: Sequence[str]) -> list[Path]:
    """What `explain` writes of a study."""
    return [folder / f"{file_name(study)}.json", *pictures(folder, study, positive).values()]


def rows(study: str, answer: Answer) -> list[dict[str, Any]]:
    """The rows of `explanation.csv` of one study; blank where there is no such number."""
    out = []
    for i, label in enumerate(answer.labels):
        row = {"study_id": study, "label": label, "probability": float(answer.probability[i]),
               "threshold": float(answer.threshold[i]), "positive": "" if answer.strange else int(answer.positive[i]),
               "image_logit": _short(answer.image_logit[i])}  # fmt: skip
        row |= {f"weight_{view}": _short(answer.weights[i, v]) for v, view in enumerate(View)}
        if answer.record_logit is not None and answer.record_share is not None:
            row |= {"record_logit": _short(answer.record_logit[i]), "record_share": _short(answer.record_share[i])}
        out.append(row)
    return out


def explain(folder: Path, study: Study, answer: Answer, readings: Sequence[Reading], reader: StudyReader) -> None:
    """Write `<study>.json`, and `<study>.<LABEL>.png` for each label from its threshold on; older ones of others go.

    readings: with heat, of `reader`. A study unlike what the model has learned from has pictures, yet no answer.
    """
    info = reader.bundle.info
    meanings = info.joint.meanings
    model = f"{info.name}, {SYNTHETIC_ONLY}" if reader.info.synthetic_only else info.name
    drawn = pictures(folder, study.study_id, answer.labels)
    about = {}
    for i, (label, picture) in enumerate(drawn.items()):
        places = {v: place for v, view in enumerate(View) if (place := _strongest(readings, view, i)) is not None}
        about[label] = {
            "probability": float(answer.probability[i]),
            "threshold": float(answer.threshold[i]),
            "positive": None if answer.strange else bool(answer.positive[i]),
            "image_logit": _short(answer.image_logit[i]),
            "record": _record(answer, i),
            "views": {str(place.reading.view): _about(answer, i, v, place) for v, place in places.items()},
        }
        if answer.positive[i]:
            title = f"{study.study_id}\n{': '.join(filter(None, (label, meanings.get(label))))}"
            verdict = f"probability {answer.probability[i]:.2f}, positive from {answer.threshold[i]:.2f}"
            verdict += f"\nno answer: the study is {unlike(info.name)}" if answer.strange else ""
            panels = [place.panel(float(answer.weights[i, v])) for v, place in places.items()]
            note = f"{title}\n{verdict}{_record_note(answer, i)}"
            from orthodx.inference.heat_picture import write_heat_picture  # matplotlib takes long to load

            write_heat_picture(picture, panels, note, model, reader.heat_is)
        else:
            picture.unlink(missing_ok=True)
    write_json(
        folder / f"{file_name(study.study_id)}.json",
        {
            "patient_id": study.patient_id,
            "study_id": study.study_id,
            "model": info.name,
            "strangeness": answer.strangeness and _short(answer.strangeness),
            "series": {str(v): [r.series_id for r in readings if r.view == v] for v in View},
            "labels": about,
        },
    )


def _strongest(readings: Sequence[Reading], view: View, label: int) -> Place | None:
    """The slice with the most evidence among the series of a view; None where the view is missing."""
    places = [_place(r, label) for r in readings if r.view == view]
    return max(places, key=lambda p: p.strength) if places else None


def _place(reading: Reading, label: int) -> Place:
    assert reading.heat is not None
    shape, inside = reading.region.image.shape, reading.region.inside
    heat = functional.interpolate(reading.heat[None, label : label + 1], size=tuple(shape), mode="trilinear")[0, 0]
    covered = heat[inside].flatten(1)  # (D, pixels)
    strength = covered.topk(max(1, round(STRONGEST * covered.shape[1])), 1).values.mean(1)
    best = int(strength.argmax())
    depth = inside[0].start + best
    return Place(reading, depth, heat[depth].numpy(), float(covered[best].max()), float(strength[best]))


def _about(answer: Answer, label: int, v: int, place: Place) -> dict[str, Any]:
    reading = place.reading
    return {
        "weight": _short(answer.weights[label, v]),
        "logit": _short(answer.view_logits[label, v]),
        "strongest": {
            "series_id": reading.series_id,
            "slice": int(reading.slice_numbers[place.depth]),
            "slices": reading.slices,
            "heat": _short(place.peak),
        },
    }


def _record(answer: Answer, label: int) -> dict[str, float] | None:
    """What the health record added: its own logit, its share in the whole, and the answer without it."""
    if answer.record_logit is None or answer.record_share is None:
        return None
    return {
        "logit": _short(answer.record_logit[label]),
        "share": _short(answer.record_share[label]),
        "probability_without": float(answer.probability_without_record[label]),
    }


def _record_note(answer: Answer, label: int) -> str:
    if answer.record_share is None:
        return ""
    return (
        f"; health record: share {answer.record_share[label]:.0%}, "
        f"without it {answer.probability_without_record[label]:.2f}"
    )


def _short(value: Any) -> float:
    return round(float(value), 4)
