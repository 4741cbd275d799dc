"""Fixtures of the command line's tests."""

import numpy as np
import pytest
import torch

from orthodx.studies.nifti import write_image
from orthodx.studies.tables import write_table

RADIUS, DISC, CODES = 1, 4, ("TFCC", "FRACTURE")


@pytest.fixture
def one_thread():
    """Toy networks are quicker without threads, which wait for each other where the processor has other work."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def wrists(tmp_path_factory):
    """Twelve wrists: a bone, a disc below it; a torn disc is bright, a broken bone dark."""
    folder, rng = tmp_path_factory.mktemp("wrists"), np.random.default_rng(0)
    affine = np.array([[0, 0, 4.0, 0], [-2, 0, 0, 0], [0, -2, 0, 0], [0, 0, 0, 1]])
    rows = []
    for i in range(12):
        torn, broken, truth = i % 2, i // 2 % 2, np.zeros((32, 32, 6), np.uint8)
        left, top = rng.integers(4, 10, 2)
        truth[left : left + 18, top : top + 10, 1:5] = RADIUS
        truth[left + 3 : left + 14, top + 10 : top + 16, 1:5] = DISC
        signal = np.array([100, 700 - 350 * broken, 0, 0, 250 + 700 * torn])
        image = signal[truth] + rng.normal(0, 20, truth.shape)
        write_image(folder / f"w{i:02d}/w{i:02d}.nii.gz", image.clip(0).astype(np.int16), affine)
        write_image(folder / f"truth/w{i:02d}.nii.gz", truth, affine)
        rows.append({"study_id": f"w{i:02d}", "TFCC": torn, "FRACTURE": broken})
    write_table(folder / "labels.csv", rows, ("study_id", *CODES))
    return folder
