"""Where a knee holds an effusion first."""

from __future__ import annotations

from orthodx.synth.knee.lesions import LEAST_ML, VALUES
from orthodx.synth.lesion_canvas import Canvas, Window
from orthodx.synth.lesion_fluid import Effusion, fill_pools, mark_fluid, pools
from orthodx.synth.solids import Field


def fill_joint(canvas: Canvas, effusion: Effusion) -> None:
    """Fill suprapatellar recess, gutters, notch and the space behind the condyles with `volume_ml` of new fluid."""
    found = _pools(canvas)
    if found is not None:
        fill_pools(*found, effusion, VALUES["EFFU"])


def mark_effusion(canvas: Canvas) -> None:
    """Count the knee's own fluid as well."""
    found = _pools(canvas)
    if found is not None:
        mark_fluid(*found, VALUES["EFFU"], LEAST_ML["EFFU"])


def _pools(canvas: Canvas) -> tuple[Window, Field] | None:
    """The box of the joint and, in it, how late each place fills: 1 on the surface of the ellipsoidal pools."""
    patella, femur = canvas.bounds("patella_cortex"), canvas.bounds("femoral_cartilage")
    if patella is None or femur is None:
        return None
    low, high = femur
    middle, top = (low + high) / 2, patella[1][2]
    window = canvas.window(low - [16, 12, 6], [high[0] + 16, patella[1][1] + 14, top + 62])
    front = _between_femur_and_tendon(canvas, middle[0], top + 14)
    lateral, medial = (high[0], low[0]) if canvas.lateral > 0 else (low[0], high[0])
    gutter_y, gutter_z = middle[1] + 6, middle[2] + 6
    ellipsoids = (  # centre and semi-axes, mm
        ((middle[0], front, top + 16), (25.0, 6.0, 27.0)),
        ((middle[0], front - 3, top - 4), (30.0, 5.0, 10.0)),
        ((lateral + 1.5 * canvas.lateral, gutter_y, gutter_z), (4.0, 17.0, 17.0)),
        ((medial - 1.5 * canvas.lateral, gutter_y, gutter_z), (4.0, 17.0, 17.0)),
        ((middle[0], middle[1] - 4, low[2] + 8), (5.0, 11.0, 6.5)),
        (((patella[0][0] + patella[1][0]) / 2, patella[0][1] - 2, top - 22), (15.0, 3.2, 13.0)),
        (((middle[0] + lateral) / 2, low[1] - 1, low[2] + 16), (9.0, 4.0, 12.0)),
        (((middle[0] + medial) / 2, low[1] - 1, low[2] + 16), (9.0, 4.0, 12.0)),
    )
    return window, pools(window, ellipsoids)


def _between_femur_and_tendon(canvas: Canvas, x: float, z: float) -> float:
    """The y (mm) half way from the front of the femoral shaft to the quadriceps tendon."""
    column = canvas.window([x - 6, -60, z - 3], [x + 6, 84, z + 3])
    bone = column.points[1][column.of("femur", "femur_cortex")]
    tendon = column.points[1][column.of("quadriceps_tendon")]
    front = float(bone.max()) if bone.size else 20.0
    return (front + float(tendon.min())) / 2 if tendon.size and tendon.min() > front else front + 8.0
