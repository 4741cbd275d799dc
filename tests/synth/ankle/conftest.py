"""One coarse ankle a session, a right one in middling posture."""

import numpy as np
import pytest


@pytest.fixture(scope="session")
def ankle():
    from orthodx.synth.ankle.procedural import build_ankle, sample_shape

    return build_ankle(sample_shape(np.random.default_rng(5)), spacing_mm=1.2)
