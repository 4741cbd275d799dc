"""Series in a cache: any number of them, filled by several processes together, and by those that were killed."""

import json
import os
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from orthodx.grid.spec import GridSpec
from orthodx.joints import KNEE, View
from orthodx.studies.nifti import write_image
from orthodx.studies.tables import write_table
from orthodx.training import kept_series
from orthodx.training.sources import open_source

CROP = (4, 16, 16)
AFFINE = np.array([[0, 0, 4.0, 0], [-1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1]])


def write(folder, count, masks=False):
    rows = []
    for i in range(count):
        data = np.random.default_rng(i).integers(0, 900, (20, 20, 5)).astype(np.int16)
        write_image(folder / f"s{i}.nii.gz", data, AFFINE)
        if masks:
            write_image(folder / f"truth/s{i}.nii.gz", (data > 600).astype(np.uint8), AFFINE)
        rows.append({"patient_id": f"p{i}", "study_id": f"s{i}", "series_id": f"s{i}", "path": f"s{i}.nii.gz"})
    write_table(folder / "manifest.csv", rows, ("patient_id", "study_id", "series_id", "path"))
    return folder


def opened(folder, cache=None, truth=False):
    return open_source([folder], GridSpec(), CROP, 3, joint=KNEE, truth=truth, views=[View.SAGITTAL], cache=cache)


@pytest.mark.parametrize("masks", [False, True])
def test_a_cache_gives_the_samples_that_memory_gives(tmp_path, masks):
    folder = write(tmp_path / "c", 3, masks)
    here, there = opened(folder, truth=masks), opened(folder, tmp_path / "cache", truth=masks)
    for i in range(20):
        for one, other in zip(here[i, View.SAGITTAL], there[i, View.SAGITTAL], strict=True):
            assert torch.equal(one, other)
    kept = sorted(path.name.split(".")[1] for path in (tmp_path / "cache").iterdir())
    assert kept == ["image"] * 3 + ["truth"] * 3 * masks  # no room is taken by structures that nobody drew


def test_truth_that_came_to_the_grid_in_another_way_is_made_anew(tmp_path, monkeypatch):
    folder, cache = write(tmp_path / "c", 1, masks=True), tmp_path / "cache"
    opened(folder, cache, truth=True)
    opened(folder, cache, truth=True)
    assert len(list(cache.iterdir())) == 2
    monkeypatch.setattr(kept_series, "TRUTH", "in another way")
    opened(folder, cache, truth=True)
    assert len(list(cache.iterdir())) == 4


def test_a_sample_is_its_own(tmp_path):
    source = opened(write(tmp_path / "c", 1, masks=True), tmp_path / "cache", truth=True)
    image, structures = source[0, View.SAGITTAL]
    image.zero_(), structures.fill_(9)
    again, same = source[0, View.SAGITTAL]
    assert again.abs().sum() > 0
    assert same.max() <= 1


MANY = """
import resource, sys
from pathlib import Path
from orthodx.grid.spec import GridSpec
from orthodx.joints import KNEE, View
from orthodx.training.sources import open_source
import os
folder, cache, limit = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
source = open_source([folder], GridSpec(), (4, 16, 16), 3, joint=KNEE, truth=True, views=[View.SAGITTAL], cache=cache)
before = len(os.listdir("/proc/self/fd"))
held = [source[i, View.SAGITTAL] for i in range(300)]
print(len(source.names), len(os.listdir("/proc/self/fd")) - before)
"""


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="counts open files in /proc")
def test_no_series_stays_open(tmp_path):
    folder = write(tmp_path / "c", 120, masks=True)
    done = subprocess.run(
        [sys.executable, "-c", MANY, str(folder), str(tmp_path / "cache"), "100"], capture_output=True, text=True
    )
    assert done.stdout.split() == ["120", "0"], done.stderr


TWO = """
import json, sys
from pathlib import Path
import torch
from orthodx.grid.spec import GridSpec
from orthodx.joints import KNEE, View
from orthodx.training.distributed import join, leave
from orthodx.training.kept_series import Keeping
from orthodx.training.source_contents import left_out_of
from orthodx.training.sources import open_source
wrote, kept = [], Keeping._on_grid
Keeping._on_grid = lambda self, series, mask: (wrote.append(series.series_id), kept(self, series, mask))[1]
team = join(torch.device("cpu"))
source = open_source([Path(sys.argv[1])], GridSpec(), (4, 16, 16), 3, joint=KNEE, truth=False, views=[View.SAGITTAL],
                     cache=Path(sys.argv[2]), team=team)
sums = [float(source[i, View.SAGITTAL][0].sum()) for i in range(8)]
told = {"wrote": wrote, "names": source.names, "sums": sums, "left": [one.series_id for one in left_out_of(source)]}
Path(f"{sys.argv[3]}.{team.rank}.json").write_text(json.dumps(told))
leave(team)
"""


def test_two_processes_fill_one_cache_and_leave_out_the_same(tmp_path):
    folder = write(tmp_path / "c", 7)
    (folder / "s3.nii.gz").write_bytes(b"\x1f\x8b no image")
    (tmp_path / "two.py").write_text(TWO)
    run = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    files = [str(tmp_path / name) for name in ("two.py", "c", "cache", "told")]
    done = subprocess.run([*run, *files], capture_output=True, text=True, timeout=300,
                          env={**os.environ, "OMP_NUM_THREADS": "1"})  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    first, second = (json.loads((tmp_path / f"told.{rank}.json").read_text()) for rank in (0, 1))
    assert sorted(first["wrote"] + second["wrote"]) == [f"s{i}" for i in range(7)]
    assert len(first["wrote"]) == 4
    assert first["left"] == second["left"] == ["s3"]
    alone = opened(folder, tmp_path / "cache")
    assert first["names"] == second["names"] == alone.names
    assert first["sums"] == second["sums"] == [float(alone[i, View.SAGITTAL][0].sum()) for i in range(8)]


def test_a_cache_whose_writer_was_killed_is_filled_up(tmp_path):
    folder, cache = write(tmp_path / "c", 60, masks=True), tmp_path / "cache"
    run = subprocess.Popen([sys.executable, "-c", MANY, str(folder), str(cache), "500"], stdout=subprocess.DEVNULL)
    while not cache.is_dir() or len(list(cache.glob("[!.]*.npy"))) < 11:
        assert run.poll() is None
        time.sleep(0.005)
    run.kill()
    run.wait()
    half = cache / ".part-of-another.npy"
    half.write_bytes(b"half")
    os.utime(half, (0, 0))
    there = len(list(cache.glob("[!.]*.npy")))
    assert there < 120
    source, fresh = opened(folder, cache, truth=True), opened(folder, truth=True)
    assert len(list(cache.glob("[!.]*.npy"))) == 120
    assert not half.exists()
    for i in range(100):
        for one, other in zip(source[i, View.SAGITTAL], fresh[i, View.SAGITTAL], strict=True):
            assert torch.equal(one, other)


def test_it_is_told_how_far_reading_is(tmp_path, monkeypatch):
    monkeypatch.setattr("orthodx.training.kept_series.TOLD_EVERY", 0.0)
    folder, told = write(tmp_path / "c", 4), []
    open_source([folder], GridSpec(), CROP, 3, joint=KNEE, truth=False, views=[View.SAGITTAL], say=told.append)
    assert told[-1] == "4 of 4 series read, 0 min left"
