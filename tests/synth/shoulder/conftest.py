"""One coarse shoulder a session."""

import numpy as np
import pytest


@pytest.fixture(scope="session")
def shoulder():
    from orthodx.synth.shoulder.procedural import random_shoulder

    return random_shoulder(np.random.default_rng(1), spacing_mm=1.2)
