"""Fixtures made once a session: a coarse synthetic knee, one synthetic study on disk, an untrained bundle."""

from __future__ import annotations

import os
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "2")))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--write-golden", action="store_true", help="store the shipped model's masks as the golden ones")


@pytest.fixture(scope="session")
def knee():
    from orthodx.synth.procedural import random_knee

    return random_knee(np.random.default_rng(11), spacing_mm=1.6)


@pytest.fixture(scope="session")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One synthetic patient: three series of one coarse knee, with truth and manifest."""
    from orthodx.synth.procedural import random_knee
    from orthodx.synth.study_writer import write_cohort

    out = tmp_path_factory.mktemp("cohort")
    write_cohort(out, studies=1, seed=5, centers=("Riverside",), anatomy=partial(random_knee, spacing_mm=1.2))
    return out


def tiny_bundle(folder: Path):
    """An untrained bundle of the real architecture at a quarter of its width."""
    from orthodx.bundles.bundle import BundleInfo, Part, save_bundle
    from orthodx.grid.spec import GridSpec
    from orthodx.joints import KNEE, View
    from orthodx.networks.ortho import OrthoConfig, OrthoEncoder
    from orthodx.networks.segment_head import SkipSegmentConfig, SkipSegmentHead

    torch.manual_seed(0)
    config, head = (
        OrthoConfig(channels=(8, 16, 16, 16), time_channels=16),
        SkipSegmentConfig(block_channels=8),
    )
    info = BundleInfo(
        name="tiny",
        version="0",
        joint="knee",
        structures=KNEE.names,
        grid=GridSpec(),
        encoders={v: Part("ortho", asdict(config), f"encoder_{v}.safetensors") for v in View},
        heads={"segment": Part("skip_segment", asdict(head), "segment.safetensors")},
        training=[],
        licence="test",
        sources=[],
        sha256={},
    )
    weights = {f"encoder_{v}.safetensors": OrthoEncoder(config).state_dict() for v in View}
    return save_bundle(folder, info, {**weights, "segment.safetensors": SkipSegmentHead(head).state_dict()})


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory):
    return tiny_bundle(tmp_path_factory.mktemp("bundle") / "tiny")
