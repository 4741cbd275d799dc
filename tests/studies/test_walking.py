"""Walking through a folder: everything readable once, a word for all that is passed over, and never a wait."""

import os
import socket
import sys

import nibabel as nib
import numpy as np
import pytest

from orthodx.studies.convert import convert
from orthodx.studies.discover import find_series
from orthodx.studies.walking import Walk
from orthodx.synth.dicom_writer import write_dicom_series

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="pipes and links")


def put(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    data = np.random.default_rng(0).normal(size=(20, 20, 9)).astype(np.float32)
    nib.save(nib.Nifti1Image(data, np.diag([0.5, 0.5, 3, 1])), path)
    return path


def walked(root):
    walk = Walk()
    return [path.relative_to(root).as_posix() for path in walk.files(root)], walk


def whys(told, root):
    return {os.path.relpath(where, root): why for where, why in told}


def test_files_come_in_a_fixed_order_without_hidden_ones_and_results(tmp_path):
    for name in ("b/x", "a/y", "z", ".hidden/x", "a/.x", "truth/x", "Masks/x"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert walked(tmp_path)[0] == ["z", "a/y", "b/x"]


def test_pipes_sockets_and_devices_are_named_and_not_opened(tmp_path):
    put(tmp_path / "a/k.nii.gz")
    os.mkfifo(tmp_path / "a/pipe.nii.gz")
    os.mkfifo(tmp_path / "a/IM0001")
    os.symlink(os.devnull, tmp_path / "a/null.dcm")
    with socket.socket(socket.AF_UNIX) as one:
        here = os.getcwd()
        os.chdir(tmp_path / "a")  # the path of a socket must be short
        one.bind("s")
        os.chdir(here)
        found = find_series([tmp_path])
    assert [s.study_id for s in found.studies] == ["a"]
    assert not found.refused
    assert [line.removeprefix(f"{tmp_path}/a/") for line in found.notes] == [
        "IM0001: a named pipe, not read",
        "null.dcm: a device, not read",
        "pipe.nii.gz: a named pipe, not read",
        "s: a socket, not read",
    ]


def test_a_pipe_that_is_given_is_refused(tmp_path):
    os.mkfifo(tmp_path / "k.nii.gz")
    (bad,) = find_series([tmp_path / "k.nii.gz"]).refused
    assert bad.reason == "a named pipe, not read"


def test_a_pipe_that_a_manifest_names_is_refused(tmp_path):
    os.mkfifo(tmp_path / "k.nii.gz")
    (tmp_path / "manifest.csv").write_text("patient_id,study_id,series_id,path\np,s,x,k.nii.gz\n")
    assert "pipe" in str(find_series([tmp_path]).refused)


def test_links_to_folders_are_followed_once_and_loops_are_named(tmp_path):
    put(tmp_path / "in/real/k.nii.gz")
    put(tmp_path / "elsewhere/other/m.nii.gz")
    os.symlink(tmp_path / "elsewhere", tmp_path / "in/a_link")
    os.symlink(tmp_path / "elsewhere/other", tmp_path / "in/b_link")
    os.symlink(tmp_path / "in", tmp_path / "in/real/up")
    os.symlink(tmp_path / "in/real", tmp_path / "in/again")
    files, walk = walked(tmp_path / "in")
    assert files == ["real/k.nii.gz", "a_link/other/m.nii.gz"]
    assert whys(walk.passed, tmp_path / "in") == {
        "again": "a folder that is read already, not read again",
        "b_link": "a folder that is read already, not read again",
        "real/up": "a link back to a folder above it, not read again",
    }


def test_a_link_that_leads_nowhere_is_refused(tmp_path):
    put(tmp_path / "k.nii.gz")
    os.symlink(tmp_path / ".annex/k2", tmp_path / "k2.nii.gz")
    os.symlink(tmp_path / "self", tmp_path / "self")
    _, walk = walked(tmp_path)
    assert set(whys(walk.refused, tmp_path)) == {"k2.nii.gz", "self"}
    assert all("leads nowhere" in why for _, why in walk.refused)


def test_folders_given_twice_or_within_each_other_are_read_once(tmp_path):
    put(tmp_path / "a/k.nii.gz")
    put(tmp_path / "a/b/m.nii.gz")
    for paths in ((tmp_path / "a", tmp_path / "a/b"), (tmp_path / "a/b", tmp_path / "a"), (tmp_path / "a",) * 2):
        found = find_series(paths)
        assert sorted(s.path.name for s in found.series) == ["k.nii.gz", "m.nii.gz"]
        assert any("read already" in line for line in found.notes)


@pytest.fixture
def shut(monkeypatch):
    """What these names say cannot be read, though we may be root."""

    def close(*names):
        scandir, access = os.scandir, os.access

        def scan(path):
            if os.path.basename(path) in names:
                raise PermissionError(13, "Permission denied", str(path))
            return scandir(path)

        monkeypatch.setattr(os, "scandir", scan)
        monkeypatch.setattr(os, "access", lambda path, mode: os.path.basename(path) not in names and access(path, mode))

    return close


def test_what_cannot_be_read_is_refused_and_the_rest_goes_on(tmp_path, shut):
    for name in "abc":
        put(tmp_path / name / f"{name}.nii.gz")
    shut("b", "c.nii.gz")
    found = find_series([tmp_path])
    assert [s.study_id for s in found.studies] == ["a"]
    assert whys([bad[:2] for bad in found.refused], tmp_path) == {
        "b": "cannot be read (Permission denied); check the path and its permissions",
        "c/c.nii.gz": "cannot be read; check its permissions",
    }


def test_many_unreadable_files_of_a_folder_are_one_line(tmp_path, shut):
    for i in range(9):
        put(tmp_path / f"{i}.dcm.nii.gz")
    shut(*(f"{i}.dcm.nii.gz" for i in range(1, 9)))
    found = find_series([tmp_path])
    assert len(found.series) == 1
    assert whys([bad[:2] for bad in found.refused], tmp_path) == {
        ".": "8 files cannot be read, such as 1.dcm.nii.gz; check their permissions"
    }


def test_convert_tells_what_it_passed_over_and_names_no_path_in_its_tables(tmp_path, shut):
    affine = np.array([[0, 0, 4.0, 0], [-2, 0, 0, 0], [0, -2, 0, 0], [0, 0, 0, 1]])
    row = dict(
        patient_id="P", study_id="S", series_id="R", center="site", vendor="GE", laterality="left", view="sagittal",
        sequence="pd", field_strength=1.5, tr=3000.0, te=30.0, fat_suppressed=True,
    )  # fmt: skip
    data = np.random.default_rng(0).integers(0, 400, (32, 32, 4)).astype(np.int16)
    write_dicom_series(tmp_path / "in/Doe_Jane/a", data, affine, row, 1)
    (tmp_path / "in/Doe_Jane/shut").mkdir()
    os.mkfifo(tmp_path / "in/Doe_Jane/a/IM_pipe")
    shut("shut")
    told = []
    convert([tmp_path / "in"], tmp_path / "out", key=tmp_path / "key", workers=0, tell=lambda *one: told.append(one[0]))
    assert sorted(o.status for o in told) == ["converted", "refused", "skipped"]
    table = (tmp_path / "out/series.csv").read_text()
    assert "a named pipe, not read" in table
    assert "Permission denied" in table
    assert "Doe" not in table
