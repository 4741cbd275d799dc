"""What can be wrong with a joint, and painting it: an anatomy and lesions -> an injured anatomy and their mask."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from orthodx.synth.anatomy import Anatomy
from orthodx.synth.lesion_canvas import Canvas
from orthodx.synth.lesions import Lesion
from orthodx.synth.patients import Clinic
from orthodx.synth.tissues import TissueTable


@dataclass(frozen=True, kw_only=True)
class Injuries:
    """All that is known of a joint's injuries.

    values: abnormality, or sign without a label, -> its value in lesion masks (1..255). least_ml: abnormality -> how
    much must be marked for its label to be 1, mL. sites: abnormality -> the tissue where it is looked for in healthy
    joints. painters: kind of lesion -> what paints it, in the order of painting: what moves tissue comes first, fluid
    fills what is left. finish: painted last, whatever the lesions. clinic: who comes with what.
    """

    values: Mapping[str, int]
    least_ml: Mapping[str, float]
    sites: Mapping[str, str]
    painters: Mapping[type, Callable[[Canvas, Any], None]]
    clinic: Clinic
    finish: Callable[[Canvas], None] | None = None


def paint(
    anatomy: Anatomy, lesions: Sequence[Lesion], injuries: Injuries, tissues: TissueTable
) -> tuple[Anatomy, np.ndarray]:
    """The injured joint and its lesion mask (X, Y, Z) uint8 with `injuries.values`, on the anatomy's grid."""
    canvas = Canvas(anatomy, tissues)
    order = list(injuries.painters)
    for lesion in sorted(lesions, key=lambda one: order.index(type(one))):
        injuries.painters[type(lesion)](canvas, lesion)
    if injuries.finish is not None:
        injuries.finish(canvas)
    return replace(anatomy, tissues=canvas.tissues), canvas.lesions


def labels_of(mask: np.ndarray, spacing_mm: float, injuries: Injuries) -> dict[str, int]:
    """1 or 0 for each abnormality: is enough of it marked (`least_ml`)?"""
    ml = np.bincount(mask.ravel(), minlength=max(injuries.values.values()) + 1) * spacing_mm**3 / 1000
    return {code: int(ml[injuries.values[code]] >= least) for code, least in injuries.least_ml.items()}
