"""The Python API: listed, documented by examples that run, and no script needs a main guard."""

import doctest
import inspect
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import orthodx
from orthodx.requests import SegmentRequest
from orthodx.studies.nifti import write_image
from orthodx.synth.dicom_writer import write_dicom_series

COMMANDS = (
    "synth",
    "convert",
    "segment",
    "diagnose",
    "evaluate",
    "followup",
    "pretrain",
    "finetune",
    "transfer",
)  # in the examples' order


def documented(name):
    """The docstring of a function of the API."""
    if name == "synth":
        from orthodx.synth.make import synth

        return inspect.getdoc(synth)
    return inspect.getdoc(getattr(orthodx, name))


def test_every_command_is_listed():
    assert set(COMMANDS) < set(dir(orthodx)) == set(orthodx.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'segmnt'"):
        _ = orthodx.segmnt


@pytest.mark.parametrize("name", COMMANDS)
def test_help_names_every_field(name):
    parameters = inspect.signature(getattr(orthodx, name)).parameters
    assert "request" not in parameters
    assert {"out"} <= parameters.keys()
    told = documented(name)
    missing = [field for field in parameters if field not in told]
    assert missing in ([], ["command"])


def test_the_examples_of_all_docstrings_run_one_after_the_other(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ORTHODX_KEY", str(tmp_path / "key"))
    parser, names = doctest.DocTestParser(), {"orthodx": orthodx}
    for name in COMMANDS:
        test = parser.get_doctest(documented(name), names, f"orthodx.{name}", None, 0)
        assert test.examples, f"{name} has no example"
        said = []
        doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(test, out=said.append, clear_globs=False)
        assert not said, "".join(said)
        names |= test.globs


def test_a_request_and_its_fields_are_the_same(bundle, cohort, tmp_path):
    one = orthodx.segment(SegmentRequest(str(cohort), tmp_path / "a", model=bundle.path, device="cpu"))
    two = orthodx.segment([cohort], str(tmp_path / "b"), model=str(bundle.path), device="cpu")
    assert [c.volumes for c in one] == [c.volumes for c in two]
    with pytest.raises(TypeError, match="nonsense"):
        orthodx.segment(cohort, tmp_path / "c", nonsense=1)


def test_one_path_as_text_will_do_to_look_and_to_read(cohort):
    several, one = orthodx.find_series([cohort]), orthodx.find_series(str(cohort))
    assert [s.series_id for s in one.series] == [s.series_id for s in several.series]
    path = one.series[0].path
    assert (orthodx.read_volume(str(path)).data == orthodx.read_volume(path).data).all()


SCRIPT = """
import sys
from pathlib import Path
import orthodx
data, out = map(Path, sys.argv[1:])
with (out / "runs.txt").open("a") as file:
    file.write("once\\n")
print(len(orthodx.convert(data / "dicom", out / "nifti", workers=2)))
orthodx.evaluate(out / "report", masks=data / "truth", truth=data / "truth", workers=2, resamples=100)
orthodx.pretrain(data / "images", out / "fit", view="axial", steps=1, batch=1, crop=(4, 32, 32), workers=2)
"""


def test_a_script_without_a_main_guard_runs_once(tmp_path):
    rng, affine = np.random.default_rng(0), np.diag([1.0, 1, 4, 1])
    for i in range(3):
        image = rng.integers(1, 900, (32, 32, 4)).astype(np.int16)
        write_image(tmp_path / f"images/{i}.nii.gz", image, affine)
        write_image(tmp_path / f"truth/{i}.nii.gz", (image > 450).astype(np.uint8), affine)
        row = dict(
            patient_id=f"P{i}", study_id=f"S{i}", series_id=f"R{i}", center="A", vendor="GE", laterality="left",
            view="axial", sequence="pd", field_strength=1.5, tr=3000.0, te=30.0, fat_suppressed=True,
        )  # fmt: skip
        write_dicom_series(tmp_path / f"dicom/{i}", image, affine, row, i + 1)
    (tmp_path / "out").mkdir()
    (tmp_path / "script.py").write_text(SCRIPT)
    environment = os.environ | {"ORTHODX_KEY": str(tmp_path / "key"), "OMP_NUM_THREADS": "1"}
    line = [sys.executable, str(tmp_path / "script.py"), str(tmp_path), str(tmp_path / "out")]
    done = subprocess.run(line, capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout == "3\n"
    assert (tmp_path / "out/runs.txt").read_text() == "once\n"
    assert Path(tmp_path / "out/fit/encoder_axial.safetensors").is_file()
