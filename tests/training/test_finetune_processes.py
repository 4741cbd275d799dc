"""`finetune` under torchrun: from masks the processes share every step, from labels it is refused."""

import os
import subprocess
import sys

import numpy as np
import pytest
from safetensors.torch import load_file

from orthodx.studies.nifti import write_image

SCRIPT = """
import sys
import torch
import orthodx
from orthodx.errors import UsageError
from orthodx.networks.encoders.ortho import OrthoConfig, OrthoEncoder
torch.set_num_threads(1)
torch.cpu._is_amx_tile_supported = torch.cpu._is_avx512_bf16_supported = lambda: False
OrthoEncoder.presets["tiny"] = OrthoConfig(channels=(8, 8, 8, 8), time_channels=8)
data, out, batch = sys.argv[1:]
common = dict(from_scratch=True, views=("axial", "sagittal"), preset="tiny", batch=int(batch), device="cpu")
if out.endswith("two"):
    try:
        orthodx.finetune(data, out + "-labels", task="diagnose", labels=data + "/labels.csv", **common)
    except UsageError as error:
        print(error.line)
orthodx.finetune(data, out, steps=6, crop=(4, 32, 32), workers=0, augment=False, **common)
"""


@pytest.fixture
def studies(tmp_path):
    """Eight axial and eight sagittal series, each with a bright structure somewhere else."""
    for i in range(16):
        rng, sagittal = np.random.default_rng(i), i % 2
        mask = np.zeros((4, 32, 32) if sagittal else (32, 32, 4), np.int16)
        mask[tuple(slice(s := int(rng.integers(n // 2)), s + n // 2) for n in mask.shape)] = 1
        image, affine = (
            rng.integers(1, 100, mask.shape) + 500 * mask,
            np.diag([4.0, 1, 1, 1] if sagittal else [1, 1, 4.0, 1]),
        )
        write_image(tmp_path / f"data/{i}.nii.gz", image.astype(np.int16), affine)
        write_image(tmp_path / f"data/truth/{i}.nii.gz", mask, affine)
    (tmp_path / "data/labels.csv").write_text("study_id,ACL\ndata,1\n")
    return tmp_path / "data"


def test_two_processes_fit_masks_as_one_with_the_same_global_batch(studies, tmp_path):
    (tmp_path / "fit.py").write_text(SCRIPT)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    said = []
    alone = [sys.executable]
    for start, out, batch in ((torchrun, "two", 1), (alone, "one", 2), (alone, "half", 1)):
        line = [*start, str(tmp_path / "fit.py"), str(studies), str(tmp_path / out), str(batch)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(line, capture_output=True, text=True, timeout=300, env=environment)
        assert done.returncode == 0, done.stderr[-3000:]
        said.append(done.stdout)
    assert "a diagnosis is fitted by one process; run it without torchrun" in said[0]
    assert not (tmp_path / "two-labels").exists()
    assert (tmp_path / "two/my-model/model.json").is_file()
    for part in ("encoder_axial", "encoder_sagittal", "segment"):
        two, one, half = (load_file(tmp_path / out / f"{part}.safetensors") for out in ("two", "one", "half"))
        # not the same to the last bit: each process takes the Dice of its own volumes
        assert distance(two, one) < 0.05 * distance(half, one), part


def distance(a, b):
    """Euclidean distance of two sets of weights."""
    return sum(float((a[key] - b[key]).square().sum()) for key in b) ** 0.5
