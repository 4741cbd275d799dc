"""Several processes that add up batches: the gradient of one process, sent once a step, and no warning."""

import csv
import os
import subprocess
import sys

import pytest
import torch
from safetensors.torch import save_file

from orthodx.networks.encoders.ortho import OrthoConfig, OrthoEncoder

SCRIPT = """
import sys
from pathlib import Path
import torch
from torch.profiler import ProfilerActivity, profile
from orthodx.joints import View
from orthodx.networks.encoders.ortho import OrthoConfig, OrthoEncoder
from orthodx.training.distributed import join, leave
from orthodx.training.denoising.fit import PretrainConfig, fit_denoiser

class Images:
    def __getitem__(self, key):
        image = torch.rand(1, 4, 32, 32, generator=torch.Generator().manual_seed(key[0])) * 2 - 1
        return image, torch.zeros(4, 32, 32, dtype=torch.uint8)

start, out, batch, bf16 = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4] == "bf16"
torch.set_num_threads(1)
torch.cpu._is_amx_tile_supported = torch.cpu._is_avx512_bf16_supported = lambda: bf16
OrthoEncoder.presets["tiny"] = OrthoConfig(channels=(8, 8, 8, 8), time_channels=8)
team = join(torch.device("cpu"))
config = PretrainConfig(view=View.SAGITTAL, preset="tiny", steps=3, batch=batch, accumulate=4, log_every=1)
with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as seen:
    fit_denoiser(config, Images(), out, team=team, workers=0, init=start, say=lambda _: None)
if team.chief:
    print(sum(p.numel() for p in OrthoEncoder(OrthoConfig(channels=(8, 8, 8, 8), time_channels=8)).parameters()))
    print(*(torch.Size(e.input_shapes[0]).numel() for e in seen.events() if e.name == "gloo:all_reduce"))
leave(team)
"""


@pytest.fixture
def start(tmp_path):
    """Weights each of which does something."""
    torch.manual_seed(0)
    encoder = OrthoEncoder(OrthoConfig(channels=(8, 8, 8, 8), time_channels=8))
    for parameter in encoder.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    save_file({k: v.contiguous() for k, v in encoder.state_dict().items()}, tmp_path / "start.safetensors")
    return tmp_path / "start.safetensors"


def run(start, out, batch, precision, processes):
    script = out.with_suffix(".py")
    script.write_text(SCRIPT)
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    line = [sys.executable, *(torchrun if processes > 1 else []), str(script), str(start), str(out), str(batch)]
    done = subprocess.run(
        [*line, precision], capture_output=True, text=True, timeout=300, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    assert done.returncode == 0, done.stderr[-3000:]
    with (out / "metrics.csv").open(newline="") as file:
        rows = [{k: float(v) for k, v in row.items() if v} for row in csv.DictReader(file)]
    return rows, [list(map(int, told.split())) for told in done.stdout.splitlines()], done.stderr


def test_gradients_are_those_of_one_process_and_sent_once_a_step(start, tmp_path):
    two, ((parameters,), sent), said = run(start, tmp_path / "two", 1, "fp32", 2)
    one, *_ = run(start, tmp_path / "one", 2, "fp32", 1)
    assert len(one) == len(two) == 3
    for row, alone in zip(two, one, strict=True):
        assert row["gradient"] == pytest.approx(alone["gradient"], rel=1e-4)
        assert row["loss"] == pytest.approx(alone["loss"], rel=1e-4)
    assert one[0]["gradient"] != pytest.approx(one[1]["gradient"], rel=1e-2)
    assert [n for n in sent if n >= parameters] == [parameters] * 3  # of four batches a step together
    assert max(n for n in sent if n < parameters) < 20  # a signal to stop, and what is logged
    assert "Warning" not in said


def test_gradients_in_bf16_lie_as_ddp_sends_them(start, tmp_path):
    assert "Warning" not in run(start, tmp_path / "two", 1, "bf16", 2)[2]
