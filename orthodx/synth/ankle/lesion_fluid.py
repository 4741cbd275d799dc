"""Fluid without a label: effusion where an ankle holds it first, and oedema of the fat round it.

Most sprains have some of both, and many healthy ankles a little.
"""

from __future__ import annotations

import numpy as np

from orthodx.synth.ankle.lesions import VALUES, SoftOedema
from orthodx.synth.lesion_canvas import Canvas
from orthodx.synth.lesion_fluid import Effusion, fill_pools, pools

# middle (outward, forward, up from the middle of the talus) and semi-axes, mm
POOLS = (
    ((-2.0, 17.0, 14.0), (13.0, 4.5, 8.0)),  # in front of the plafond
    ((0.0, -25.0, 7.0), (11.0, 4.5, 8.5)),  # behind it
    ((4.0, -27.0, -6.0), (8.0, 5.0, 5.0)),  # behind the subtalar joint
    ((17.0, 4.0, -6.0), (3.5, 8.0, 6.0)),  # below the lateral malleolus
    ((-20.0, 2.0, 2.0), (3.0, 8.0, 6.0)),  # below the medial one
    ((-8.0, -29.0, 6.0), (3.0, 3.0, 16.0)),  # sheath of the long flexor, which opens into the joint
)
# site -> middle (outward, forward, up from the middle of the talus) and semi-axes, mm
OEDEMA: dict[str, tuple[tuple[float, float, float], tuple[float, float, float]]] = {
    "lateral": ((24.0, 4.0, -4.0), (14.0, 19.0, 17.0)),
    "medial": ((-27.0, 2.0, 2.0), (12.0, 18.0, 18.0)),
    "front": ((-2.0, 26.0, 16.0), (22.0, 13.0, 16.0)),
    "before_achilles": ((1.0, -36.0, 18.0), (11.0, 8.0, 26.0)),
}


def soak_fat(canvas: Canvas, oedema: SoftOedema) -> None:
    """Paint wet strands into the fat of one side, fading outwards."""
    talus = canvas.centre("talus_cortex")
    if talus is None:
        return
    middle, axes = (np.array(values) for values in OEDEMA[oedema.site])
    middle = talus + middle * np.array([canvas.lateral, 1.0, 1.0])
    axes = axes * oedema.size
    window = canvas.window(middle - axes, middle + axes)
    rng = np.random.default_rng(oedema.seed)
    radius = window.radius(middle, axes) * (1 + 0.2 * window.noise(rng, 10.0))
    wet = window.flakes(rng, (oedema.density * np.clip(1.6 * (1 - radius), 0, 1)).astype(np.float32))
    window.paint(wet & window.of("fat", "fat_pad"), "oedema", VALUES["soft_oedema"])


def fill_joint(canvas: Canvas, effusion: Effusion) -> None:
    """Fill the recesses with `volume_ml` of new fluid."""
    talus = canvas.centre("talus_cortex")
    if talus is None:
        return
    mirror = np.array([canvas.lateral, 1.0, 1.0])
    ellipsoids = [(talus + np.array(middle) * mirror, axes) for middle, axes in POOLS]
    window = canvas.window(talus - np.array([36.0, 44.0, 26.0]), talus + np.array([36.0, 34.0, 36.0]))
    fill_pools(window, pools(window, ellipsoids), effusion, VALUES["effusion"])
