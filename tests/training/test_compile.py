"""`pretrain --compile`: the same is learned, and a compiler that fails is one line."""

import pytest
from safetensors.torch import load_file
from torch import nn
from typer.testing import CliRunner

from orthodx.cli.app import app
from orthodx.networks.encoders.ortho import OrthoConfig, OrthoEncoder

compiled = nn.Module.compile


@pytest.fixture
def pretrain(cohort, tmp_path, monkeypatch):
    monkeypatch.setitem(OrthoEncoder.presets, "small", OrthoConfig(channels=(8, 8, 8, 8), time_channels=8))

    def go(out, *more):
        line = [
            "pretrain",
            cohort,
            "--view",
            "sagittal",
            "--crop",
            4,
            32,
            32,
            "--batch",
            1,
            "--steps",
            2,
            "--workers",
            0,
        ]
        return CliRunner().invoke(app, [*map(str, line), "--out", str(tmp_path / out), *more])

    return go


def test_a_compiled_network_learns_the_same(pretrain, tmp_path, monkeypatch):
    asked = []

    def by_eager(module, **more):  # traced whole, but not handed to a C++ compiler, which takes minutes
        asked.append(module)
        compiled(module, backend="eager", fullgraph=True, **more)

    monkeypatch.setattr(nn.Module, "compile", by_eager)
    assert pretrain("plain").exit_code == 0
    assert not asked
    done = pretrain("compiled", "--compile")
    assert done.exit_code == 0, done.output
    assert "compiles the network" in done.output
    assert len(asked) == 1
    plain, other = (load_file(tmp_path / out / "encoder_sagittal.safetensors") for out in ("plain", "compiled"))
    assert plain.keys() == other.keys()
    assert all((plain[name] - other[name]).abs().max() < 1e-4 for name in plain)


def test_a_compiler_that_fails_is_one_line_with_a_way_out(pretrain, monkeypatch):
    def no_compiler(graph, inputs):
        raise RuntimeError("no C++ compiler")

    monkeypatch.setattr(nn.Module, "compile", lambda module: compiled(module, backend=no_compiler))
    done = pretrain("out", "--compile")
    assert done.exit_code == 2
    (line,) = [line for line in done.stderr.splitlines() if "torch.compile" in line]
    assert "no C++ compiler" in line
    assert "leave --compile out" in line
