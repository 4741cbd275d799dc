"""A knee of boxes whose every number is known, on any voxels and in any orientation."""

from __future__ import annotations

import numpy as np
import pytest

from orthodx.joints import KNEE
from orthodx.measuring.of_study import how_seen
from orthodx.studies.volume import Volume

MM = {"medial": 2.0, "lateral": 3.0, "trochlea": 4.0, "patella": 2.5}
EXTRUSION = {"medial": 3.0, "lateral": -1.0}


def box_knee(spacing, turn=None, side="right", fibula=True, half=(46.0, 42.0, 42.0)) -> Volume:
    """A block of femur over one of tibia, and a patella in front, whose cartilages are `MM` thick.

    turn: (3, 3), of the field of view in the world; the knee stays where it is. half: of the field of view, mm.
    """
    turn = np.eye(3) if turn is None else turn
    shape = (2 * np.array(half) / spacing).astype(int)
    axes = [(np.arange(n) - (n - 1) / 2 + 0.1) * s for n, s in zip(shape, spacing, strict=True)]
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = turn @ np.diag(spacing), turn @ [a[0] for a in axes]
    x, y, z = np.tensordot(turn, np.stack(np.meshgrid(*axes, indexing="ij")), 1)
    x = x if side == "right" else -x  # lateral is +x from here on
    value = {name: v for v, name in KNEE.names.items()}
    data = np.zeros(shape, np.uint8)
    wide, apart = np.abs(x) < 35, (np.abs(x) > 6) & (np.abs(x) < 33)
    thick = np.where(x > 0, MM["lateral"], MM["medial"])

    def put(name, inside):
        data[inside & (data == 0)] = value[name]

    put("femur", wide & (y > -32) & (y < 14) & (z > 8))
    put("tibia", wide & (y > -22) & (y < 22) & (z < -8))
    put("patella", (np.abs(x) < 20) & (y > 22) & (y < 30) & (z > 10) & (z < 36))
    if fibula:
        put("fibula", (x > 37) & (x < 44) & (np.abs(y) < 6) & (z < -20))
    put("femoral_cartilage", apart & (y > -30) & (y < 0) & (z <= 8) & (z > 8 - thick))
    put("femoral_cartilage", (np.abs(x) < 33) & (y > 4) & (y < 14) & (z <= 8) & (z > 8 - MM["trochlea"]))
    put("femoral_cartilage", (np.abs(x) < 33) & (y >= 14) & (y < 14 + MM["trochlea"]) & (z > 10) & (z < 32))
    put("tibial_cartilage", apart & (np.abs(y) < 18) & (z >= -8) & (z < -8 + thick))
    put("patellar_cartilage", (np.abs(x) < 18) & (y <= 22) & (y > 22 - MM["patella"]) & (z > 12) & (z < 34))
    out = 35 + np.where(x > 0, EXTRUSION["lateral"], EXTRUSION["medial"])
    rim = (np.abs(x) > 24) & (np.abs(x) < out) & (np.abs(y) < 15) & (z > -5) & (z < 1)
    put("medial_meniscus", rim & (x < 0))
    put("lateral_meniscus", rim & (x > 0))
    return Volume(data, affine, "boxes")


def rows_of(volume: Volume, series_id="one", view="sagittal", **told):
    """Its rows of volumes.csv, as `segment` keeps them."""
    shown = how_seen(volume.data, volume.affine, volume.spacing_mm)
    out = []
    for value, name in KNEE.names.items():
        n = int((volume.data == value).sum())
        row = {"study_id": "study", "series_id": series_id, "view": view, "structure": name, "voxels": n}
        size = round(n * float(np.prod(volume.spacing_mm)) / 1000, 3)
        out.append({**row, "ml": size, "unsure": False, **shown.get(value, {}), **told})
    return out


@pytest.fixture(scope="session")
def boxes():
    return box_knee


@pytest.fixture(scope="session")
def as_rows():
    return rows_of


@pytest.fixture(scope="session")
def known():
    return MM, EXTRUSION
