"""Runs that are ended, readers that leave, disks that are full: one line, nothing half-written, the work not lost."""

import csv
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from safetensors import safe_open
from typer.testing import CliRunner

from orthodx.cli import exits
from orthodx.cli.app import app
from orthodx.inference.predict import Segmenter
from orthodx.studies.nifti import write_image
from orthodx.studies.stopping import Stopped
from orthodx.synth.dicom_writer import write_dicom_series

pytestmark = pytest.mark.usefixtures("one_thread")
ROW = dict(
    patient_id="P1", study_id="S1", series_id="A", center="Harbour", vendor="SIEMENS", laterality="left",
    view="axial", sequence="pd", field_strength=1.5, tr=3000.0, te=30.0, fat_suppressed=True,
)  # fmt: skip
ORTHODX = [sys.executable, "-m", "orthodx"]


def image(path, affine, seed=3):
    data = np.random.default_rng(seed).integers(1, 2000, (32, 32, 5)).astype(np.int16)
    write_image(path, data, np.diag(affine))


@pytest.fixture
def study(tmp_path):
    for i, name in enumerate("ab"):
        image(tmp_path / f"study/{name}.nii.gz", [1.5, 1.5, 4, 1], i)
    return tmp_path / "study"


@pytest.fixture
def segment(bundle, study, tmp_path):
    def go(*more):
        line = ["segment", str(study), "-o", str(tmp_path / "o"), "--model", str(bundle.path), "--device", "cpu"]
        return CliRunner().invoke(app, [*line, "--no-preview", *more])

    return go


def table(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def litter(folder):
    return [path for path in folder.rglob("*") if path.name.startswith(".part-") or path.name == ".lock"]


@pytest.mark.parametrize(("ending", "code"), [(Stopped(signal.SIGTERM), 143), (Stopped(signal.SIGINT), 130),
                                              (KeyboardInterrupt(), 130)])  # fmt: skip
def test_what_is_finished_is_kept_and_gone_on_with(segment, tmp_path, monkeypatch, ending, code):
    answer = Segmenter.__call__

    def call(self, grid, **how):
        if (tmp_path / "o/a.nii.gz").exists():
            raise ending
        return answer(self, grid, **how)

    with monkeypatch.context() as patch:
        patch.setattr(Segmenter, "__call__", call)
        done = segment()
    assert (done.exit_code, done.stderr) == (code, "error: stopped -> go on with --resume\n")
    assert [row["series_id"] for row in table(tmp_path / "o/status.csv")] == ["a"]
    assert litter(tmp_path) == []
    written = (tmp_path / "o/a.nii.gz").stat().st_mtime_ns
    assert segment("--resume").exit_code == 0
    assert (tmp_path / "o/a.nii.gz").stat().st_mtime_ns == written
    assert len(table(tmp_path / "o/status.csv")) == 2


def when(path, process):
    """Wait until a file that a process makes is there."""
    until = time.monotonic() + 120
    while not list(path.parent.glob(path.name)):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.02)


@pytest.mark.parametrize(("sent", "code", "to_all"), [(signal.SIGTERM, 143, False), (signal.SIGINT, 130, True),
                                                      (signal.SIGTERM, 143, True)])  # fmt: skip
def test_processes_end_together_without_a_word(tmp_path, sent, code, to_all):
    for i in range(40):
        data = np.random.default_rng(i).integers(1, 2000, (96, 96, 12)).astype(np.int16)
        write_dicom_series(tmp_path / f"dicom/{i}", data, np.diag([1.5, 1.5, 4, 1]), {**ROW, "series_id": str(i)}, i)
    line = [
        *ORTHODX,
        "convert",
        tmp_path / "dicom",
        "--out",
        tmp_path / "o",
        "--workers",
        "2",
        "--key",
        tmp_path / "key",
    ]
    process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    when(tmp_path / "o/.done/s*.json", process)
    (os.killpg if to_all else os.kill)(process.pid, sent)
    _, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (code, "error: stopped -> go on with --resume\n")
    assert litter(tmp_path) == []
    with pytest.raises(ProcessLookupError):  # nobody of the group is left
        os.killpg(process.pid, 0)


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_a_training_is_saved_where_it_is_stopped(tmp_path, sent):
    image(tmp_path / "in/a.nii.gz", [1.5, 1.5, 4, 1])
    line = [*ORTHODX, "pretrain", tmp_path / "in", "--view", "axial", "-o", tmp_path / "o", "--batch", "1", "--device",
            "cpu", "--crop", "4", "32", "32", "--workers", "1"]  # fmt: skip
    process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    said = iter(process.stdout.readline, "")
    assert any(text.startswith("step 20/") for text in said)
    os.killpg(process.pid, sent)
    _, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (128 + sent, "error: stopped -> go on with --resume\n")
    with safe_open(tmp_path / "o/checkpoint.safetensors", "pt") as file:
        done = int(file.metadata()["step"])
    assert 20 <= done < 200  # a checkpoint is due every 200 steps
    assert table(tmp_path / "o/metrics.csv")[-1]["step"] == str(done)
    assert litter(tmp_path) == []


def test_the_work_is_finished_for_a_reader_who_has_left(study, bundle, tmp_path):
    line = f"{sys.executable} -u -m orthodx segment {study} -o {tmp_path}/o --model {bundle.path} --device cpu"
    run = subprocess.run(
        ["bash", "-c", f"{line} --no-preview | head -1; echo ${{PIPESTATUS[0]}}"], capture_output=True, text=True
    )
    assert run.stderr == ""
    assert run.stdout.splitlines()[-1] == "0"
    assert len(table(tmp_path / "o/status.csv")) == 2
    assert (tmp_path / "o/run.json").is_file()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
def test_what_cannot_be_printed_is_told_once():
    run = subprocess.run(["bash", "-c", f"{sys.executable} -m orthodx models list > /dev/full"], capture_output=True)
    assert run.returncode == 2
    assert run.stderr.decode().startswith("error: standard output: No space left on device")
    assert len(run.stderr.splitlines()) == 1


@pytest.mark.parametrize("full", ["a.nii.gz", "status.csv", "run.json"])
def test_a_full_disk_is_named_by_the_file_that_did_not_fit(segment, tmp_path, monkeypatch, full):
    replace = os.replace

    def to(temporary, path):
        if str(path).endswith(full):
            raise OSError(28, "No space left on device")
        replace(temporary, path)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", to)
        done = segment()
    assert done.exit_code == 2
    assert done.stderr.splitlines()[-1].startswith(f"error: {tmp_path / 'o' / full}: No space left on device -> check")
    assert litter(tmp_path) == []
    assert segment("--resume").exit_code == 0


@pytest.mark.parametrize(
    "error",
    [MemoryError(), RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"),
     RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"),
     RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. ")],
)  # fmt: skip
def test_a_lack_of_memory_is_no_bug(capsys, error):
    with pytest.raises(SystemExit) as ended, exits.handled(debug=False):
        raise error
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("error: out of memory -> use a smaller --batch")
