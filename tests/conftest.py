"""Fixtures made once a session: a coarse synthetic knee, one synthetic study on disk, an untrained bundle."""

from __future__ import annotations

import os
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
    from orthodx.synth.knee.procedural import random_knee

    return random_knee(np.random.default_rng(11), spacing_mm=1.6)


@pytest.fixture(scope="session")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One synthetic patient: three series of one coarse knee, with truth and manifest."""
    from orthodx.synth.knee.procedural import random_knee
    from orthodx.synth.study_writer import write_cohort

    out = tmp_path_factory.mktemp("cohort")
    write_cohort(out, studies=1, seed=5, centers=("Riverside",), anatomy=partial(random_knee, spacing_mm=1.2))
    return out


@pytest.fixture(scope="session")
def torn_bank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four blocks of fat with a medial meniscus far to one side; the first is torn at (-39.75, -9.75, -3.75) mm."""
    from orthodx.synth.anatomy import Anatomy
    from orthodx.synth.anatomy_bank import AnatomyBank
    from orthodx.synth.knee.lesions import VALUES
    from orthodx.synth.knee.tissues import TISSUES

    bank = AnatomyBank(tmp_path_factory.mktemp("torn"))
    affine = np.diag([1.5, 1.5, 1.5, 1.0])
    affine[:3, 3] = -72
    for i in range(4):
        tissues = np.full((96, 96, 96), TISSUES["fat"], np.uint8)
        lesions = np.zeros_like(tissues)
        tissues[16:28, 36:48, 44:48] = TISSUES["medial_meniscus"]
        if i == 0:
            tear = (slice(20, 24), slice(40, 44), slice(44, 48))
            tissues[tear], lesions[tear] = TISSUES["medial_meniscus_torn"], VALUES["MM"]
        bank.add(f"toy-{i}", Anatomy(tissues, affine, "right", "toy"), lesions)
    return bank.folder


def tiny_bundle(folder: Path):
    """An untrained bundle of the real architecture at a quarter of its width."""
    from orthodx.bundles.bundle import BundleInfo, Part, save_bundle
    from orthodx.grid.spec import GridSpec
    from orthodx.joints import KNEE, View
    from orthodx.networks.encoders.ortho import OrthoConfig, OrthoEncoder
    from orthodx.networks.heads.skip_segment import SkipSegmentConfig, SkipSegmentHead

    torch.manual_seed(0)
    config, head = (
        OrthoConfig(channels=(8, 16, 16, 16), time_channels=16),
        SkipSegmentConfig(block_channels=8),
    )
    info = BundleInfo(
        name="tiny",
        version="0",
        joint=KNEE,
        grid=GridSpec(),
        encoders={v: Part("ortho", config, f"encoder_{v}.safetensors") for v in View},
        heads={"segment": Part("skip_segment", head, "segment.safetensors")},
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


def tiny_diagnosis(folder: Path, *, head: str = "evidence", fusion: str = "gating", records: bool = True):
    """An untrained bundle that diagnoses: two labels are positive from 0.01 on, the others from 0.99."""
    from orthodx.bundles.bundle import BundleInfo, DiagnosisInfo, Part, save_bundle
    from orthodx.grid.region import RegionSpec
    from orthodx.grid.spec import GridSpec
    from orthodx.joints import KNEE, View
    from orthodx.networks.diagnosis.diagnoser import Diagnoser
    from orthodx.networks.diagnosis.record_coding import RecordCoding
    from orthodx.networks.encoders.ortho import OrthoConfig, OrthoEncoder

    torch.manual_seed(3)
    config, labels = OrthoConfig(channels=(32, 16, 16, 16), time_channels=16), KNEE.codes
    encoder = OrthoEncoder(config)
    coding = RecordCoding(
        means=(40, 170, 75), sds=(15, 10, 12), patient_types=("inpatient", "outpatient"), events=("fall", "sport")
    )
    own = Diagnoser.config_for(encoder, labels, head=head, fusion=fusion, coding=coding if records else None)
    encoders = {v: Part("ortho", config, f"encoder_{v}.safetensors") for v in View}
    info = BundleInfo(
        name="tiny",
        version="0",
        joint=KNEE,
        grid=GridSpec(),
        encoders=encoders,
        heads={},
        training=[],
        licence="test",
        sources=[],
        sha256={},
        diagnosis=DiagnosisInfo(
            diagnoser=own,
            file="diagnose.safetensors",
            encoders=encoders,
            region=RegionSpec(slices=10, rows=64, columns=64),
            temperatures=dict.fromkeys(labels, 1.5),
            thresholds={name: 0.01 if i % 4 == 1 else 0.99 for i, name in enumerate(labels)},
            label_fraction=0.5,
        ),
    )
    weights = {f"encoder_{v}.safetensors": OrthoEncoder(config).state_dict() for v in View}
    return save_bundle(folder, info, {**weights, "diagnose.safetensors": Diagnoser(own).state_dict()})


@pytest.fixture(scope="session")
def diagnosis(tmp_path_factory: pytest.TempPathFactory):
    return tiny_diagnosis(tmp_path_factory.mktemp("diagnosis") / "tiny")


@pytest.fixture(scope="session")
def make_diagnosis():
    return tiny_diagnosis


@pytest.fixture(scope="session")
def images(knee, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Small NIfTI series of one knee: sagittal, coronal, axial, and a second sagittal of another contrast."""
    from orthodx.joints import View
    from orthodx.studies.nifti import write_image
    from orthodx.synth.deformation import NO_DEFORMATION
    from orthodx.synth.knee.tissues import TISSUES
    from orthodx.synth.scanner import make_plane, render, sample_scan
    from orthodx.synth.signals import mr_like_signal

    folder, files = tmp_path_factory.mktemp("images"), {}
    for seed, (name, view) in enumerate([*((str(v), v) for v in View), ("sagittal_2", View.SAGITTAL)]):
        rng = np.random.default_rng(seed)
        plane = make_plane(view, (9, 60, 56), (5, 1.5), 4, np.zeros(3))
        image, _ = render(
            torch.from_numpy(knee.tissues), knee.affine, sample_scan(rng, plane, mr_like_signal(rng, TISSUES), 0.02),
            NO_DEFORMATION, TISSUES,
        )  # fmt: skip
        files[name] = folder / f"{name}.nii.gz"
        write_image(files[name], (image.numpy() * 1000).round().astype(np.int16), plane.affine)
    return files
