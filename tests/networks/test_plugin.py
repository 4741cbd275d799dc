"""The example plug-in package is installed as a user would, and then works like what is in the box."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PLUGIN = Path(__file__).parents[2] / "examples/plugin"

CHECK = """
import json, torch
from pathlib import Path
from orthodx.grid.spec import GridSpec
from orthodx.joints import KNEE, View
from orthodx.networks import ENCODERS, HEADS
from orthodx.training.bundling import Card, bundle_masks
from orthodx.training.distributed import Team
from orthodx.training.masks.fit import MasksConfig, fit_masks
from orthodx.training.masks.tasks import SegmentTask


class Noise:
    def __getitem__(self, key):
        rng = torch.Generator().manual_seed(key[0])
        image = torch.rand(1, 4, 32, 32, generator=rng) * 2 - 1
        return image, (image[0] > 0).to(torch.uint8)


config = MasksConfig(views=(View.AXIAL,), encoder="tiny", preset="base", head="tiny_segment", steps=2, batch=1)
team = Team(torch.device("cpu"))
parts = fit_masks(config, Noise(), Path("out"), task=SegmentTask(KNEE), team=team, encoders={}, workers=0,
                  say=lambda line: None)
bundle = bundle_masks(Path("bundle"), Card(name="mine"), config, SegmentTask(KNEE), parts, GridSpec())
image = Noise()[0, View.AXIAL][0][None]
with torch.no_grad():
    logits = bundle.head("segment")(bundle.encoder(View.AXIAL).features(image), image)
print(json.dumps({"origins": [ENCODERS.origin("tiny"), HEADS.origin("tiny_segment")], "names": ENCODERS.names(),
                  "logits": list(logits.shape)}))
"""


def python(*arguments, path, cwd):
    where = os.pathsep.join([*map(str, path), str(Path(__file__).parents[2])])
    return subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, "PYTHONPATH": where},
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("pip", "setuptools"))), reason="needs pip and setuptools to install"
)
def test_the_example_plugin_installs_trains_and_goes_into_a_bundle(tmp_path):
    shutil.copytree(PLUGIN, tmp_path / "source")
    install = ["-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    done = python(*install, "--target", tmp_path / "site", tmp_path / "source", path=[], cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    done = python("-c", CHECK, path=[tmp_path / "site"], cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["origins"] == ["orthodx_tiny.encoder", "orthodx_tiny.head"]
    assert {"ortho", "tiny"} <= set(said["names"])
    assert said["logits"] == [1, 12, 4, 32, 32]


def test_a_broken_plugin_is_left_out_and_named(tmp_path):
    info = tmp_path / "broken-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[orthodx.encoders]\nbroken = no_such_module\n")
    code = "from orthodx.networks import ENCODERS; print(ENCODERS.names()); ENCODERS.get('broken')"
    done = python("-c", code, path=[tmp_path], cwd=tmp_path)
    assert "ortho" in done.stdout
    assert "encoder plug-in 'broken' left out" in done.stderr
    assert "could not be loaded (ModuleNotFoundError" in done.stderr
