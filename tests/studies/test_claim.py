"""A place of results belongs to one command, to one run at a time, and keeps what it holds."""

import os
import subprocess
import sys
import warnings

import pytest
from filelock import FileLock

from orthodx.errors import UsageError
from orthodx.studies.claim import Owner, Place, claimed
from orthodx.studies.receipts import Receipts

MINE = {"by": "orthodx segment", "options": {"model": "a", "view": ""}}


def hold(folder, resume=False, stem="", **more):
    return claimed(Place(folder, stem), Owner(**{**MINE, "resume": resume, **more}))


def finish(folder, case="one"):
    (folder / "mask.txt").write_text("mask")
    Receipts(folder / ".done").write(case, {}, [folder / "mask.txt"], {"case": case})


@pytest.fixture
def results(tmp_path):
    """A folder with one finished case."""
    with hold(tmp_path / "o"):
        finish(tmp_path / "o")
    return tmp_path / "o"


def refused(folder, **more):
    with pytest.raises(UsageError) as caught, hold(folder, **more):
        pass
    return caught.value.line


def test_results_are_gone_on_with_or_left_alone(results):
    assert "already holds results; go on with --resume" in refused(results)
    with hold(results, resume=True):
        pass
    assert (results / "mask.txt").read_text() == "mask"


def test_other_options_are_named(results):
    line = refused(results, resume=True, options={"model": "b", "view": ""})
    assert "was made with other options (model)" in line
    line = refused(results, resume=True, options={"model": "a", "view": "axial", "new": 1})
    assert "(new, view)" in line


@pytest.mark.parametrize("resume", [True, False, None])
def test_results_of_another_command_are_left_alone(results, resume):
    assert "holds results of 'orthodx segment'" in refused(results, by="orthodx evaluate", resume=resume)


def test_a_file_that_nobody_of_ours_wrote_is_left_alone_and_so_is_its_folder(tmp_path):
    (tmp_path / "run.json").write_text("theirs")
    assert "run.json is there and is no result of 'orthodx segment'" in refused(
        tmp_path, outputs=[tmp_path / "run.json"]
    )
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]


def test_a_run_of_which_nothing_came_leaves_nothing(tmp_path):
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), hold(tmp_path / "o"):
            raise ZeroDivisionError
        assert not (tmp_path / "o").exists()


def test_a_place_where_all_failed_is_free(tmp_path):
    table = tmp_path / "status.csv"
    for _ in range(2):
        with hold(tmp_path, outputs=[table]):
            Receipts(tmp_path / ".done").fail("one", {}, {"case": "one"})
            table.write_text("failed")


def test_two_runs_at_once_are_not_let_in(tmp_path):
    with hold(tmp_path / "o"):
        assert "another run is writing there" in refused(tmp_path / "o", resume=True)
        finish(tmp_path / "o")
        with hold(tmp_path / "o/inner"), hold(tmp_path / "o", stem="table"):
            pass
    assert sorted(path.name for path in (tmp_path / "o").iterdir()) == [".done", ".owner.json", "mask.txt"]


def test_a_killed_run_holds_nothing(tmp_path):
    code = (
        "import sys, os, signal; from pathlib import Path; from orthodx.studies.claim import *\n"
        f"with claimed(Place(Path({str(tmp_path / 'o')!r})), Owner(by='orthodx segment')):\n"
        "    (Path(sys.argv[1]) / '.part-abcd1234.nii.gz').write_text('half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", code, tmp_path / "o"]).returncode == -9
    assert (tmp_path / "o/.part-abcd1234.nii.gz").exists()
    with hold(tmp_path / "o", resume=True):
        assert not (tmp_path / "o/.part-abcd1234.nii.gz").exists()


def test_only_what_is_half_written_here_is_swept(tmp_path):
    with hold(tmp_path / "o"):
        finish(tmp_path / "o")
        with hold(tmp_path / "o/inner"):
            half = [tmp_path / "o" / name for name in ("deep/.part-abcd1234.png", "inner/.part-abcd1234.png")]
            for path in half:
                path.parent.mkdir(exist_ok=True)
                path.write_text("half")
            with pytest.raises(UsageError), hold(tmp_path / "o"):
                pass
            assert all(path.exists() for path in half)  # whoever is not let in deletes nothing
    assert not any(path.exists() for path in half)


def test_where_a_file_system_has_no_locks_the_run_goes_on(tmp_path, monkeypatch):
    for trouble in (OSError(38, os.strerror(38)), NotImplementedError(), "warn"):

        def acquire(self, trouble=trouble):
            if trouble == "warn":
                warnings.warn("flock not supported on this filesystem", stacklevel=1)
            else:
                raise trouble

        monkeypatch.setattr(FileLock, "acquire", acquire)
        with hold(tmp_path / "o", resume=True):
            finish(tmp_path / "o")
