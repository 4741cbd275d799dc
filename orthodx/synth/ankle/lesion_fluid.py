"""Where an ankle holds an effusion first. It has no label: most sprains have some, and many healthy ankles a little."""

from __future__ import annotations

import numpy as np

from orthodx.synth.ankle.lesions import VALUES
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


def fill_joint(canvas: Canvas, effusion: Effusion) -> None:
    """Fill the recesses with `volume_ml` of new fluid."""
    talus = canvas.centre("talus_cortex")
    if talus is None:
        return
    mirror = np.array([canvas.lateral, 1.0, 1.0])
    ellipsoids = [(talus + np.array(middle) * mirror, axes) for middle, axes in POOLS]
    window = canvas.window(talus - np.array([36.0, 44.0, 26.0]), talus + np.array([36.0, 34.0, 36.0]))
    fill_pools(window, pools(window, ellipsoids), effusion, VALUES["effusion"])
