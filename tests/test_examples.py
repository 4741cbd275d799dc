"""Programs in examples/ can be loaded: what they import is there under that name."""

import importlib.util
import sys
from pathlib import Path

import pytest

PROGRAMS = sorted((Path(__file__).parent.parent / "examples").rglob("*.py"))


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda path: path.stem)
def test_an_example_loads(program, monkeypatch):
    monkeypatch.setattr(sys, "path", [str(program.parent), *sys.path])
    spec = importlib.util.spec_from_file_location(f"example_{program.stem}", program)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    assert module.__doc__
